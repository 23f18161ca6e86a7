"""A monthly Sentinel-2 cube (NetCDF, as openEO writes it) as a folder of series for `tables` of a pretrain.toml.

    python benches/pretraining/belgium.py worldcereal_preprocessed_inputs.nc belgium

Needs netCDF4, numpy, pandas, pyarrow and pyproj. Values are reflectances; 65535 (read unsigned) is no data. A block is
160 m square.
"""

import json
import sys
from pathlib import Path

import netCDF4
import numpy as np
import pandas as pd
import pyproj

BANDS = {  # centre and width in nm, ground sampling in m
    "B02": (492.4, 66, 10), "B03": (559.8, 36, 10), "B04": (664.6, 31, 10), "B05": (704.1, 15, 20),
    "B06": (740.5, 15, 20), "B07": (782.8, 20, 20), "B08": (832.8, 106, 10), "B11": (1613.7, 91, 20),
    "B12": (2202.4, 175, 20),
}


def main(source: str, out: str) -> None:
    with netCDF4.Dataset(source) as cube:
        cube.set_auto_maskandscale(False)
        dates = pd.to_datetime(cube["t"][:], unit="D", origin="1990-01-01")
        x, y = np.meshgrid(cube["x"][:], cube["y"][:])
        epsg = pyproj.CRS.from_wkt(cube["crs"].crs_wkt)
        values = {b: cube[f"S2-L2A-{b}"][:].astype(np.uint16) for b in BANDS}
    lon, lat = pyproj.Transformer.from_crs(epsg, 4326, always_xy=True).transform(x.ravel(), y.ravel())
    n, steps = x.size, len(dates)
    block = [f"{e:.0f}_{s:.0f}" for e, s in zip(x.ravel() // 160, y.ravel() // 160)]
    points = pd.DataFrame({
        "point_id": np.arange(n), "lon": lon, "lat": lat, "class_name": "unknown", "block": block,
    })
    series = pd.DataFrame({
        "point_id": np.repeat(np.arange(n), steps), "date": np.tile(np.array(dates.date), n),
    })
    for band, dn in values.items():
        reflectance = np.where(dn == 65535, np.nan, dn * 1e-4)
        series[band] = reflectance.reshape(steps, n).T.ravel()
    columns = {
        band: {"centre_wavelength_nm": c, "bandwidth_nm": w, "gsd_m": g} for band, (c, w, g) in BANDS.items()
    }
    meta = {"name": "s2_monthly_cube_belgium_2020", "licence": "MIT", "columns": columns}
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    points.to_parquet(folder / "points.parquet")
    series.to_parquet(folder / "series.parquet")
    (folder / "meta.json").write_text(json.dumps(meta, indent=1))


if __name__ == "__main__":
    main(*sys.argv[1:])
