#!/usr/bin/env bash
# Runs the mix-up test: scripts/mixup.sh HOUSEHOLDS SAMPLE. It runs both builds over the same households, one after the
# other, and writes doc/mixup.md and doc/mixup.svg.
set -euo pipefail

work=$(mktemp -d -p "$([ -w /dev/shm ] && echo /dev/shm || echo "${TMPDIR:-/tmp}")" peephole-mixup-XXXXXX)
trap 'rm -rf "$work"' EXIT

go build -trimpath -o bin/mixup ./test/mixup
go build -trimpath -tags unsealed -o "$work/unsealed" ./test/mixup
echo "$1 households, sealed" >&2
bin/mixup run -households "$1" -sample "$2" -state "$work/state" -result "$work/sealed.json"
echo "the control: the same without sealing" >&2
"$work/unsealed" run -households "$1" -state "$work/state" -result "$work/unsealed.json"
bin/mixup report "$work/sealed.json" "$work/unsealed.json" doc/mixup.md doc/mixup.svg
