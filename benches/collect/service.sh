# Sourced by the other scripts: where the service's data and the peers are, and nginx with its own log.
#
# SURCO_BENCH      the peers' side (holds collect/run), default ../shared/bench beside the repository
# SURCO_BENCH_DIR  scenes, items.json and the peers' Python, made by `collect/run setup`
# SURCO_BIN        the program, default target/release/surco
# SURCO_PORT       of the service, default 8098
repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
here=$repo/benches/collect
export SURCO_BENCH=${SURCO_BENCH:-$repo/../shared/bench}
export SURCO_BENCH_DIR=${SURCO_BENCH_DIR:-${TMPDIR:-/tmp}/surco-bench}
export SURCO_BIN=${SURCO_BIN:-${CARGO_TARGET_DIR:-$repo/target}/release/surco}
port=${SURCO_PORT:-8098}
export SVC=http://127.0.0.1:$port
py=$SURCO_BENCH_DIR/venv/bin/python
work=$(mktemp -d "$SURCO_BENCH_DIR/work.XXXXXX")

for needed in "$SURCO_BENCH/collect/run" "$SURCO_BENCH_DIR/items.json" "$SURCO_BIN" "$py"; do
  [ -e "$needed" ] || { echo "error: $needed is missing; see benches/README.md" >&2; exit 3; }
done
"$py" -c 'import zarr' 2>/dev/null || "$py" -m pip install -q 'zarr>=3'

# Items whose hrefs are at another address.
items_at() { sed "s#http://127.0.0.1:8099#$1#g" "$SURCO_BENCH_DIR/items.json" > "$2"; }

serve() {
  mkdir -p "$work/nginx"
  sed "s#__RUN__#$work/nginx#g; s#__DATA__#$SURCO_BENCH_DIR#g; s#127.0.0.1:8099#127.0.0.1:$port#;
       s#access_log [^;]*;#log_format ranges '\$remote_addr \"\$request\" \$status \$body_bytes_sent \"\$http_range\"'; access_log $work/nginx/access.log ranges;#" \
    "$SURCO_BENCH/collect/nginx.conf.in" > "$work/nginx/nginx.conf"
  nginx -c "$work/nginx/nginx.conf"
  items_at "$SVC" "$work/items.json"
}

ended() {
  [ -f "$work/nginx/nginx.pid" ] && kill "$(cat "$work/nginx/nginx.pid")"
  rm -rf "$work"
}
trap ended EXIT

# The bounding box in degrees that meets the cells of a window of pixels and no others.
bbox() { "$py" "$here/window.py" bbox "$1" "$2" "$3"; }
