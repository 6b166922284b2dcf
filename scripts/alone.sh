#!/usr/bin/env bash
# Decides about tests that failed beside others: scripts/alone.sh REPORT [FLAG...]. REPORT is gotestsum's JSON; FLAGs
# go to go test. It succeeds if each of them passes TIMES times in a row when it runs alone: then the machine was busy,
# and the test is too impatient, which its output in the run should help to mend. It fails at once if more than MOST
# tests failed, or if anything panicked, raced, hung or did not build.
set -euo pipefail

readonly MOST=3 TIMES=3
report=$1
shift

# A subtest fails its parents too; those without a slash in their names are run.
failed=$(sed -nE 's|.*"Action":"fail","Package":"([^"]*)","Test":"([^"/]*)".*|\1 \2|p' "$report" | sort -u)
count=$(grep -c . <<<"$failed" || true)
if [ "$count" -eq 0 ] || [ "$count" -gt "$MOST" ]; then
	echo "$count tests failed; only 1 to $MOST are tried alone"
	exit 1
fi

if grep -E '"Output":"(panic:|fatal error:|WARNING: DATA RACE|=== RUN .*\(unknown\))' "$report" >/dev/null; then
	echo "a test panicked, raced or hung: nothing is tried alone"
	exit 1
fi

# A package may have failed without a test: it did not build, or something was left behind after the last test.
broken=$(sed -nE 's|.*"Action":"fail","Package":"([^"]*)"[^T]*$|\1|p' "$report" | sort -u)
while read -r package; do
	grep -q "^$package " <<<"$failed" || { echo "$package failed, but none of its tests did"; exit 1; }
done <<<"$broken"

while read -r package name; do
	echo "trying alone, $TIMES times: $package $name"
	go test -count="$TIMES" -parallel 1 "$@" -run "^$name\$" "$package" </dev/null
done <<<"$failed"
sed 's/^/failed beside other tests, passed alone: /' <<<"$failed"
