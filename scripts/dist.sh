#!/usr/bin/env bash
# Fails when web/dist is not what its source builds; leaves the rebuilt one to be committed.
set -euo pipefail

before=$(mktemp -d)
trap 'rm -rf "$before"' EXIT
cp -r web/dist/. "$before"
(cd web && npm run --silent build)
diff -rq "$before" web/dist || { echo "web/dist was out of date; it is rebuilt now, commit it" >&2; exit 1; }
