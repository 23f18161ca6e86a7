"""Writes an index of items for a country, as stac-geoparquet, to measure the plan of a country with.

    python benches/country_index.py TILES.geojson OUT.parquet [--years 8] [--per-year 130]

TILES.geojson: tiles with `tile`, `epsg`, `xmin`, `ymin` and their outlines. Needs pyarrow. The items are made up, but have
the columns, the assets and the lengths of text of Earth Search's `sentinel-2-c1-l2a`. Then:

    cargo build --release -p surco-collect --example plan_country
    /usr/bin/time -v target/release/examples/plan_country OUT.parquet
"""

import argparse
import datetime as dt
import hashlib
import json
import struct

import pyarrow as pa
import pyarrow.parquet as pq

TEN = {"blue": "B02", "green": "B03", "red": "B04", "nir": "B08"}
TWENTY = {"rededge1": "B05", "rededge2": "B06", "rededge3": "B07", "nir08": "B8A",
          "swir16": "B11", "swir22": "B12", "scl": "SCL"}
ROOT = "https://e84-earth-search-sentinel-data.s3.us-west-2.amazonaws.com/sentinel-2-c1-l2a"


def wkb(ring):
    points = b"".join(struct.pack("<dd", *p[:2]) for p in ring)
    return struct.pack("<BII", 1, 3, 1) + struct.pack("<I", len(ring)) + points


def assets(tile, corner, name, when):
    zone, band, square = tile[:-3], tile[-3], tile[-2:]
    folder = f"{ROOT}/{zone}/{band}/{square}/{when.year}/{when.month}/{name}"
    found = {}
    for keys, px in ((TEN, 10), (TWENTY, 20)):
        for key, band_name in keys.items():
            side = 109800 // px
            href = f"{folder}/{band_name}.tif"
            digest = hashlib.sha256(href.encode()).hexdigest()
            asset = {
                "href": href,
                "type": "image/tiff; application=geotiff; profile=cloud-optimized",
                "title": f"{key} - {px}m",
                "gsd": float(px),
                "proj:shape": [side, side],
                "proj:transform": [float(px), 0.0, corner[0], 0.0, -float(px), corner[1]],
                "file:size": 50_135_369,
                "file:checksum": "1220" + digest,
                "roles": ["data", "reflectance"],
            }
            raster = {"nodata": 0.0, "data_type": "uint16", "spatial_resolution": float(px)}
            if key != "scl":
                raster |= {"scale": 0.0001, "offset": -0.1}
                asset["eo:bands"] = [{"name": band_name, "common_name": key}]
            asset["raster:bands"] = [raster]
            found[key] = asset
    return found


def items(tile, epsg, corner, ring, years, per_year):
    lons, lats = [p[0] for p in ring], [p[1] for p in ring]
    corners = [min(ring, key=lambda p: s * p[0] + t * p[1]) for s, t in
               ((1, 1), (-1, 1), (-1, -1), (1, -1))]
    outline = wkb([*corners, corners[0]])  # Services draw five points, not the tile's curve.
    box = dict(xmin=min(lons), ymin=min(lats), xmax=max(lons), ymax=max(lats))
    zone = int(tile[:-3])
    for n in range(years * per_year):
        when = dt.datetime(2017, 5, 1, 14, 38, 51, 24000, dt.timezone.utc)
        when += dt.timedelta(days=n * 365.25 / per_year)
        satellite = "AB"[n % 2]
        stamp = when.strftime("%Y%m%dT%H%M%S")
        name = f"S2{satellite}_T{tile}_{stamp}_L2A"
        yield {
            "type": "Feature", "stac_version": "1.0.0", "id": name,
            "collection": "sentinel-2-c1-l2a", "datetime": when, "created": when,
            "updated": when, "platform": f"sentinel-2{satellite.lower()}",
            "constellation": "sentinel-2", "eo:cloud_cover": float(n * 37 % 101),
            "proj:epsg": epsg, "mgrs:utm_zone": zone, "grid:code": f"MGRS-{tile}",
            "s2:processing_baseline": "05.10", "s2:generation_time": when.isoformat(),
            "s2:datatake_id": f"GS2{satellite}_{stamp}_{n:06}_N05.10",
            "s2:datastrip_id": f"S2{satellite}_OPER_MSI_L2A_DS_2APS_{stamp}_S{stamp}_N05.10",
            "s2:product_uri": f"S2{satellite}_MSIL2A_{stamp}_N0510_R098_T{tile}_{stamp}.SAFE",
            "s2:snow_ice_percentage": 0.25, "s2:water_percentage": 1.5,
            "bbox": box, "geometry": outline,
            "links": [{"rel": "self", "href": f"https://example.org/items/{name}"},
                      {"rel": "root", "href": "https://example.org/v1"}],
            "assets": assets(tile, corner, name, when),
        }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tiles")
    parser.add_argument("out")
    parser.add_argument("--years", type=int, default=8)
    parser.add_argument("--per-year", type=int, default=130)
    args = parser.parse_args()
    features = json.load(open(args.tiles))["features"]
    writer, rows = None, 0
    for feature in features:
        known = feature["properties"]
        tile, corner = known["tile"], (known["xmin"], known["ymin"] + 109800.0)
        shape = feature["geometry"]["coordinates"]
        ring = shape[0][0] if feature["geometry"]["type"] == "MultiPolygon" else shape[0]
        table = pa.Table.from_pylist(list(
            items(tile, known["epsg"], corner, ring, args.years, args.per_year)))
        if writer is None:
            writer = pq.ParquetWriter(args.out, table.schema, compression="zstd")
        writer.write_table(table.cast(writer.schema))
        rows += len(table)
    writer.close()
    print(f"{rows} items of {len(features)} tiles in {args.out}")


if __name__ == "__main__":
    main()
