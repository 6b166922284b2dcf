#!/usr/bin/env bash
# Runs the demo on this machine until Ctrl-C: one relay, and two simulated cameras of two households. Their state stays
# in .demo/. LISTEN and TURN are the relay's addresses; if a port is taken, the demo uses a free one.
set -euo pipefail

listen=${LISTEN:-127.0.0.1:7880} turn=${TURN:-127.0.0.1:3478} state=${STATE:-.demo}

relay='' cameras=''
# stop ends the cameras and then the relay, and waits for them.
stop() {
	trap '' INT TERM
	for pid in $cameras $relay; do
		kill "$pid" 2>/dev/null || continue
		(timeout 10 tail -s 0.1 --pid="$pid" -f /dev/null || kill -KILL "$pid") 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
}
trap stop EXIT
trap 'echo; echo "stopping"; exit 0' INT TERM

mkdir -p "$state"
chmod 700 "$state"
exec 9>"$state/lock"
flock -n 9 || { echo "demo: already running with $state; for a second one say STATE=folder" >&2; exit 1; }

# start LISTEN TURN runs the relay and waits for its line "ready URL".
start() {
	exec 8<&-
	rm -f "$state/ready"
	mkfifo "$state/ready"
	bin/relay serve -loopback-unlimited -listen "$1" -turn "$2" -state "$state/relay" >"$state/ready" 2>"$state/relay.log" &
	relay=$!
	exec 8<"$state/ready" # stays open, so that the relay can go on writing
	url=''
	while read -r word rest <&8; do
		if [ "$word" = ready ]; then url=$rest; break; fi
	done
	[ -n "$url" ] || { wait "$relay" || true; relay=''; return 1; }
}

if ! start "$listen" "$turn"; then
	echo "demo: the relay could not use $listen and $turn:"
	tail -n 1 "$state/relay.log"
	turn="${turn%:*}:0"
	if ! start "$listen" "$turn" && ! start "${listen%:*}:0" "$turn"; then
		echo "demo: the relay could not use any free port either; its log is $state/relay.log:" >&2
		tail -n 5 "$state/relay.log" >&2
		exit 1
	fi
	case $url in
	*"$listen") echo "demo: TURN uses a free port" ;;
	*) echo "demo: using a free port; devices that were paired at another address will not find it" ;;
	esac
fi

cat <<END

  The relay serves at     $url
  Its web page            $url/

  Below are two cameras of two households. Each shows a link, three words and a QR code, valid for ten minutes.
  Before it pairs, your device shows the same three words and asks you. To watch:
    in a browser          open the link, or paste it into the page
    in a terminal         bin/viewer pair 'LINK', then bin/viewer list
                          bin/viewer watch NAME -frames 100
  Each code pairs one device; then the next one is shown, until ten minutes have passed. After a restart none is.
  To start afresh, run rm -r $state, and bin/viewer forget NAME for the old cameras. Ctrl-C stops everything.

END
bin/camera-sim -state "$state/cameras" -n 2 -relay "$url" 2>"$state/cameras.log" &
cameras=$!

# Neither should end by itself.
wait -n "$relay" "$cameras" || true
for name in relay cameras; do
	kill -0 "${!name}" 2>/dev/null || { echo "demo: $name ended; the log is $state/$name.log:" >&2; tail -n 5 "$state/$name.log" >&2; }
done
exit 1
