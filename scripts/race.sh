#!/usr/bin/env bash
# Runs the packages' tests under the race detector. A few that fail may pass alone instead (scripts/alone.sh).
set -euo pipefail

report=$(mktemp)
trap 'rm -f "$report"' EXIT
export RAPID_CHECKS=20

mapfile -t packages < <(go list ./... | grep -v /peephole/test/)
go tool gotestsum --format pkgname --format-hide-empty-pkg --jsonfile "$report" -- \
	-race -p 4 -timeout 10m "${packages[@]}" ./test/bubble || scripts/alone.sh "$report" -race
