#!/usr/bin/env bash
# Runs the packages' own tests, and the page's unit tests beside them. What the page's tests print comes last.
set -uo pipefail

page=$(mktemp)
status=0
npm --prefix web run --silent unit >"$page" 2>&1 &
page_tests=$!
trap 'kill "$page_tests" 2>/dev/null; rm -f "$page"' EXIT

# Most tests wait most of the time, so six packages run at once, those first that take longest. Without debug
# information, their binaries link in two thirds of the time. With -short, the longest tests are smaller. make check
# vets.
mapfile -t others < <(go list ./... | grep -vE '/peephole/(test/|cmd/relay$|media$)')
go test -short -vet=off -count=1 -p 6 -ldflags='-s -w' ./cmd/relay ./media "${others[@]}" || status=1
wait "$page_tests" || status=1
cat "$page"
exit $status
