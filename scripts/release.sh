#!/usr/bin/env bash
# Builds what people install. release.sh [TARGET...] writes an archive for each target, or for all, and SHA256SUMS to
# dist/. The same commit and Go give the same bytes. release.sh -turn tries two targets, different ones for each commit.
set -euo pipefail

cd "$(dirname "$0")/.."
all=(
	linux/amd64 linux/arm64 linux/armv7 linux/armv6 linux/mips linux/mipsle linux/riscv64
	darwin/amd64 darwin/arm64 windows/amd64 freebsd/amd64 android/arm64
)
GOTOOLCHAIN=$(scripts/toolchain.sh)
GOWORK=$PWD/go.work # for Android
export GOTOOLCHAIN GOWORK CGO_ENABLED=0

# for_target TARGET COMMAND... runs a go command for a target. Small routers have no floating point unit.
for_target() {
	local os=${1%/*} arch=${1#*/}
	shift
	case $arch in
	armv6) env GOOS="$os" GOARCH=arm GOARM=6 "$@" ;;
	armv7) env GOOS="$os" GOARCH=arm GOARM=7 "$@" ;;
	mips | mipsle) env GOOS="$os" GOARCH="$arch" GOMIPS=softfloat "$@" ;;
	*) env GOOS="$os" GOARCH="$arch" "$@" ;;
	esac
}

# commands TARGET prints the commands that are useful there. Nobody runs a relay on a phone.
commands() {
	echo ./cmd/camera ./cmd/viewer
	[ "${1%/*}" = android ] || echo ./cmd/relay
}

# try_turn builds one target and vets another. The commit chooses them, so that all get their turn.
try_turn() {
	local n=${#all[@]} commit
	commit=$((16#$(git rev-parse HEAD | cut -c1-7)))
	local build=${all[commit % n]} vet=${all[(commit / n) % n]}
	echo "release: building for $build, vetting for $vet"
	mapfile -t what < <(commands "$build" | tr ' ' '\n')
	for_target "$build" go build -trimpath -o /dev/null "${what[@]}"
	for_target "$vet" go vet ./cmd/...
}

# archive TARGET builds for a target and packs it into dist/.
archive() {
	local name=peephole-$version-${1/\//-} dir
	dir=$work/$name
	mapfile -t what < <(commands "$1" | tr ' ' '\n')
	mkdir -p "$dir"
	for_target "$1" go build -trimpath -buildvcs=true -ldflags '-s -w' -o "$dir/" "${what[@]}"
	cp README.md doc/operations.md "$dir/"
	tar -C "$work" --sort=name --mtime="@$epoch" --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX -cf - "$name" |
		gzip -9n >"dist/$name.tar.gz"
	rm -r "$dir"
	echo "dist/$name.tar.gz"
}

if [ "${1:-}" = -turn ]; then
	try_turn
	exit
fi
version=$(git describe --tags --always --dirty)
epoch=$(git log -1 --format=%ct)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
[ $# -gt 0 ] || set -- "${all[@]}"
for target; do
	[[ " ${all[*]} " == *" $target "* ]] || { echo "release: no target $target; there are ${all[*]}" >&2; exit 1; }
done
rm -rf dist
mkdir dist
for target; do archive "$target"; done
(cd dist && sha256sum -- *.tar.gz >SHA256SUMS)
