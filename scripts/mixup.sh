#!/usr/bin/env bash
# The mix-up test: scripts/mixup.sh HOUSEHOLDS SAMPLE. Both builds, one after the other, over the same households; writes
# doc/mixup.md and doc/mixup.svg.
set -euo pipefail

work=$(mktemp -d -p "$([ -w /dev/shm ] && echo /dev/shm || echo "${TMPDIR:-/tmp}")" peephole-mixup-XXXXXX)
trap 'rm -rf "$work"' EXIT

go build -trimpath -o bin/mixup ./internal/mixup
go build -trimpath -tags unsealed -o "$work/unsealed" ./internal/mixup
echo "$1 households, sealed" >&2
bin/mixup run -households "$1" -sample "$2" -state "$work/state" -result "$work/sealed.json"
echo "the same without sealing: the control" >&2
"$work/unsealed" run -households "$1" -state "$work/state" -result "$work/unsealed.json"
bin/mixup report "$work/sealed.json" "$work/unsealed.json" doc/mixup.md doc/mixup.svg
