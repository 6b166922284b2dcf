#!/usr/bin/env bash
# Decides whether a run with failed tests may pass: scripts/alone.sh REPORT [FLAG...]. REPORT is gotestsum's JSON; FLAGs
# go to go test. It runs each failed test alone, TIMES times in a row. If all pass, the machine was busy and the test
# too impatient: mend it with the help of its output in the first run. It refuses at once if more than MOST tests
# failed, or if anything panicked, raced, was left behind, did not end or did not build.
set -euo pipefail

readonly MOST=3 TIMES=3
report=$1
shift

# tests ACTION prints the tests that the report has an action of, as lines "PACKAGE NAME".
tests() { sed -nE 's/.*"Action":"('"$1"')","Package":"([^"]*)","Test":"([^"]*)".*/\2 \3/p' "$report" | sort -u; }

refuse() {
	echo "$1: no test is tried alone"
	exit 1
}

# A failed subtest fails its parents too, so only tests without a slash in their names run again.
failed=$(tests fail | grep -v ' .*/' || true)
count=$(grep -c . <<<"$failed" || true)
[ "$count" -gt 0 ] || refuse 'something failed, but no test did'
[ "$count" -le "$MOST" ] || refuse "$count tests failed, more than $MOST"

# The output of a process that a test started is indented.
! grep -qE '"Output":"( |\\t)*(panic: |fatal error: |WARNING: DATA RACE|SIG[A-Z]+: |\*\*\* Test )' "$report" ||
	refuse 'a panic, a data race or a test that hung'
! grep -q 'race detected during execution' "$report" || refuse 'a data race'
! grep -qE '"Output":"left (running|behind)' "$report" || refuse 'a test left something behind'
[ -z "$(comm -23 <(tests run) <(tests 'pass|fail|skip'))" ] || refuse 'a test did not end'

# A package that did not build, or whose TestMain failed, has no failed test.
package_failed='"Action":"fail","Package":"([^"]*)"(,"Elapsed"[^}]*)?(,"FailedBuild"[^}]*)?}$'
without=$(comm -23 \
	<(sed -nE "s/.*$package_failed/\\1/p" "$report" | sort -u) \
	<(cut -d' ' -f1 <<<"$failed" | sort -u))
[ -z "$without" ] || refuse "a package failed without a failed test ($without)"

while read -r package name; do
	echo "trying alone, $TIMES times: $package $name"
	said=$(go test -v -count="$TIMES" -parallel 1 -timeout 60m "$@" -run "^$name\$" "$package" </dev/null) || {
		echo "$said"
		exit 1
	}
	[ "$(grep -c "^--- PASS: $name " <<<"$said")" -eq "$TIMES" ] || refuse "$name did not pass $TIMES times"
done <<<"$failed"
sed 's/^/failed beside other tests, passed alone: /' <<<"$failed"
