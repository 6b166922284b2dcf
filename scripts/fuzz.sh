#!/usr/bin/env bash
# Runs every Go fuzz target: scripts/fuzz.sh TIME BUDGET. Each runs for TIME (in seconds, "8s"), or for less if together
# they would take more than BUDGET seconds. It fails if there is no target, or if the budget leaves each less than MIN
# seconds, which is too little to find anything. test/archtest checks that each target has a corpus.
set -euo pipefail

readonly MIN=3
seconds=${1%s} budget=$2

targets=$(grep -rEo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' . | sed -E 's|/[^/]*:func |\t|' | sort)
[ -n "$targets" ] || { echo "fuzz: no fuzz target found" >&2; exit 1; }

count=$(wc -l <<<"$targets")
if [ $((seconds * count)) -gt "$budget" ]; then
	seconds=$((budget / count))
	if [ "$seconds" -lt "$MIN" ]; then
		echo "fuzz: $count targets in $budget s leave $seconds s each: raise FUZZBUDGET" >&2
		exit 1
	fi
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cache=$(go env GOCACHE)/fuzz/$(go list -m)

# run PACKAGE TARGET runs a target as go test -fuzz does, but without linking the package's tests anew for each.
run() {
	cd "$1"
	"$work/test" -test.run '^$' -test.fuzz "^$2\$" -test.fuzztime "${seconds}s" -test.fuzzminimizetime 1x \
		-test.fuzzcachedir "$cache/${1#./}" -test.timeout 5m -test.paniconexit0 </dev/null 2>&1
}

built=''
while IFS=$'\t' read -r package target; do
	if [ "$package" != "$built" ]; then
		go test -c -fuzz . -o "$work/test" "$package"
		built=$package
	fi
	echo "$package $target, $seconds s"
	(run "$package" "$target") | tee "$work/out" && continue

	# Go's fuzzer sometimes reports its own time limit as a failure, if a worker is busy at the very end. Only then does it
	# say these words without a failing input.
	grep -q '^    context deadline exceeded$' "$work/out" || exit 1
	! grep -qE 'Failing input|panic|fuzzing process' "$work/out" || exit 1
	echo "the time was up: nothing found"
done <<<"$targets"
echo "$count fuzz targets found nothing"
