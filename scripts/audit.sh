#!/usr/bin/env bash
# Looks for known vulnerabilities: scripts/audit.sh [PACKAGES]. govulncheck finds those in Go code that is reached,
# including the standard library; npm audit finds those in the page's packages and in what builds and tests it. Finding
# one is a failure; a database that cannot be reached is reported, and is not. VULNDB=URL names a mirror of Go's
# database, npm_config_registry one of npm's.
set -uo pipefail

readonly LIMIT=600 # seconds, for each
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
status=0

found() {
	echo "audit: $1: known vulnerabilities:"
	cat "$2"
	status=1
}

# unreachable NAME FILE reports a database that cannot be reached. The last line of FILE says why.
unreachable() { echo "audit: $1: its database cannot be reached from here, so nothing was looked for ($(tail -n 1 "$2"))"; }

broken() {
	echo "audit: $1 did not work:"
	cat "$2"
	status=1
}

[ $# -gt 0 ] || set -- ./...
GOTOOLCHAIN=$(scripts/toolchain.sh) # the one whose standard library our programs contain
export GOTOOLCHAIN
timeout "$LIMIT" go tool govulncheck ${VULNDB:+-db "$VULNDB"} "$@" >"$out/go" 2>&1
case $? in
0) echo "audit: Go $(go env GOVERSION): no known vulnerability" ;;
3) found Go "$out/go" ;;
124) echo "no answer within $LIMIT s" >>"$out/go"; unreachable Go "$out/go" ;;
*) if grep -q 'fetching vulnerabilities: ' "$out/go"; then unreachable Go "$out/go"; else broken govulncheck "$out/go"; fi ;;
esac

# The report is a list of vulnerabilities, or says why there is none.
(cd web && timeout "$LIMIT" npm audit --json) >"$out/npm" 2>"$out/npm.err"
code=$?
said=$(node -e '
	const r = JSON.parse(require("fs").readFileSync(process.argv[1], "utf8"));
	const total = r.metadata?.vulnerabilities?.total;
	if (total !== undefined) console.log("total", total);
	else if (r.message !== undefined) console.log("unreachable"); // of the request
' "$out/npm" 2>>"$out/npm.err")
case "$code $said" in
"0 total 0") echo "audit: npm: no known vulnerability" ;;
*" total "*) (cd web && npm audit) >"$out/npm" 2>&1; found npm "$out/npm" ;;
124*) echo "no answer within $LIMIT s" >>"$out/npm.err"; unreachable npm "$out/npm.err" ;;
*" unreachable") grep -v 'complete log' "$out/npm.err" | head -n 1 >"$out/why"; unreachable npm "$out/why" ;;
*) cat "$out/npm.err" >>"$out/npm"; broken "npm audit" "$out/npm" ;;
esac
exit $status
