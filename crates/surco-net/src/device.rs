//! Devices by name: what `--device` takes, and what a build and a machine have of it.

use std::fmt;
use std::str::FromStr;

use burn::tensor::Device;
use surco_core::Fault;

/// A way to a processor; each but [`Engine::Flex`] is a cargo feature of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// The CPU, in Rust: in every build.
    Flex,
    /// PyTorch's own kernels, on the CPU or through CUDA.
    Torch,
    /// NVIDIA's GPUs.
    Cuda,
    /// AMD's GPUs.
    Rocm,
    /// Any GPU with a Vulkan driver.
    Vulkan,
    /// Whatever interface to a GPU the system offers.
    Wgpu,
    /// Apple's GPUs.
    Metal,
}

impl Engine {
    /// All of them, the CPU first.
    pub const ALL: [Self; 7] =
        [Self::Flex, Self::Torch, Self::Cuda, Self::Rocm, Self::Vulkan, Self::Wgpu, Self::Metal];

    /// The first part of its devices' names, and of the feature that builds it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Flex => "cpu",
            Self::Torch => "tch",
            Self::Cuda => "cuda",
            Self::Rocm => "rocm",
            Self::Vulkan => "vulkan",
            Self::Wgpu => "wgpu",
            Self::Metal => "metal",
        }
    }

    /// The devices this machine has of it; nothing if this build does not know it.
    ///
    /// Asks the drivers: an engine that is built in but finds none has an empty list.
    #[must_use]
    pub fn devices(self) -> Option<Vec<(DeviceName, Device)>> {
        match self {
            Self::Flex => {
                Some(vec![(DeviceName { engine: self, place: Place::Cpu }, Device::flex())])
            }
            #[cfg(feature = "tch")]
            Self::Torch => Some(torch_devices()),
            #[cfg(feature = "cuda")]
            Self::Cuda => Some(self.numbered(burn::tensor::DeviceType::Cuda)),
            #[cfg(feature = "rocm")]
            Self::Rocm => Some(self.numbered(burn::tensor::DeviceType::Rocm)),
            #[cfg(feature = "vulkan")]
            Self::Vulkan => Some(self.numbered(burn::tensor::DeviceType::Vulkan)),
            #[cfg(feature = "wgpu")]
            Self::Wgpu => Some(self.numbered(burn::tensor::DeviceType::Wgpu)),
            #[cfg(feature = "metal")]
            Self::Metal => Some(self.numbered(burn::tensor::DeviceType::Metal)),
            #[allow(unreachable_patterns, reason = "a build with every feature has no other")]
            Self::Torch | Self::Cuda | Self::Rocm | Self::Vulkan | Self::Wgpu | Self::Metal => None,
        }
    }

    /// What the driver lists, in its order.
    #[cfg(any(
        feature = "cuda",
        feature = "rocm",
        feature = "vulkan",
        feature = "wgpu",
        feature = "metal"
    ))]
    fn numbered(self, kind: burn::tensor::DeviceType) -> Vec<(DeviceName, Device)> {
        let named = |(i, device): (usize, &Device)| {
            (DeviceName { engine: self, place: Place::Gpu(i) }, device.clone())
        };
        Device::enumerate(kind).iter().enumerate().map(named).collect()
    }
}

/// LibTorch's CPU, then the GPUs it reaches through CUDA.
#[cfg(feature = "tch")]
#[expect(
    deprecated,
    reason = "the way to CUDA on a machine that has PyTorch, until `cuda` overtakes it"
)]
fn torch_devices() -> Vec<(DeviceName, Device)> {
    let named = |place| DeviceName { engine: Engine::Torch, place };
    let gpus = Device::enumerate(burn::tensor::DeviceType::LibTorch).len();
    std::iter::once((named(Place::Cpu), Device::libtorch()))
        .chain((0..gpus).map(|i| (named(Place::Gpu(i)), Device::libtorch_cuda(i))))
        .collect()
}

/// Where an engine computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Cpu,
    Gpu(usize),
}

/// The name of a device: `cpu`, `tch:cpu`, `tch:cuda:0`, `cuda:0`, `rocm:0`, `vulkan:0`, `wgpu:0`,
/// `metal:0`. Without a number the first GPU is meant.
///
/// # Example
/// ```
/// use surco_net::DeviceName;
/// let name: DeviceName = "cuda".parse()?;
/// assert_eq!(name.to_string(), "cuda:0");
/// assert!("cpu".parse::<DeviceName>()?.open().is_ok());
/// # Ok::<(), surco_net::DeviceError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceName {
    engine: Engine,
    place: Place,
}

impl DeviceName {
    /// The name of a device of this machine.
    #[must_use]
    pub fn of(device: &Device) -> Option<Self> {
        let all = Engine::ALL.into_iter().filter_map(Engine::devices).flatten();
        all.into_iter().find_map(|(name, known)| (known == *device).then_some(name))
    }

    /// What PyTorch calls this device, or its CPU where it has none like it.
    #[must_use]
    pub fn in_torch(self) -> String {
        match (self.engine, self.place) {
            (Engine::Torch | Engine::Cuda | Engine::Rocm, Place::Gpu(i)) => format!("cuda:{i}"),
            (Engine::Metal, _) => "mps".into(),
            (Engine::Flex | Engine::Torch | Engine::Cuda | Engine::Rocm, Place::Cpu)
            | (Engine::Flex | Engine::Vulkan | Engine::Wgpu, _) => "cpu".into(),
        }
    }

    /// The device of this name.
    ///
    /// # Errors
    /// [`DeviceError::NotBuilt`] if this build lacks the engine, [`DeviceError::Absent`] if this machine
    /// lacks the device.
    pub fn open(self) -> Result<Device, DeviceError> {
        let found = self
            .engine
            .devices()
            .ok_or(DeviceError::NotBuilt { name: self, feature: self.engine.name() })?;
        let listed = found.iter().map(|(name, _)| name.to_string()).collect::<Vec<_>>();
        found
            .into_iter()
            .find_map(|(name, device)| (name == self).then_some(device))
            .ok_or(DeviceError::Absent { name: self, found: Listed(listed) })
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.engine, self.place) {
            (Engine::Flex, _) => f.write_str("cpu"),
            (Engine::Torch, Place::Cpu) => f.write_str("tch:cpu"),
            (Engine::Torch, Place::Gpu(i)) => write!(f, "tch:cuda:{i}"),
            (engine, Place::Gpu(i)) => write!(f, "{}:{i}", engine.name()),
            (engine, Place::Cpu) => f.write_str(engine.name()),
        }
    }
}

impl FromStr for DeviceName {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        let unknown = || DeviceError::Unknown { text: text.into() };
        let (head, rest) = text.split_once(':').unwrap_or((text, ""));
        let engine = Engine::ALL.into_iter().find(|e| e.name() == head).ok_or_else(unknown)?;
        let gpu = |number: &str| match number {
            "" => Ok(Place::Gpu(0)),
            n => n.parse().map(Place::Gpu).map_err(|_| unknown()),
        };
        let place = match (engine, rest) {
            (Engine::Flex, "") | (Engine::Torch, "cpu") => Place::Cpu,
            (Engine::Flex, _) | (Engine::Torch, "") => return Err(unknown()),
            (Engine::Torch, rest) => match rest.strip_prefix("cuda") {
                Some(number) => gpu(number.strip_prefix(':').unwrap_or(number))?,
                None => return Err(unknown()),
            },
            (_, number) => gpu(number)?,
        };
        Ok(Self { engine, place })
    }
}

/// Why there is no device of a name.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// No engine is called so.
    #[error(
        "unknown device {text:?}, expected cpu, tch:cpu, tch:cuda:N, cuda:N, rocm:N, vulkan:N, wgpu:N or metal:N"
    )]
    Unknown {
        /// What was given.
        text: String,
    },
    /// The engine is a feature this program was built without.
    #[error(
        "device {name} is not in this build, which was made without the feature {feature}: build with \
         `cargo build --release -p surco --features {feature}` (docs/devices.md says what that needs), or leave --device out"
    )]
    NotBuilt {
        /// What was asked for.
        name: DeviceName,
        /// The cargo feature.
        feature: &'static str,
    },
    /// The machine has no such device.
    #[error(
        "device {name} is not on this machine, which has {found}: `surco doctor` lists the devices"
    )]
    Absent {
        /// What was asked for.
        name: DeviceName,
        /// What there is of its engine.
        found: Listed,
    },
}

impl DeviceError {
    /// The kind of fault.
    #[must_use]
    pub fn fault(&self) -> Fault {
        Fault::Usage
    }
}

/// Names in a sentence.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed(Vec<String>);

impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            f.write_str("none of its kind")
        } else {
            f.write_str(&self.0.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for text in
            ["cpu", "tch:cpu", "tch:cuda:1", "cuda:0", "rocm:2", "vulkan:0", "wgpu:0", "metal:0"]
        {
            assert_eq!(text.parse::<DeviceName>().unwrap().to_string(), text);
        }
        assert_eq!("vulkan".parse::<DeviceName>().unwrap().to_string(), "vulkan:0");
        assert_eq!("tch:cuda".parse::<DeviceName>().unwrap().to_string(), "tch:cuda:0");
    }

    #[test]
    fn what_is_no_device_is_refused() {
        for text in ["", "gpu", "cpu:0", "cuda:-1", "cuda:x", "tch", "tch:cudax", "cuda:0:1", "CPU"]
        {
            let refused = DeviceError::Unknown { text: text.into() };
            assert_eq!(text.parse::<DeviceName>(), Err(refused), "{text}");
        }
    }

    #[test]
    fn the_cpu_opens_in_every_build() {
        assert_eq!("cpu".parse::<DeviceName>().unwrap().open().unwrap(), Device::flex());
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_device_that_is_not_built_in_names_its_feature() {
        let error = "cuda:0".parse::<DeviceName>().unwrap().open().unwrap_err();
        assert!(error.to_string().contains("--features cuda"), "{error}");
    }

    #[cfg(feature = "tch")]
    #[test]
    fn libtorch_always_has_a_cpu_and_never_a_hundredth_gpu() {
        assert!("tch:cpu".parse::<DeviceName>().unwrap().open().is_ok());
        let error = "tch:cuda:99".parse::<DeviceName>().unwrap().open().unwrap_err();
        assert!(error.to_string().contains("tch:cpu"), "{error}");
    }
}
