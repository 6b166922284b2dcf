#!/usr/bin/env bash
# Runs the packages' tests under the race detector, the longest at a smaller size (-short), since make test
# runs them whole. Up to three that fail are tried again alone (scripts/alone.sh).
set -euo pipefail

report=$(mktemp)
trap 'rm -f "$report"' EXIT
export RAPID_CHECKS=20

all=$(go list ./...)
mapfile -t packages < <(grep -v /peephole/test/ <<<"$all")
status=0
go tool gotestsum --format pkgname --format-hide-empty-pkg --jsonfile "$report" -- \
	-race -short -p 4 -timeout 10m "${packages[@]}" ./test/bubble || status=$?
if [ $status -eq 1 ]; then # not interrupted
	status=0
	scripts/alone.sh "$report" -race -short || status=1
fi
exit $status
