#!/usr/bin/env python3
"""Looks at Cloud Optimized GeoTIFFs with GDAL: `cog.py FILE…`, one JSON object a file.

Each is validated as rio-cogeo does it, warnings counting as errors, and read with rasterio. Exit code 1 if
one is not valid. Needs rasterio, numpy and rio-cogeo.
"""

import json
import sys

import numpy as np
import rasterio
from rio_cogeo import cog_validate


def look(path):
    valid, errors, warnings = cog_validate(path, strict=True, quiet=True)
    with rasterio.open(path) as src:
        bands = [src.read(i) for i in src.indexes]
        return {
            "path": path,
            "valid": bool(valid),
            "errors": errors,
            "warnings": warnings,
            "crs": src.crs.to_string() if src.crs else None,
            "transform": list(src.transform)[:6],
            "shape": [src.count, src.height, src.width],
            "dtype": src.dtypes[0],
            "nodata": None if src.nodata is None else str(src.nodata),
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


def main(paths):
    if not paths:
        sys.exit(__doc__)
    found = [look(path) for path in paths]
    for one in found:
        print(json.dumps(one, ensure_ascii=False))
    return 0 if all(one["valid"] for one in found) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
