#!/usr/bin/env bash
# Gives every variant of the pairing model to SPASS and compares what it finds with what is expected: the sound
# protocol without an attack, each broken one with. One line each; any surprise fails.
set -euo pipefail
cd "$(dirname "$0")"

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
failed=0

# check FOUND NAME [-D...]: FOUND is "attack", "no attack", or "run" for an honest run, which must be possible, or
# the model would prove nothing.
check() {
	local want=$1 name=$2 found
	shift 2
	cpp -P -undef "$@" pairing.dfg.in >"$out/model.dfg"
	found=$(SPASS -TimeLimit=60 -PGiven=0 -PProblem=0 "$out/model.dfg" | sed -n 's/^SPASS beiseite: //p') || true
	case "$found" in
	"Proof found.") found=attack ;;
	"Completion found.") found="no attack" ;;
	*) found="nothing (${found:-SPASS refused the model})" ;;
	esac
	if [ "$found" = "${want/run/attack}" ]; then
		printf 'ok    %-10s %s\n' "$want" "$name"
	else
		printf 'FAIL  %-10s %s: found %s\n' "$want" "$name" "$found"
		failed=1
	fi
}

check run "two honest devices can pair" -DQUERY_HONEST
check "no attack" "S secret, the displayer's KEM key known"
check "no attack" "S leaked too: on the scanner" -DS_LEAKED -DQUERY_SCANNER
check attack "S leaked: on the displayer" -DS_LEAKED
check attack "M1's MAC leaves out the scanner's key" -DNO_SCANNER_KEY_IN_MAC
check attack "M2 unsigned, S leaked: on the scanner" -DNO_DISPLAYER_SIGNATURE -DS_LEAKED -DQUERY_SCANNER
check attack "root without k, S leaked: on the scanner" -DNO_FRESH_IN_ROOT -DS_LEAKED -DQUERY_SCANNER
check attack "both roles' messages under one key: reflection" -DONE_DIRECTION
exit $failed
