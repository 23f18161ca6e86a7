//! Writes coordinate systems as `CODE<tab>WKT`, for another tool to read: `crs_wkt CODE…`.

use std::error::Error;
use std::io::Write as _;

fn main() -> Result<(), Box<dyn Error>> {
    for arg in std::env::args().skip(1) {
        let text = surco_raster::projection::wkt(arg.parse()?)?;
        writeln!(std::io::stdout(), "{arg}\t{text}")?;
    }
    Ok(())
}
