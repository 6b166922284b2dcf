// Package leash ends what a test leaves running, however the test ends.
//
//	func TestMain(m *testing.M) { os.Exit(leash.Run(m.Run)) }
//
//	 the holder ─── pipe ─── its guard      in a session of its own: no Ctrl-C reaches it
//	     │
//	     ├── node ── Chromium ── …          every process inherits the leash's mark in its environment,
//	     └── relay                          and a temporary directory for its files
//
// A process that is killed cannot clean up, and a parent-death signal (prctl(2)) only reaches its children, not theirs.
// So the holder starts a guard, which waits until nobody holds the other end of their pipe any more. Then it kills
// every process that bears the mark, and everything that descends from one, and removes the directory. If the holder
// ends by itself, its guard tells it what was still running, and a test run that left something fails.
//
// Leashes nest: each has a mark of its own. Nothing that inherits the environment outlives the holder by more than
// moments, unless holder and guard are killed together. The package must never be imported but by tests and their
// tools.
package leash
