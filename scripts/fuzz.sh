#!/usr/bin/env bash
# Runs every Go fuzz target there is: scripts/fuzz.sh TIME BUDGET. Each runs for TIME (seconds, "8s"), less where all
# of them would take longer than BUDGET seconds together. Finding no target is a failure, and so is a budget that leaves
# each less than LEAST seconds: that is too little to find anything. internal/archtest sees to it that each has a corpus.
set -euo pipefail

readonly LEAST=3
seconds=${1%s} budget=$2

targets=$(grep -rEo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' . | sed -E 's|/[^/]*:func |\t|' | sort)
[ -n "$targets" ] || { echo "fuzz: no fuzz target found" >&2; exit 1; }

count=$(wc -l <<<"$targets")
if [ $((seconds * count)) -gt "$budget" ]; then
	seconds=$((budget / count))
	[ "$seconds" -ge "$LEAST" ] || { echo "fuzz: $count targets in $budget s leave $seconds s each: raise FUZZBUDGET" >&2; exit 1; }
fi

out=$(mktemp)
trap 'rm -f "$out"' EXIT
while IFS=$'\t' read -r package target; do
	echo "$package $target, $seconds s"
	go test -run '^$' -fuzz "^$target\$" -fuzztime "${seconds}s" -fuzzminimizetime 1x -timeout 5m "$package" </dev/null 2>&1 | tee "$out" && continue
	# Go's fuzzer now and then reports its own time limit as a failure, when a worker is busy at the very end. Then, and only
	# then, its words are these and there is no failing input.
	grep -q '^    context deadline exceeded$' "$out" && ! grep -qE 'Failing input|panic|fuzzing process' "$out" || exit 1
	echo "the time was up: nothing found"
done <<<"$targets"
echo "$count fuzz targets found nothing"
