#!/usr/bin/env bash
# Ours beside its peers on the same service in one run, interleaved.
#
#   run.sh cube SIDE_PX     the window of SIDE_PX pixels at 1400,1400: 500 = 5 km, 2500 = 25 km
#   run.sh chips [FILE]     128-pixel chips, default chips256.json
#
# ROUNDS (3) of ours and of PEERS ("odc_stac rasterio_threads"); ONCE ("async_geotiff_cube stackstac_cube")
# run in the first round only. Prints a table; the raw lines are kept in OUT (default a temporary file).
set -euo pipefail
. "$(dirname "$0")/service.sh"
mode=${1:-cube} arg=${2:-}
rounds=${ROUNDS:-3}
peers=${PEERS-odc_stac rasterio_threads}
once=${ONCE-async_geotiff_cube stackstac_cube}
lines=${OUT:-$work/lines.jsonl}
: > "$lines"
serve

case $mode in
cube) side=${arg:-500}; peer_args="cube $side 1400 1400"; ours_args=(--bbox="$(bbox 1400 1400 "$side")") ;;
chips)
  chips=${arg:-$SURCO_BENCH/collect/chips256.json}; [ -f "$chips" ] || chips=$SURCO_BENCH/collect/$chips
  peer_args="chips $chips"
  "$py" "$here/places.py" "$chips" > "$work/places.csv"
  ours_args=(--places "$work/places.csv" --chip 128) ;;
*) sed -n '2,9p' "$0"; exit 2 ;;
esac

measured() { /usr/bin/time -o "$work/time" -f '%e %U %S %M' "$@"; }

ours() {
  local store=$work/store-$1
  rm -rf "$store"; : > "$work/nginx/access.log"; kill -USR1 "$(cat "$work/nginx/nginx.pid")"
  measured "$SURCO_BIN" collect --catalog "$work/items.json" "${ours_args[@]}" --store "$store" --json \
    > "$work/result" 2> "$work/said" || { tail -5 "$work/said" >&2; return 1; }
  sleep 0.2
  "$py" "$here/compare.py" ours "$work" "$store" $mode ${side:-0} >> "$lines"
  rm -rf "$store"
}

peer() {
  (cd "$SURCO_BENCH/collect/peers" && T=${T:-4} measured "$py" "$1.py" $peer_args) \
    > "$work/result" 2> "$work/said" || { echo "$1 failed:" >&2; tail -5 "$work/said" >&2; return 0; }
  "$py" "$here/compare.py" peer "$work" >> "$lines"
}

for round in $(seq "$rounds"); do
  ours "$round"
  for name in $peers; do peer "$name"; done
  if [ "$round" = 1 ]; then for name in $once; do peer "$name"; done; fi
done
floor=${FLOOR_BIN:-${CARGO_TARGET_DIR:-$repo/target}/release/examples/inflate_floor}
if [ "$mode" = cube ] && [ -x "$floor" ]; then
  find -L "$SURCO_BENCH_DIR/tiles" -name '*.tif' | sort > "$work/files"
  for _ in $(seq "$rounds"); do "$floor" "$work/files" 1400 1400 "$side" >> "$lines"; done
fi
"$py" "$here/compare.py" table "$lines"
