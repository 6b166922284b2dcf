#!/bin/sh
# Builds turn/xdp/forward.o from forward.c. With "check" it only checks that the committed one is the same.
set -eu
cd "$(dirname "$0")/../turn/xdp"
out=$(mktemp) && trap 'rm -f "$out"' EXIT
clang -O2 -g -target bpf -mcpu=v3 -Wall -Werror "-I/usr/include/$(uname -m)-linux-gnu" -fdebug-compilation-dir=. -c forward.c -o "$out"
llvm-strip -g "$out"
case "${1:-}" in
check) cmp -s "$out" forward.o || {
	echo "turn/xdp/forward.o is not what forward.c makes with $(clang --version | head -n 1); run scripts/xdp.sh with Debian's clang 14, or commit its result" >&2
	exit 1
} ;;
*) cp "$out" forward.o && chmod 644 forward.o ;;
esac
