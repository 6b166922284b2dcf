#!/usr/bin/env bash
# Checks that the last commit's subject has at most 72 characters, so that git log and mail programs show all of it.
set -euo pipefail

readonly MAX=72
git rev-parse --is-inside-work-tree >/dev/null 2>&1 || exit 0 # a source archive has no commits

subject=$(git log -1 --no-merges --format=%s)
if [ "${#subject}" -gt "$MAX" ]; then
	echo "the last commit's subject has ${#subject} characters, more than $MAX: shorten it with git commit --amend" >&2
	echo "  $subject" >&2
	exit 1
fi
