// Package doctor finds out what keeps pictures from arriving, or from arriving directly, and says what to change. It
// serves people who watch, by testing their network and the relays as seen from there, and operators, by testing a
// relay's own machine.
//
// Each check is a function that returns one [Finding]: what was tested, whether it is ok, bad or unknown, and one
// sentence about what that means and what to do. A check that could not be made is unknown, never ok.
//
// The package promises to contact only the relays it is given, the household's own router, this machine's outside
// address, and the cameras that it is asked to find, and to show addresses only if asked to. It must never show a
// password, trust a relay beyond where to send a question, or change anything, except for a port that it asks a router
// to open and then to close.
package doctor
