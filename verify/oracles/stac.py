"""Checks the STAC items and the collection of a store, offline.

    stac.py STORE

Every item and the collection must be valid by the STAC 1.1.0 core schemas that pystac carries; what the
datacube and projection extensions demand is compared with the arrays themselves, because their schemas
are only on the network. Links must lead to files. Prints one JSON object; exit status 1 on any fault.

Needs pystac, jsonschema and xarray with zarr.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pystac
import xarray
from pystac.validation import validate_dict


def check_links(path, links, problems):
    for link in links:
        if not (path.parent / link["href"]).resolve().exists():
            problems.append(f"{path}: {link['href']} leads nowhere")


def check_item(path, problems):
    item = json.loads(path.read_text())
    validate_dict(item, extensions=[])
    pystac.Item.from_dict(item)
    check_links(path, item["links"], problems)
    check_links(path, item["assets"].values(), problems)
    properties = item["properties"]
    cube = xarray.open_zarr(path.parent.parent)
    dimensions, variables = properties["cube:dimensions"], properties["cube:variables"]
    for name, variable in variables.items():
        if tuple(variable["dimensions"]) != cube[name].dims:
            problems.append(f"{path}: {name} has dimensions {cube[name].dims}")
    if set(variables) != set(cube.data_vars):
        problems.append(f"{path}: variables {sorted(cube.data_vars)}")
    times = [np.datetime64(t.rstrip("Z"), "s") for t in dimensions["time"]["values"]]
    if not np.array_equal(cube.time.values.astype("datetime64[s]"), np.array(times)):
        problems.append(f"{path}: other times")
    if dimensions["band"]["values"] != [str(b) for b in cube.band.values]:
        problems.append(f"{path}: other bands")
    for axis in "xy":
        values = cube[axis].values
        if dimensions[axis]["extent"] != [values.min(), values.max()]:
            problems.append(f"{path}: other extent of {axis}")
        if dimensions[axis]["step"] != values[1] - values[0]:
            problems.append(f"{path}: other step of {axis}")
    if properties["proj:shape"] != [cube.sizes["y"], cube.sizes["x"]]:
        problems.append(f"{path}: other shape")
    transform = [float(v) for v in cube.spatial_ref.attrs["GeoTransform"].split()]
    gdal = [transform[1], transform[2], transform[0], transform[4], transform[5], transform[3]]
    if properties["proj:transform"] != gdal:
        problems.append(f"{path}: other transform")
    if properties["proj:code"] != f"EPSG:{cube.spatial_ref.attrs['epsg']}":
        problems.append(f"{path}: other coordinate system")
    return item


def main():
    store, problems = Path(sys.argv[1]).resolve(), []
    items = [check_item(path, problems) for path in sorted(store.glob("*/*/manifest/item.json"))]
    path = store / "collection.json"
    collection = json.loads(path.read_text())
    validate_dict(collection, extensions=[])
    check_links(path, collection["links"], problems)
    linked = [link for link in collection["links"] if link["rel"] == "item"]
    if len(linked) != len(items):
        problems.append(f"{len(linked)} items linked of {len(items)}")
    west, south, east, north = collection["extent"]["spatial"]["bbox"][0]
    for item in items:
        if item["bbox"][0] < west or item["bbox"][1] < south or item["bbox"][2] > east or item["bbox"][3] > north:
            problems.append(f"{item['id']} lies outside the collection")
    print(json.dumps({"items": len(items), "problems": problems}))
    return 0 if items and not problems else 1


if __name__ == "__main__":
    sys.exit(main())
