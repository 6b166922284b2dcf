#!/usr/bin/env bash
# Prints the GOTOOLCHAIN to build with: the Go release that go.mod names, if it is newer than the installed one and can
# be downloaded, or else the installed one, with a word on standard error. GOTOOLCHAIN in the environment overrides both.
set -euo pipefail

if [ -n "${GOTOOLCHAIN:-}" ]; then
	echo "$GOTOOLCHAIN"
	exit
fi
want=$(sed -n 's/^toolchain //p' go.mod)
here=$(GOTOOLCHAIN=local go env GOVERSION)
if [ "$(printf '%s\n' "$want" "$here" | sort -V | tail -n 1)" = "$here" ]; then
	echo local
elif GOTOOLCHAIN=$want timeout 300 go version >/dev/null 2>&1; then
	echo "$want"
else
	echo "go.mod's $want cannot be downloaded here; building with $here" >&2
	echo local
fi
