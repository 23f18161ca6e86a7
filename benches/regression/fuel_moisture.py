"""Live fuel moisture as Presto's repository holds it, as a table for `surco evaluate regression`.

    python benches/regression/fuel_moisture.py regression_fuel_moisture fuel
    surco evaluate regression --points fuel/points.parquet --series fuel/series.parquet --seeds 10

Needs numpy and pyarrow. Each point has three months; years are not told, so all are called 2018. A block is a site.
"""

import datetime
import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

COLUMNS = "VV VH B02 B03 B04 B05 B06 B07 B08 B8A B09 B11 B12 temperature precipitation elevation slope NDVI".split()
BANDS = {  # centre and width in nm, ground sampling in m
    "B02": (492.4, 66, 10), "B03": (559.8, 36, 10), "B04": (664.6, 31, 10), "B05": (704.1, 15, 20),
    "B06": (740.5, 15, 20), "B07": (782.8, 20, 20), "B08": (832.8, 106, 10), "B8A": (864.7, 21, 20),
    "B11": (1613.7, 91, 20), "B12": (2202.4, 175, 20),
}


def main(source: str, out: str) -> None:
    read = lambda name: np.load(Path(source) / f"{name}.npy", allow_pickle=False)
    values, target, is_test = read("s1_s2_era5_srtm"), read("target").ravel(), read("is_test").ravel().astype(bool)
    n, steps, _ = values.shape
    latlon, site, month = read("latlon"), read("site").ravel(), read("month").reshape(n, steps)
    points = {
        "point_id": np.arange(n), "lon": latlon[:, 1].astype(float), "lat": latlon[:, 0].astype(float),
        "value": target.astype(float), "block": [str(s) for s in site],
        "split": np.where(is_test, "test", "train").tolist(),
    }
    first = month[:, 0].astype(int) % 12  # months are counted from 0
    days = [datetime.date(2018 + (f + t) // 12, (f + t) % 12 + 1, 15) for f in first for t in range(steps)]
    series = {"point_id": np.repeat(np.arange(n), steps), "date": days}
    for i, name in enumerate(COLUMNS):
        scale = 1e-4 if name in BANDS or name == "B09" else 1.0
        series[name] = (values[:, :, i] * scale).ravel()
    columns = {
        name: dict(zip(("centre_wavelength_nm", "bandwidth_nm", "gsd_m"), BANDS.get(name, (None, None, None))))
        for name in COLUMNS
    }
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in (("points", points), ("series", series)):
        pq.write_table(pa.table(table), folder / f"{name}.parquet")
    meta = {"name": "live_fuel_moisture", "licence": "MIT", "columns": columns}
    (folder / "meta.json").write_text(json.dumps(meta, indent=1))


if __name__ == "__main__":
    main(*sys.argv[1:])
