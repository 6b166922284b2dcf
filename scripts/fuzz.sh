#!/usr/bin/env bash
# Runs every Go fuzz target there is: scripts/fuzz.sh TIME BUDGET. Each runs for TIME (seconds, "8s"), less where all
# of them would take longer than BUDGET seconds together. Finding none is a failure.
set -euo pipefail

seconds=${1%s} budget=$2

targets=$(grep -rEo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' . | sed -E 's|/[^/]*:func |\t|' | sort)
[ -n "$targets" ] || { echo "fuzz: no fuzz target found" >&2; exit 1; }

count=$(wc -l <<<"$targets")
if [ $((seconds * count)) -gt "$budget" ]; then seconds=$((budget / count)); fi
if [ "$seconds" -lt 1 ]; then seconds=1; fi

while IFS=$'\t' read -r package target; do
	echo "$package $target, $seconds s"
	go test -run '^$' -fuzz "^$target\$" -fuzztime "${seconds}s" -fuzzminimizetime 1x -timeout 5m "$package" </dev/null
done <<<"$targets"
echo "$count fuzz targets found nothing"
