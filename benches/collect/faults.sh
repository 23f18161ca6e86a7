#!/usr/bin/env bash
# The real program against a service that misbehaves at random: the stores must be those of a sound one.
#
#   faults.sh [RATE]   share of requests that go wrong, default 0.04; MODES to choose ("503 trunc flip zero stall")
set -euo pipefail
. "$(dirname "$0")/service.sh"
rate=${1:-0.04}
serve
area=$(bbox 1400 1400 500)

# Hashes of all files but those in dot folders (caches, locks).
hashes() { (cd "$1" && find . -type f -not -path '*/.*' | sort | xargs sha256sum | sha256sum | cut -c1-16); }

collect() {
  local code=0
  /usr/bin/time -o "$work/time" -f '%e' "$SURCO_BIN" collect --catalog "$1" --bbox="$area" --store "$2" --json \
    > "$work/result" 2> "$work/said" || code=$?
  [ "$code" = 0 ] || tail -2 "$work/said" >&2
  echo "$code"
}

code=$(collect "$work/items.json" "$work/sound")
[ "$code" = 0 ] || { echo "error: the sound service gave exit code $code" >&2; exit 1; }
want=$(hashes "$work/sound")
echo "| service | faults / requests | exit code | seconds | store |"
echo "|---|---|---|---|---|"
echo "| sound | 0 | $code | $(tail -1 "$work/time") | $want |"
failed=0
fault_port=$((port + 10))
for mode in ${MODES:-503 trunc flip zero stall}; do
  "$py" "$SURCO_BENCH/collect/fault_server.py" "$fault_port" "$mode" "$rate" 2> /dev/null & server=$!
  for _ in $(seq 50); do "$py" -c "import socket; socket.create_connection(('127.0.0.1', $fault_port))" 2> /dev/null && break; sleep 0.1; done
  items_at "http://127.0.0.1:$fault_port" "$work/items-$mode.json"
  code=$(collect "$work/items-$mode.json" "$work/$mode")
  stat=$("$py" -c "import urllib.request as u; s = eval(u.urlopen('http://127.0.0.1:$fault_port/stat').read()); print(s['fault'], '/', s['req'])")
  kill "$server"; wait "$server" 2> /dev/null || true
  got=$( [ -d "$work/$mode" ] && hashes "$work/$mode" || echo none)
  same=same; [ "$got" = "$want" ] && [ "$code" = 0 ] || { same="DIFFERS ($got)"; failed=1; }
  echo "| $mode $rate | $stat | $code | $(tail -1 "$work/time") | $same |"
  rm -rf "${work:?}/$mode"
done
exit $failed
