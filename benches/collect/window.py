"""A window of pixels of the bench service's tile.

window.py bbox COL ROW SIDE         the degrees that meet the cells of the window and no others
window.py count STORE COL ROW SIDE  one JSON line: sum and non-zero count of the window in a store
"""
import json
import os
import sys

CELL_PX = 1024
CLEAR = [2, 4, 5, 6, 7, 11]


def meta():
    with open(os.path.join(os.environ["SURCO_BENCH_DIR"], "meta.json")) as f:
        return json.load(f)


def bbox(col, row, side):
    """West, south, east and north of the window, drawn in by 100 px where that leaves its cells met."""
    from pyproj import Transformer

    m = meta()
    lonlat = Transformer.from_crs(m["EPSG"], 4326, always_xy=True)

    def inner(start):
        first, last = start // CELL_PX, (start + side - 1) // CELL_PX
        # A rectangle in degrees leans by some hundred metres: stay away from the cells' edges.
        return max(start, first * CELL_PX + 100), min(start + side, (last + 1) * CELL_PX - 100)

    (left, right), (top, bottom) = inner(col), inner(row)
    xs = [m["X0"] + 10 * left, m["X0"] + 10 * right]
    ys = [m["Y0"] - 10 * bottom, m["Y0"] - 10 * top]
    # The largest rectangle in degrees inside the leaning one.
    west = max(lonlat.transform(xs[0], y)[0] for y in ys)
    east = min(lonlat.transform(xs[1], y)[0] for y in ys)
    south = max(lonlat.transform(x, ys[0])[1] for x in xs)
    north = min(lonlat.transform(x, ys[1])[1] for x in xs)
    return f"{west:.6f},{south:.6f},{east:.6f},{north:.6f}"


def count(store, col, row, side):
    """Sum and non-zero count as the peers report them: clear pixels, offset removed."""
    import numpy as np
    import zarr

    total, nonzero, pixels = 0, 0, 0
    for path in sorted(cells(store)):
        r, c = (int(part) for part in os.path.basename(path).lstrip("r").split("c"))
        rows = clip(row, side, r * CELL_PX)
        cols = clip(col, side, c * CELL_PX)
        group = zarr.open_group(path, mode="r")
        pixels += group["reflectance"].shape[2] * group["reflectance"].shape[3]
        if rows is None or cols is None:
            continue
        for date in range(group["reflectance"].shape[0]):
            good = np.isin(group["scl"][date, rows, cols], CLEAR)
            values = group["reflectance"][date, :, rows, cols] * good
            total += int(values.sum(dtype=np.uint64))
            nonzero += int((values > 0).sum())
    return {"sum": total, "nonzero": nonzero, "cell_pixels": pixels}


def cells(store):
    for folder, names, files in os.walk(store):
        if "zarr.json" in files and "reflectance" in names:
            names.clear()
            yield folder


def clip(start, side, origin):
    low, high = max(start, origin) - origin, min(start + side, origin + CELL_PX) - origin
    return slice(low, high) if low < high else None


if __name__ == "__main__":
    verb, *args = sys.argv[1:]
    if verb == "bbox":
        print(bbox(*map(int, args)))
    else:
        print(json.dumps(count(args[0], *map(int, args[1:]))))
