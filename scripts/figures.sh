#!/usr/bin/env bash
# Prints how the source reads, in figures (see test/figures): scripts/figures.sh [COMMIT...]; without a commit, of the
# files as they are now.
set -euo pipefail

cd "$(dirname "$0")/.."
if [ $# -eq 0 ]; then
	go run ./test/figures .
	exit
fi

work=$(mktemp -d)
trap 'rm -rf "$work"; git worktree prune' EXIT
go build -o "$work/figures" ./test/figures
for commit; do
	git worktree add --quiet --detach "$work/tree" "$commit"
	echo "$commit: $(git log -1 --format=%s "$commit")"
	echo
	"$work/figures" "$work/tree"
	echo
	git worktree remove --force "$work/tree"
done
