#!/usr/bin/env bash
# Fails when web/dist is not what its source builds. Builds a copy: a check changes nothing here, even when it fails.
set -euo pipefail

copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
tar -C web --exclude=./node_modules --exclude=./dist -cf - . | tar -C "$copy" -xf -
ln -s "$PWD/web/node_modules" "$copy/node_modules"
(cd "$copy" && npm run --silent build)
diff -rq "$copy/dist" web/dist || { echo "web/dist is not what its source builds: run make web, and commit it" >&2; exit 1; }
