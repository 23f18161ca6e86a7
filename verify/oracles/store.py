"""Compares a store with the files it was collected from, pixel by pixel, through xarray.

    store.py STORE ITEMS_JSON

Opens every cell with `xarray.open_zarr` as it is and reads every scene of the catalog with rasterio. A
10 m pixel must equal the file's digital number, a 20 m pixel must be doubled, where the manifest says
that +1000 was subtracted the difference must be exactly that, and xarray may not warn. Prints one JSON
object; exit status 1 on any difference.

xarray looks for consolidated metadata only where it is pointed at, so a cell opens without a warning as
`open_zarr("STORE/31UDS/r00c00")`, and through the root with `consolidated=False`.

Needs xarray, zarr, rasterio and numpy, and looks with rioxarray too if it is there.
"""

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import rasterio
import xarray

try:
    import rioxarray  # noqa: F401  registers .rio
except ImportError:
    rioxarray = None

NAMES = ["B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12", "SCL"]
KEYS = {
    "blue": "B02", "green": "B03", "red": "B04", "rededge1": "B05", "rededge2": "B06",
    "rededge3": "B07", "nir": "B08", "nir08": "B8A", "swir16": "B11", "swir22": "B12", "scl": "SCL",
}  # fmt: skip


def layers_of(item):
    """Band name -> (asset, number of the band in its file, from 1)."""
    found = {}
    for key, asset in item["assets"].items():
        if asset.get("type", "").endswith("jp2") or key in ("visual", "preview", "thumbnail"):
            continue
        names = [b.get("name") for b in asset.get("eo:bands") or asset.get("bands") or []]
        if key in KEYS or key in NAMES:
            name = KEYS.get(key, key)
            found[name] = (asset, names.index(name) + 1 if name in names else 1)
        else:
            for number, name in enumerate(names, 1):
                if name in NAMES:
                    found.setdefault(name, (asset, number))
    return found


def manifests(cell):
    """Item id -> (place on the time axis, scene record)."""
    scenes = {}
    for path in sorted((cell / "manifest").glob("t*.json")):
        shard = int(path.stem[1:])
        for date in json.loads(path.read_text())["dates"]:
            scenes[date["scene"]["id"]] = (shard * 12 + date["slot"], date["scene"])
    return scenes


# Classes of the scene classification that show the ground; all others are no data in a store.
CLEAR = [2, 4, 5, 6, 7, 11]


def same_take(item, scenes):
    """Whether the store holds another processing of the same take: its id but for the `_1` of a repeat."""
    take = item["id"].removesuffix("_L2A").split("_")[:3]
    return any(take == other.removesuffix("_L2A").split("_")[:3] for other in scenes)


def source(asset, number, base, cell_transform, shape):
    """The pixels of an asset in a cell, 20 m pixels doubled."""
    href = asset["href"]
    path = href if "://" in href else str(base / href)
    with rasterio.open(path) as file:
        factor = round(file.transform.a / cell_transform[1])
        col = round((cell_transform[0] - file.transform.c) / cell_transform[1])
        row = round((file.transform.f - cell_transform[3]) / cell_transform[1])
        whole = file.read(number)
    whole = whole.repeat(factor, axis=0).repeat(factor, axis=1)
    return whole[row : row + shape[0], col : col + shape[1]]


def compare(store, items_path):
    items = json.loads(items_path.read_text())["features"]
    report = {"cells": 0, "dates": 0, "superseded": 0, "pixels": 0, "differing_pixels": 0, "problems": []}
    verdicts, evidence, raised = {}, {}, set()
    for cell in sorted(p.parent for p in store.glob("*/r*c*/zarr.json")):
        group = cell.relative_to(store).as_posix()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            cube = xarray.open_zarr(cell)
            by_group = xarray.open_zarr(store, group=group, consolidated=False)
            if not cube.isel(time=slice(0, 1)).identical(by_group.isel(time=slice(0, 1))):
                report["problems"].append(f"{group}: differs when opened through the root")
        raised |= {f"{w.category.__name__}: {w.message}" for w in caught}
        report["cells"] += 1
        attributes = cube.spatial_ref.attrs
        crs = rasterio.crs.CRS.from_wkt(attributes["crs_wkt"])
        if rioxarray and cube.reflectance.rio.crs != crs:
            report["problems"].append(f"{group}: rioxarray finds {cube.reflectance.rio.crs}")
        if crs.to_epsg() != attributes["epsg"]:
            report["problems"].append(f"{group}: WKT of {crs}, stated {attributes['epsg']}")
        transform = [float(v) for v in attributes["GeoTransform"].split()]
        corner = [cube.x.values[0] - transform[1] / 2, cube.y.values[0] - transform[5] / 2]
        if not np.allclose(corner, [transform[0], transform[3]]):
            report["problems"].append(f"{group}: coordinates and GeoTransform differ")
        scenes = manifests(cell)
        bands = [str(b) for b in cube.band.values]
        for item in items:
            if item["id"] not in scenes and same_take(item, scenes):
                report["superseded"] += 1
                continue
            if item["id"] not in scenes:
                report["problems"].append(f"{group}: {item['id']} is not in the store")
                continue
            place, scene = scenes[item["id"]]
            if scene["holes"]:
                report["problems"].append(f"{group}: {item['id']} has holes: {scene['holes'][0]}")
            time = np.datetime64(item["properties"]["datetime"].rstrip("Z"), "s")
            if cube.time.values[place].astype("datetime64[s]") != time:
                report["problems"].append(f"{group}: {item['id']} is at {cube.time.values[place]}")
            wanted = layers_of(item)
            got = cube.isel(time=place).load()
            shape = got.scl.shape
            clear = np.isin(source(*wanted["SCL"], items_path.parent, transform, shape), CLEAR)
            # A date that shows no ground is not judged.
            if bool(clear.any()) == (scene["offset"] is None):
                report["problems"].append(f"{group}: {item['id']} is judged without clear ground, or not with it")
            offset = scene["offset"] or {"verdict": "no clear ground", "evidence": "no clear ground"}
            verdict = offset["verdict"]
            verdicts[verdict] = verdicts.get(verdict, 0) + 1
            evidence[offset["evidence"]] = evidence.get(offset["evidence"], 0) + 1
            for name in [*bands, "SCL"]:
                own = got.scl if name == "SCL" else got.reflectance.sel(band=name)
                own = own.values
                want = source(*wanted[name], items_path.parent, transform, own.shape)
                if name != "SCL" and verdict == "subtracted":
                    lower = np.maximum(want.astype("int32") - 1000, 1)
                    want = np.where(want == 0, 0, lower).astype("uint16")
                if name != "SCL":
                    want = np.where(clear, want, 0)
                report["pixels"] += own.size
                report["differing_pixels"] += int((own != want).sum())
            report["dates"] += 1
    report["verdicts"], report["evidence"] = verdicts, evidence
    report["warnings"] = sorted(raised)
    return report


def main():
    store, items_path = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    report = compare(store, items_path)
    good = report["cells"] and report["dates"] and not report["differing_pixels"]
    report["equal"] = bool(good and not report["problems"] and not report["warnings"])
    print(json.dumps(report, indent=1))
    return 0 if report["equal"] else 1


if __name__ == "__main__":
    sys.exit(main())
