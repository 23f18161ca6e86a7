#!/bin/sh
# Makes the README's pictures from a demo's report: docs/pictures/make.sh DEMO_FOLDER
# Needs chromium and imagemagick (both from apt). Looks at the page only: a person should look at what comes out.
set -eu
folder=${1:?usage: make.sh DEMO_FOLDER}
report=$folder/report.html
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
[ -f "$report" ] || { echo "make.sh: $report is not there: run \`surco demo --out $folder\` first" >&2; exit 2; }

# Everything but one part of the page is hidden, so that no pixel has to be counted.
# $1 name, $2 CSS that says what stays, $3 most colours, $4 height in px to keep (all if empty)
picture() {
  page=$work/$1.html
  awk -v css="$2" '{ if (!done && sub(/<\/style>/, css "</style>")) done = 1; print }' "$report" > "$page"
  chromium --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --hide-scrollbars \
    --disable-background-networking --disable-component-update --disable-sync \
    --user-data-dir="$work/profile" --blink-settings=preferredColorScheme=1 \
    --window-size=1200,2600 --screenshot="$work/$1.png" "file://$page" 2> /dev/null
  if [ -n "$4" ]; then
    convert "$work/$1.png" -crop "1200x$4+0+0" +repage "$work/cut.png"
  else
    convert "$work/$1.png" -trim +repage -bordercolor '#fdfcf9' -border 14 "$work/cut.png"
  fi
  # A palette halves the file and no eye tells: photographs of fields and flat colours.
  convert "$work/cut.png" -strip -dither None -colors "$3" -define png:compression-level=9 "$here/$1.png"
}

only='header, nav, .short, footer, section, section > * { display: none !important; }
main { padding: 0 !important; max-width: 68rem !important; }
section, figure { padding: 0 !important; margin: 0 !important; }
figcaption { display: none !important; }'

picture season "$only #scenes, #scenes > figure:first-of-type { display: block !important; }
#scenes .pictures > div { display: none; }
#scenes .pictures > :is(:nth-child(3), :nth-child(6), :nth-child(9), :nth-child(12)) { display: block; }" 256 ''
picture map-truth "$only #map, #map > figure { display: block !important; }
#map .pictures > :nth-child(n + 3) { display: none; }" 128 ''
picture areas "$only #areas, #areas > figure:first-of-type { display: block !important; }" 128 ''
picture report "" 256 1180
ls -l "$here"/*.png
