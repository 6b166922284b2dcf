#!/usr/bin/env bash
# The demo: one relay and two simulated cameras of two households on this machine, until Ctrl-C. What they keep is in
# .demo/ and survives. LISTEN and TURN say where the relay listens; where a port is taken, a free one is used.
set -euo pipefail

listen=${LISTEN:-127.0.0.1:7880} turn=${TURN:-127.0.0.1:3478} state=${STATE:-.demo}

relay='' cameras=''
# stop ends what was started, the cameras first, and waits for it.
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
flock -n 9 || { echo "demo: already running with $state (STATE=folder starts a second one)" >&2; exit 1; }

# start LISTEN TURN runs the relay and waits for its line "ready URL".
start() {
	exec 8<&-
	rm -f "$state/ready"
	mkfifo "$state/ready"
	bin/relay serve -listen "$1" -turn "$2" -state "$state/relay" >"$state/ready" 2>"$state/relay.log" &
	relay=$!
	exec 8<"$state/ready" # stays open, so that the relay may write on
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
		echo "demo: nor any free port; its log is $state/relay.log:" >&2
		tail -n 5 "$state/relay.log" >&2
		exit 1
	fi
	case $url in
	*"$listen") echo "demo: TURN uses a free port" ;;
	*) echo "demo: using a free port; devices paired at another address do not find this one" ;;
	esac
fi

cat <<END

  The relay serves at     $url
  Its web page            $url/

  Below are two cameras of two households, each with a link and its QR code, good for ten minutes. To watch:
    in a browser          open its link, or paste it into the page
    in a terminal         bin/viewer pair 'LINK', then bin/viewer list
                          bin/viewer watch NAME -frames 100
  Each code pairs one device; the next is shown until ten minutes after the start, and none after a restart.
  rm -r $state makes all new (then bin/viewer forget NAME the old ones). Ctrl-C stops everything.

END
bin/camera-sim -state "$state/cameras" -n 2 -relay "$url" 2>"$state/cameras.log" &
cameras=$!

# Neither ends by itself.
wait -n "$relay" "$cameras" || true
for name in relay cameras; do
	kill -0 "${!name}" 2>/dev/null || { echo "demo: $name ended; the log is $state/$name.log:" >&2; tail -n 5 "$state/$name.log" >&2; }
done
exit 1
