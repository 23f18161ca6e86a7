#!/usr/bin/env python3
"""Looks at Cloud Optimized GeoTIFFs with GDAL: `cog.py FILE…`, one JSON object a file.

Each is validated as rio-cogeo does it, warnings counting as errors, and read with rasterio. Class maps
(one band of bytes) are also counted value by value, with the colours and category names that GDAL finds.
Exit code 1 if one is not valid. Needs rasterio, numpy and rio-cogeo.
"""

import json
import sys
import xml.etree.ElementTree as ElementTree

import numpy as np
import rasterio
import rasterio.shutil
from rasterio.io import MemoryFile
from rio_cogeo import cog_validate


def palette(src):
    """Colour of each value from 0 as [r, g, b, a], or None without a palette."""
    if src.colorinterp[0] != rasterio.enums.ColorInterp.palette:
        return None
    return [list(colour) for _, colour in sorted(src.colormap(1).items())]


def categories(path):
    """Category names as GDAL sees them; rasterio has no call for them, but GDAL writes them into a VRT."""
    with MemoryFile(ext=".vrt") as memory:
        rasterio.shutil.copy(path, memory.name, driver="VRT")
        tree = ElementTree.fromstring(memory.read())
    return [name.text or "" for name in tree.iterfind("VRTRasterBand[@band='1']/CategoryNames/Category")]


def look(path):
    valid, errors, warnings = cog_validate(path, strict=True, quiet=True)
    with rasterio.open(path) as src:
        bands = [src.read(i) for i in src.indexes]
        found = {
            "path": path,
            "valid": bool(valid),
            "errors": errors,
            "warnings": warnings,
            "epsg": src.crs.to_epsg() if src.crs else None,
            "transform": list(src.transform)[:6],
            "shape": [src.count, src.height, src.width],
            "dtype": src.dtypes[0],
            "nodata": src.nodata,
            "block": list(src.block_shapes[0]),
            "overviews": src.overviews(1),
            "layout": src.tags(ns="IMAGE_STRUCTURE"),
            "descriptions": list(src.descriptions),
            "metadata": src.tags(),
            # Exact for integers; floats are summed in double precision, NaN left out.
            "sums": [
                float(np.nansum(b, dtype=np.float64)) if b.dtype.kind == "f" else int(b.sum(dtype=np.int64))
                for b in bands
            ],
        }
        if found["dtype"] == "uint8" and src.count == 1:
            values, counts = np.unique(bands[0], return_counts=True)
            found["counts"] = dict(zip(map(str, values.tolist()), counts.tolist()))
            found["categories"] = categories(path)
            named = len(found["categories"])
            found["palette"] = (palette(src) or [])[:named]
    return found


def main(paths):
    if not paths:
        sys.exit(__doc__)
    found = [look(path) for path in paths]
    for one in found:
        print(json.dumps(one, ensure_ascii=False))
    return 0 if all(one["valid"] for one in found) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
