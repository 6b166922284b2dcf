#!/usr/bin/env bash
# Installs the Debian packages that the tests need and this machine lacks, and those that its arguments name. If none is
# missing it is quick, and offline.
set -euo pipefail

want=(
	chromium firefox-esr fonts-dejavu-core # the web page's tests drive both browsers
	ffmpeg                                 # reads cameras, and checks what viewers write
	gstreamer1.0-tools gstreamer1.0-rtsp gir1.2-gst-rtsp-server-1.0 python3-gi
	gstreamer1.0-plugins-{base,good,bad,ugly} # an RTSP server that we did not write
	nftables iproute2                         # real NATs in network namespaces
	miniupnpd-nftables                        # a home router that opens ports
	clang llvm libbpf-dev                     # to build turn/xdp's program again and compare it
	spass                                     # the models in formal/
	gcc libc6-dev                             # the race detector
	xvfb xterm imagemagick zbar-tools         # a terminal, its screenshot, and a reader of the pairing code on it
	coturn                                    # TURN clients that we did not write, and a server to compare ours with
	nginx-light haproxy                       # proxies in front of a relay, as doc/operations.md sets them up
)
want+=("$@")
command -v node >/dev/null || want+=(nodejs)
command -v npm >/dev/null || want+=(npm)

missing=()
for package in "${want[@]}"; do
	status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) || true
	[ "$status" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

echo "installing: ${missing[*]}"
root=()
if [ "$(id -u)" -ne 0 ]; then
	if ! command -v sudo >/dev/null; then
		echo "deps: not root and no sudo; as root, run: apt-get install ${missing[*]}" >&2
		exit 1
	fi
	root=(sudo)
fi
for service in coturn nginx haproxy; do # we need their programs only: no server should start
	[[ " ${missing[*]} " == *" $service"* ]] || continue
	"${root[@]}" mkdir -p /etc/systemd/system
	"${root[@]}" ln -sf /dev/null "/etc/systemd/system/$service.service"
done
"${root[@]}" apt-get update -q
"${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"
