#!/usr/bin/env bash
# Fails if web/dist is not what its source builds. It builds in a copy: a check changes nothing here, even if it fails.
set -euo pipefail

copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
mkdir "$copy/web"
tar -C web --exclude=./node_modules --exclude=./dist -cf - . | tar -C "$copy/web" -xf -
ln -s "$PWD/web/node_modules" "$copy/web/node_modules"
ln -s "$PWD/crypto" "$copy/crypto" # the list of words
(cd "$copy/web" && npm run --silent build)
diff -rq "$copy/web/dist" web/dist || { echo "web/dist is not what its source builds: run make web, and commit the result" >&2; exit 1; }
