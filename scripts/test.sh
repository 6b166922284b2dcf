#!/usr/bin/env bash
# Runs every test, Go and web, and ends with one line: N passed, N failed. A tier without tests fails the run, and if CI
# is set so does a skipped test. Up to three Go tests that fail are tried again alone (scripts/alone.sh), unless
# STRICT is set.
set -uo pipefail

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
status=0 go_status=0 forgiven=0

# count PATTERN FILE prints how many lines of a tier's report match.
count() { grep -cE "$1" "$2" || true; }

# test/e2e takes longer than all other packages together, so it starts first. Its tests mostly wait: six at a time keep
# two processors busy.
all=$(go list ./...) || exit 1
mapfile -t others < <(grep -v '/test/e2e$' <<<"$all")
go tool gotestsum --format pkgname --format-hide-empty-pkg --jsonfile "$out/go.json" -- \
	-count=1 -parallel 6 -timeout 60m ./test/e2e "${others[@]}" || go_status=$?
touch "$out/go.json"
if [ $go_status -eq 1 ] && [ -z "${STRICT:-}" ] && scripts/alone.sh "$out/go.json" >"$out/alone.txt" 2>&1; then
	forgiven=1
fi
test_event() { printf '"Action":"%s","Package":"[^"]*","Test":' "$1"; }
go_passed=$(count "$(test_event pass)" "$out/go.json")
go_failed=$(count "$(test_event fail)" "$out/go.json")
go_skipped=$(count "$(test_event skip)" "$out/go.json")
if [ $forgiven -eq 1 ]; then
	go_passed=$((go_passed + go_failed)) go_failed=0
elif [ $go_status -ne 0 ]; then
	status=1
fi

# node --test ends its report with lines such as "# pass 12" (TAP) or "ℹ pass 12".
(cd web && npm test 2>&1) | tee "$out/web.txt" || status=1
node_sum() { sed -nE "s/^[^ ]+ $1 ([0-9]+)\$/\\1/p" "$out/web.txt" | awk '{ n += $1 } END { print n + 0 }'; }
web_passed=$(node_sum pass)
web_failed=$(($(node_sum fail) + $(node_sum cancelled)))
web_skipped=$(($(node_sum skipped) + $(node_sum todo)))

for tier in "Go $go_passed" "web $web_passed"; do
	[ "${tier#* }" -gt 0 ] || { echo "no ${tier% *} test passed: did they run?"; status=1; }
done
if [ $((go_skipped + web_skipped)) -gt 0 ]; then
	echo "skipped: $go_skipped Go, $web_skipped web"
	grep -E "$(test_event skip)" "$out/go.json" | sed -E 's/.*"Package":"([^"]*)","Test":"([^"]*)".*/  \1 \2/'
	[ -z "${CI:-}" ] || { echo "CI is set: a skipped test is a failure"; status=1; }
fi
[ ! -e "$out/alone.txt" ] || cat "$out/alone.txt"
passed=$((go_passed + web_passed)) failed=$((go_failed + web_failed))
# Something other than a test failed: a package does not build, a tier did not run, a test was skipped in CI.
if [ $status -ne 0 ] && [ $failed -eq 0 ]; then failed=1; fi
if [ $failed -gt 0 ]; then status=1; fi
echo "$passed passed, $failed failed"
exit $status
