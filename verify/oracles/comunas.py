"""GeoJSON of Chile's municipalities, by GeoParquet's WKB, and bands of latitude that stand for climates.

usage: comunas.py COMUNAS.parquet COMUNAS.geojson BANDS.geojson

Prints one JSON object: the area in km2 of each region, from the geodesic areas of pyproj.
"""

import json
import struct
import sys

import pyarrow.parquet as parquet
from pyproj import Geod

BANDS = [
    ("desert", -27.0, -17.0),
    ("semi-arid", -32.0, -27.0),
    ("mediterranean", -38.0, -32.0),
    ("temperate rain", -44.0, -38.0),
    ("cold steppe and ice", -56.6, -44.0),
]


def polygons(wkb):
    """Rings of each polygon of a WKB polygon or multipolygon, two dimensions."""
    at = 0

    def take(form):
        nonlocal at
        values = struct.unpack_from(form, wkb, at)
        at += struct.calcsize(form)
        return values

    def one():
        order = "<" if take("B")[0] == 1 else ">"
        (kind,) = take(order + "I")
        if kind == 6:
            (count,) = take(order + "I")
            return [polygon for _ in range(count) for polygon in one()]
        assert kind == 3, f"geometry type {kind}"
        (rings,) = take(order + "I")
        out = []
        for _ in range(rings):
            (points,) = take(order + "I")
            flat = take(f"{order}{2 * points}d")
            out.append([list(pair) for pair in zip(flat[::2], flat[1::2])])
        return [out]

    return one()


def main(source, comunas, bands):
    table = parquet.read_table(source)
    geod = Geod(ellps="WGS84")
    features, areas = [], {}
    for row in table.select(["geometry", "REGION"]).to_pylist():
        parts = polygons(row["geometry"])
        for rings in parts:
            sizes = [abs(geod.polygon_area_perimeter(*zip(*ring))[0]) for ring in rings]
            km2 = (sizes[0] - sum(sizes[1:])) / 1e6
            areas[row["REGION"]] = areas.get(row["REGION"], 0.0) + km2
        features.append(
            {
                "type": "Feature",
                "properties": {"region": row["REGION"]},
                "geometry": {"type": "MultiPolygon", "coordinates": parts},
            }
        )
    write(comunas, features)
    box = lambda s, n: [[[-110, s], [-60, s], [-60, n], [-110, n], [-110, s]]]
    write(
        bands,
        [
            {
                "type": "Feature",
                "properties": {"climate": name},
                "geometry": {"type": "Polygon", "coordinates": box(south, north)},
            }
            for name, south, north in BANDS
        ],
    )
    print(json.dumps(areas))


def write(path, features):
    with open(path, "w") as file:
        json.dump({"type": "FeatureCollection", "features": features}, file)


main(*sys.argv[1:])
