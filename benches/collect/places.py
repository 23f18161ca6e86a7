"""Middles of the chips of a peers' file ([[col, row], ...], 128 px each) as a CSV of places."""
import json
import os
import sys

from pyproj import Transformer

SIDE_PX = 128
with open(os.path.join(os.environ["SURCO_BENCH_DIR"], "meta.json")) as f:
    m = json.load(f)
lonlat = Transformer.from_crs(m["EPSG"], 4326, always_xy=True)
print("id,lon,lat")
for i, (col, row) in enumerate(json.load(open(sys.argv[1]))):
    x, y = m["X0"] + 10 * (col + SIDE_PX / 2), m["Y0"] - 10 * (row + SIDE_PX / 2)
    lon, lat = lonlat.transform(x, y)
    print(f"{i},{lon:.8f},{lat:.8f}")
