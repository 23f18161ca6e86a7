//! Devices by name.

use surco_net::Device;

/// The device of a name, for `--device`.
///
/// # Errors
/// A sentence for the user, if this build has no such device.
pub(crate) fn parse(name: &str) -> Result<Device, String> {
    match name {
        "cpu" => Ok(Device::flex()),
        _ => Err(format!("this build has no device `{name}`, only cpu")),
    }
}
