"""Other sensors over Flanders: makes their files and items, and compares stores with them.

    sensors.py make DATA OUT
    sensors.py check OUT SENSOR STORE LIKE
    sensors.py weather OUT TABLE

`make` writes, from the netCDF originals of the Sentinel-2 stack: Sentinel-1 as float32 power, every other date in
the next UTM zone; Landsat 8 as Collection 2 numbers of 30 m with its bits; heights of the Belgian cube, moved over
the stack, as two files of oblong degrees; AgERA5 as rows. `check` computes every pixel of the cells of LIKE from
those files with numpy and pyproj, and with GDAL, and compares the store of SENSOR. Prints one JSON object; exit
status 1 on any difference.

Needs h5py, numpy, pyproj, rasterio, xarray and zarr; pyarrow for `weather`.
"""

import datetime
import json
import sys
from pathlib import Path

import numpy as np
import rasterio
import rasterio.shutil
from rasterio.transform import Affine, from_origin
from rasterio.warp import Resampling, reproject

STACK = "s2_stack_flanders_2018_31UDS/netcdf_original"
LANDSAT = {"blue": "B02", "green": "B03", "red": "B04", "nir08": "B05", "swir16": "B06", "swir22": "B07"}
WEATHER = ["temperature_mean", "temperature_max", "temperature_min", "dewpoint_temperature", "precipitation_flux",
           "solar_radiation_flux", "vapour_pressure", "wind_speed"]


def write(path, image, crs, transform, nodata):
    """One band as a COG with small blocks, so that a cell needs several."""
    profile = dict(driver="GTiff", count=1, height=image.shape[0], width=image.shape[1], dtype=image.dtype, crs=crs,
                   transform=transform, nodata=nodata)
    with rasterio.MemoryFile() as memory:
        with memory.open(**profile) as dst:
            dst.write(image, 1)
        with memory.open() as src:
            rasterio.shutil.copy(src, path, driver="COG", compress="DEFLATE", predictor="YES", blocksize=128,
                                 overviews="NONE")


def item(name, when, crs, transform, shape, assets, **properties):
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": name,
        "properties": {"datetime": when, "proj:epsg": crs, "proj:shape": list(shape),
                       "proj:transform": list(transform)[:6], **properties},
        "assets": {key: {"href": href} for key, href in assets.items()},
    }


def variables(path, *names):
    import h5py

    with h5py.File(path) as f:
        return [f[n][()] for n in names]


def north_up(image, y):
    return image[..., ::-1, :] if y[0] < y[-1] else image


def moment(first, seconds):
    return (datetime.datetime.fromisoformat(first) + datetime.timedelta(seconds=int(seconds))).isoformat() + "Z"


def make_radar(data, out):
    path = next((data / STACK).glob("S1_*.nc"))
    vv, vh, when, x, y = variables(path, "VV", "VH", "timestamp", "x", "y")
    here = from_origin(x.min() - 10, y.max() + 10, 20, 20)
    # The next zone: 10 m pixels around the same ground, further than the cell reaches.
    from pyproj import Transformer

    east, north = Transformer.from_crs(32631, 32630, always_xy=True).transform(x.mean(), y.mean())
    there = from_origin(round(east / 10) * 10 - 700, round(north / 10) * 10 + 700, 10, 10)
    items = []
    for i, seconds in enumerate(when):
        name, assets = f"S1_{i:03}", {}
        for key, counts in (("vv", vv), ("vh", vh)):
            counts = north_up(counts[i], y)
            power = np.where(counts == 0, -32768, 10 ** (counts / 1e5)).astype("float32")
            crs, transform = 32631, here
            if i % 2:
                crs, transform, near = 32630, there, np.full((140, 140), -32768, "float32")
                reproject(power, near, src_transform=here, src_crs=32631, src_nodata=-32768, dst_transform=there,
                          dst_crs=32630, dst_nodata=-32768, resampling=Resampling.nearest)
                power = near
            assets[key] = f"s1/{name}-{key}.tif"
            write(out / assets[key], power, crs, transform, -32768)
        items.append(item(name, moment("2017-08-01 17:32:36", seconds), crs, transform, power.shape, assets,
                          platform="sentinel-1b"))
    return items


def make_landsat(data, out):
    path = next((data / STACK).glob("L8_SR_*.nc"))
    bands = dict(zip(LANDSAT, variables(path, *LANDSAT.values())))
    qa, when, x, y = variables(path, "pixel_qa", "timestamp", "x", "y")
    # Landsat's pixels lie half a pixel beside those of the cell: their centres are multiples of 30 m.
    west, top = np.floor(x.min() / 30) * 30 - 15, np.ceil(y.max() / 30) * 30 + 15
    grid = from_origin(west, top, 30, 30)
    cols, rows = int((x.max() + 20 - west) // 30), int((top - y.min() + 20) // 30)
    at_x = np.clip((west + 30 * (np.arange(cols) + 0.5) - x.min()) // 10, 0, 63).astype(int)
    at_y = np.clip((y.max() - (top - 30 * (np.arange(rows) + 0.5))) // 10, 0, 63).astype(int)
    items = []
    for i, seconds in enumerate(when):
        name, assets = f"LC08_{i:03}", {}
        old = north_up(qa[i], y)[np.ix_(at_y, at_x)]
        for key, numbers in bands.items():
            counts = north_up(numbers[i], y)[np.ix_(at_y, at_x)]
            reflectance = counts.astype("uint16").view("int16") / 1e4  # negative ones were wrapped
            dn = np.where(counts == 0, 0, np.clip(np.round((reflectance + 0.2) / 0.0000275), 1, 65535))
            assets[key] = f"l8/{name}-{key}.tif"
            write(out / assets[key], dn.astype("uint16"), 32631, grid, 0)
        bit = lambda n: (old >> n) & 1  # noqa: E731  Collection 1: clear 1, water 2, shadow 3, snow 4, cloud 5
        new = (bit(5) << 3) | (bit(3) << 4) | (bit(4) << 5) | (bit(1) << 6) | (bit(2) << 7)
        new = np.where((old & 1 == 1) | (new == 0), 1, new)
        assets["qa_pixel"] = f"l8/{name}-qa.tif"
        write(out / assets["qa_pixel"], new.astype("uint16"), 32631, grid, 1)
        items.append(item(name, moment("2017-08-15 10:40:28", seconds), 32631, grid, dn.shape, assets,
                          platform="landsat-8"))
    return items


def make_heights(data, out):
    (heights,) = variables(data / "s2_monthly_cube_belgium_2020/worldcereal_preprocessed_inputs.nc", "elevation")
    heights = heights[0].astype("float32") + np.random.default_rng(3).random((100, 100), "float32")
    from pyproj import Transformer

    lon, lat = Transformer.from_crs(32631, 4326, always_xy=True).transform(501680, 5629360)
    dx, dy = 1.5 / 3600, 1 / 3600  # as GLO-30 has it north of 50 degrees
    grid = from_origin(lon - 43.3 * dx, lat + 47.6 * dy, dx, dy)
    items = []
    for name, part, left in (("DEM_W", heights[:, :45], 0), ("DEM_E", heights[:, 45:], 45)):
        own = grid * Affine.translation(left, 0)
        write(out / f"dem/{name}.tif", np.ascontiguousarray(part), 4326, own, None)
        items.append(item(name, "2021-04-22T00:00:00Z", 4326, own, part.shape, {"data": f"dem/{name}.tif"}))
    return items


def make_weather(data, out):
    path = next((data / STACK).glob("AgERA5_*.nc"))
    values = variables(path, *WEATHER)
    (x, y) = variables(path, "x", "y")
    from pyproj import Transformer

    lon, lat = Transformer.from_crs(32631, 4326, always_xy=True).transform(float(x[0]), float(y[0]))
    lines = ["date,lon,lat," + ",".join(WEATHER)]
    for i in range(values[0].shape[0]):
        day = datetime.date(2017, 8, 1) + datetime.timedelta(days=i)
        row = [f"{v[i, 0, 0]}" if v[i, 0, 0] != -9999 else "" for v in values]
        lines.append(f"{day},{lon},{lat}," + ",".join(row))
    (out / "agera5.csv").write_text("\n".join(lines) + "\n")


def make(data, out):
    for folder in ("s1", "l8", "dem"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    made = {"sentinel-1-rtc": make_radar(data, out), "landsat-c2-l2": make_landsat(data, out),
            "cop-dem-glo-30": make_heights(data, out)}
    for sensor, items in made.items():
        text = json.dumps({"type": "FeatureCollection", "features": items})
        (out / f"{sensor}.json").write_text(text)
    make_weather(data, out)
    print(json.dumps({sensor: len(items) for sensor, items in made.items()}))


# sensor: pixel in m, number of a value, value of a sample, key of each band
SENSORS = {
    "sentinel-1-rtc": (10, lambda v: (v + 50) / 0.001, lambda s: 10 * np.log10(s), {"VV": "vv", "VH": "vh"}, None),
    "landsat-c2-l2": (30, lambda v: v / 1e-4, lambda s: s * 0.0000275 - 0.2,
                      {f"OLI_B{i}": key for i, key in enumerate(LANDSAT, 2)}, "qa_pixel"),
    "cop-dem-glo-30": (30, lambda v: (v + 1000) / 0.2, lambda s: s, {"elevation": "data"}, None),
}


def number(sensor, sample):
    """The number that a store keeps of a sample, 0 where there is none; worked in float64."""
    _, number, value, _, _ = SENSORS[sensor]
    with np.errstate(all="ignore"):
        n = np.clip(np.floor(number(value(sample)) + 0.5), 1, 65535)
    return np.where(np.isnan(sample) | np.isnan(n), 0, n)


def around(image, col, row):
    """Bilinear mean of the pixels that are there; none where the pixel that holds the place is not there."""
    fx, fy = col - 0.5, row - 0.5
    c, r = np.floor(fx).astype(int), np.floor(fy).astype(int)
    u, v = fx - c, fy - r
    padded = np.pad(image, 2, constant_values=np.nan)
    pick = lambda r, c: padded[np.clip(r + 2, 0, padded.shape[0] - 1), np.clip(c + 2, 0, padded.shape[1] - 1)]  # noqa: E731
    total, weight = np.zeros(col.shape), np.zeros(col.shape)
    for dr in (0, 1):
        for dc in (0, 1):
            sample = pick(r + dr, c + dc)
            part = (v if dr else 1 - v) * (u if dc else 1 - u)
            there = ~np.isnan(sample)
            total += np.where(there, part * np.nan_to_num(sample), 0)
            weight += np.where(there, part, 0)
    own = pick(r + (v >= 0.5), c + (u >= 0.5))
    with np.errstate(all="ignore"):
        return np.where(np.isnan(own), np.nan, total / weight)


def mosaic(paths):
    """One image of files on one lattice, with nodata as NaN."""
    files = [rasterio.open(p) for p in paths]
    a = files[0].transform
    places = [~a * (f.transform.c, f.transform.f) for f in files]
    left, top = min(p[0] for p in places), min(p[1] for p in places)
    cols = max(round(p[0] - left) + f.width for p, f in zip(places, files))
    rows = max(round(p[1] - top) + f.height for p, f in zip(places, files))
    image = np.full((rows, cols), np.nan)
    for (x, y), f in zip(places, files):
        part = f.read(1).astype("float64")
        part[part == f.nodata if f.nodata is not None else np.isnan(part)] = np.nan
        r, c = round(y - top), round(x - left)
        image[r : r + f.height, c : c + f.width] = part
    return image, a * Affine.translation(left, top), files[0].crs


def check_plane(sensor, got, grid, crs, paths, tally):
    """Compares one plane with the files it comes from."""
    from pyproj import Transformer

    image, transform, source = mosaic(paths)
    rows, cols = got.shape
    x, y = grid * np.meshgrid(np.arange(cols) + 0.5, np.arange(rows) + 0.5)
    if source != crs:
        x, y = Transformer.from_crs(crs, source, always_xy=True).transform(x, y)
    col, row = ~transform * (x, y)
    want = number(sensor, around(image, col, row))
    bad = np.abs(got - want) > 1  # floats of 32 bits may round the other way
    gdal = np.full(got.shape, np.nan)
    reproject(image, gdal, src_transform=transform, src_crs=source, src_nodata=np.nan, dst_transform=grid, dst_crs=crs,
              dst_nodata=np.nan, resampling=Resampling.bilinear, tolerance=0, XSCALE=1, YSCALE=1)
    tally["pixels"] += got.size
    tally["seen"] += int((got > 0).sum())
    tally["equal"] += int((got == want).sum())
    tally["within one step"] += int((np.abs(got - want) <= 1).sum())
    tally["bad"] += int(bad.sum())
    tally["gdal within one step"] += int((np.abs(got - number(sensor, gdal)) <= 1).sum())
    tally["worst"] = max(tally["worst"], float(np.abs(got - want).max()))


def check_quality(got, grid, path, tally):
    """Bits by nearest: the pixel that holds the centre, the right or lower one on an edge."""
    with rasterio.open(path) as f:
        image, transform = f.read(1), f.transform
    rows, cols = got.shape
    x, y = grid * np.meshgrid(np.arange(cols) + 0.5, np.arange(rows) + 0.5)
    col, row = ~transform * (x, y)
    c, r = np.floor(col + 1e-6).astype(int), np.floor(row + 1e-6).astype(int)
    inside = (c >= 0) & (r >= 0) & (c < image.shape[1]) & (r < image.shape[0])
    sample = image[np.clip(r, 0, image.shape[0] - 1), np.clip(c, 0, image.shape[1] - 1)]
    want = np.where(inside & (sample != 1), sample & 255, 0)
    tally["quality pixels"] += got.size
    tally["bad"] += int((got != want).sum())


def check(out, sensor, store, like):
    import xarray

    pixel, _, _, bands, quality = SENSORS[sensor]
    items = {i["id"]: i for i in json.loads((out / f"{sensor}.json").read_text())["features"]}
    cells = sorted(p.parent.relative_to(like) for p in like.glob("*/r*c*/zarr.json"))
    tally = dict.fromkeys(["cells", "dates", "pixels", "seen", "equal", "within one step", "gdal within one step",
                           "quality pixels", "bad", "worst"], 0)
    for cell in cells:
        there, here = (xarray.open_zarr(s / cell, mask_and_scale=False) for s in (like, store))
        corner = np.array(there.spatial_ref.attrs["GeoTransform"].split(), float)
        grid = Affine(pixel, 0, corner[0], 0, -pixel, corner[3])
        side = lambda n: -(-n * 10 // pixel)  # noqa: E731
        assert here.spatial_ref.attrs["epsg"] == there.spatial_ref.attrs["epsg"], cell
        values = next(v for v in here.data_vars.values() if v.dims == ("time", "band", "y", "x"))
        assert values.shape[2:] == (side(there.sizes["y"]), side(there.sizes["x"])), values.shape
        assert np.allclose(here.x.values[:2], corner[0] + pixel * np.array([0.5, 1.5]))
        crs = rasterio.crs.CRS.from_epsg(int(here.spatial_ref.attrs["epsg"]))
        flags = next((v for v in here.data_vars.values() if v.dims == ("time", "y", "x")), None)
        tally["cells"] += 1
        for i, scene in enumerate(here.attrs["surco"]["scenes"]):
            members = [items[name] for name in scene["id"].split("+")]
            tally["dates"] += 1
            for j, name in enumerate(here.band.values):
                paths = [out / m["assets"][bands[str(name)]]["href"] for m in members]
                got = values[i, j].values.astype("float64")
                check_plane(sensor, got, grid, crs, paths, tally)
            if quality:
                check_quality(flags[i].values, grid, out / members[0]["assets"][quality]["href"], tally)
    print(json.dumps({"sensor": sensor, **tally}))
    return tally["bad"] == 0 and tally["cells"] > 0 and tally["seen"] > 0


def weather(out, table):
    """Every value of the table against the rows it was made from."""
    import csv

    import pyarrow.parquet as pq

    meta = json.loads((table / "meta.json").read_text())
    series = pq.read_table(table / "series.parquet").to_pylist()
    points = {p["point_id"]: p for p in pq.read_table(table / "points.parquet").to_pylist()}
    got = {(points[r["point_id"]]["lon"], points[r["point_id"]]["lat"], str(r["date"])): r for r in series}
    rows = list(csv.DictReader((out / "agera5.csv").open()))
    names = dict(zip(WEATHER, [
        "Temperature_Air_2m_Mean_24h", "Temperature_Air_2m_Max_24h", "Temperature_Air_2m_Min_24h",
        "Dew_Point_Temperature_2m_Mean", "Precipitation_Flux", "Solar_Radiation_Flux", "Vapour_Pressure_Mean",
        "Wind_Speed_10m_Mean"]))
    bad, values = 0, 0
    for row in rows:
        mine = got[float(row["lon"]), float(row["lat"]), row["date"]]
        for theirs, ours in names.items():
            want = float(row[theirs]) if row[theirs] else None
            bad += mine[ours] != want
            values += 1
    print(json.dumps({"rows": len(rows), "values": values, "bad": bad, "columns": len(meta["columns"])}))
    return bad == 0 and len(rows) == len(series) and set(meta["columns"]) == set(names.values())


if __name__ == "__main__":
    task, *rest = sys.argv[1:]
    if task == "make":
        make(*map(Path, rest))
    elif task == "check":
        sys.exit(not check(Path(rest[0]), rest[1], Path(rest[2]), Path(rest[3])))
    elif task == "weather":
        sys.exit(not weather(*map(Path, rest)))
    else:
        sys.exit(__doc__)
