"""GeoJSON of Chile's municipalities, and bands of latitude that stand for climates.

usage: comunas.py COMUNAS.parquet COMUNAS.geojson BANDS.geojson

Prints one JSON object: areas in km2 of the country and of each region. Municipalities overlap a little, so
shapely unites them first; pyproj measures on the ellipsoid.
"""

import json
import sys

import pyarrow.parquet as parquet
import shapely
from pyproj import Geod

BANDS = [
    ("desert", -27.0, -17.0),
    ("semi-arid", -32.0, -27.0),
    ("mediterranean", -38.0, -32.0),
    ("temperate rain", -44.0, -38.0),
    ("cold steppe and ice", -56.6, -44.0),
]


def main(source, comunas, bands):
    rows = parquet.read_table(source).select(["geometry", "REGION"]).to_pylist()
    shapes = [(shapely.make_valid(shapely.from_wkb(row["geometry"])), row["REGION"]) for row in rows]
    write(comunas, [({"region": region}, shape) for shape, region in shapes])
    write(bands, [({"climate": name}, shapely.box(-110, s, -60, n)) for name, s, n in BANDS])
    regions = sorted({region for _, region in shapes})
    areas = {r: area_km2([shape for shape, region in shapes if region == r]) for r in regions}
    print(json.dumps({"country": area_km2([shape for shape, _ in shapes]), "regions": areas}))


def area_km2(shapes):
    united = shapely.union_all(shapes)
    return abs(Geod(ellps="WGS84").geometry_area_perimeter(shapely.orient_polygons(united))[0]) / 1e6


def write(path, features):
    collection = {
        "type": "FeatureCollection",
        "features": [
            {"type": "Feature", "properties": properties, "geometry": shapely.geometry.mapping(shape)}
            for properties, shape in features
        ],
    }
    with open(path, "w") as file:
        json.dump(collection, file)


main(*sys.argv[1:])
