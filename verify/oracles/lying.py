"""A copy of a stack of scenes without the offset, half of them with it, under a catalog that lies.

lying.py ITEMS OUT   writes OUT/items.json, its files, and OUT/truth.json: {item id: has the offset}

Every second date gets 1000 added to every valid digital number. Of eight dates in a row, two are described
rightly, two by a wrong offset, two by a wrong baseline and two by both: each lie in both directions.
"""
import json
import os
import shutil
import sys

import numpy as np
import rasterio

OFFSET_DN = 1000


def copy(source, target, add):
    if not add:
        shutil.copy(source, target)
        return
    with rasterio.open(source) as file:
        pixels, profile = file.read(), file.profile
    profile.update(predictor=2)
    moved = np.where(pixels == 0, 0, np.minimum(pixels.astype(np.uint32) + OFFSET_DN, 65535))
    with rasterio.open(target, "w", **profile) as file:
        file.write(moved.astype(pixels.dtype))


def main(items, out):
    os.makedirs(out)
    with open(items) as f:
        catalog = json.load(f)
    truth = {}
    for i, item in enumerate(sorted(catalog["features"], key=lambda f: f["properties"]["datetime"])):
        has = i % 2 == 1
        offset_lies, baseline_lies = i // 2 % 4 in (1, 3), i // 2 % 4 in (2, 3)
        truth[item["id"]] = {"has_offset": has, "lies": [offset_lies, baseline_lies]}
        item["properties"]["s2:processing_baseline"] = "05.09" if has != baseline_lies else "02.06"
        for key, asset in item["assets"].items():
            name = os.path.basename(asset["href"])
            copy(os.path.join(os.path.dirname(items), name), os.path.join(out, name), has and key != "scl")
            if key != "scl":
                for band in asset["raster:bands"]:
                    band["offset"] = -0.1 if has != offset_lies else 0.0
    for name, content in (("items.json", catalog), ("truth.json", truth)):
        with open(os.path.join(out, name), "w") as f:
            json.dump(content, f)
    print(f"{len(truth)} dates, {sum(t['has_offset'] for t in truth.values())} of them with the offset")


main(*sys.argv[1:])
