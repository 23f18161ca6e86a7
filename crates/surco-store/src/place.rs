//! Where a store lies: a folder, or a prefix in a bucket. The one seam between the store and the world.
//!
//! An object becomes visible as a whole or not at all. On a disk it is written beside its place, synced
//! and renamed; a bucket shows an upload only once it is complete.

mod local;
mod remote;

use std::ops::Range;
use std::path::PathBuf;

pub(crate) use local::Local;
pub(crate) use remote::Remote;

use crate::{Destination, StoreError};

/// A place whose objects are named by keys with slashes.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    Local(Local),
    Remote(Remote),
}

/// Tells one state of an object from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) length: u64,
    pub(crate) version: Option<String>,
}

/// The end of an object.
pub(crate) struct Tail {
    /// What was asked for, or all there is.
    pub(crate) bytes: Vec<u8>,
    pub(crate) stamp: Stamp,
}

/// What a conditional write expects to find.
#[derive(Clone, Debug)]
pub(crate) enum Expected {
    Nothing,
    Version(Stamp),
}

/// What was written, as the manifest records it.
pub(crate) struct Sealed {
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
}

/// An object in the making: invisible until it is committed, gone if dropped before.
pub(crate) enum Draft {
    Local(local::AtomicFile),
    Remote(remote::Upload),
}

/// Held while a cell is planned, where the place can hold others off.
pub(crate) struct Guard {
    _file: Option<std::fs::File>,
}

impl Place {
    pub(crate) fn new(destination: &Destination) -> Result<Self, StoreError> {
        match destination.url() {
            Some(url) => Remote::new(url).map(Self::Remote),
            None => Ok(Self::Local(Local::new(destination.path()))),
        }
    }

    pub(crate) fn is_remote(&self) -> bool {
        matches!(self, Self::Remote(_))
    }

    /// The name of an object for people.
    pub(crate) fn name(&self, key: &str) -> PathBuf {
        match self {
            Self::Local(place) => place.path(key),
            Self::Remote(place) => place.name(key),
        }
    }

    /// A whole object, if it is there.
    pub(crate) fn get(&self, key: &str) -> Result<Option<(Vec<u8>, Stamp)>, StoreError> {
        match self {
            Self::Local(place) => place.get(key),
            Self::Remote(place) => place.get(key),
        }
    }

    /// The last bytes of an object, if it is there.
    pub(crate) fn tail(&self, key: &str, bytes: usize) -> Result<Option<Tail>, StoreError> {
        match self {
            Self::Local(place) => place.tail(key, bytes),
            Self::Remote(place) => place.tail(key, bytes),
        }
    }

    /// A range of an object; nothing if it is another object than the stamp says.
    pub(crate) fn range(
        &self,
        key: &str,
        stamp: &Stamp,
        range: Range<u64>,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        match self {
            Self::Local(place) => place.range(key, stamp, range),
            Self::Remote(place) => place.range(key, stamp, range),
        }
    }

    /// The state of an object, if it is there.
    pub(crate) fn stamp(&self, key: &str) -> Result<Option<Stamp>, StoreError> {
        match self {
            Self::Local(place) => place.stamp(key),
            Self::Remote(place) => place.stamp(key),
        }
    }

    /// Writes small objects of which none counts before the others; on a disk only those that change.
    pub(crate) fn put_all(&self, objects: &[(String, Vec<u8>)]) -> Result<(), StoreError> {
        match self {
            // Each waits for the disk, and disks sync many at once as fast as one.
            Self::Local(place) => std::thread::scope(|scope| {
                let put = |(key, bytes): &'_ (String, Vec<u8>)| place.put(key, bytes);
                let threads: Vec<_> =
                    objects.iter().map(|object| scope.spawn(move || put(object))).collect();
                threads.into_iter().try_for_each(|thread| {
                    thread.join().unwrap_or_else(|fallen| std::panic::resume_unwind(fallen))
                })
            }),
            Self::Remote(place) => place.put_all(objects),
        }
    }

    /// Writes one small object if nobody else did meanwhile, and says whether.
    ///
    /// On a disk the caller holds the [`Guard`] instead.
    pub(crate) fn put_if(
        &self,
        key: &str,
        bytes: &[u8],
        expected: &Expected,
    ) -> Result<bool, StoreError> {
        match self {
            Self::Local(place) => place.put(key, bytes).map(|()| true),
            Self::Remote(place) => place.put_if(key, bytes, expected),
        }
    }

    /// Removes an object if it is there.
    pub(crate) fn remove(&self, key: &str) -> Result<(), StoreError> {
        match self {
            Self::Local(place) => place.remove(key),
            Self::Remote(place) => place.remove(key),
        }
    }

    /// Names of what lies directly under a key (`""` is the place itself), hidden ones left out.
    pub(crate) fn children(&self, key: &str) -> Result<Vec<String>, StoreError> {
        match self {
            Self::Local(place) => place.children(key),
            Self::Remote(place) => place.children(key),
        }
    }

    /// Begins an object; on a disk a second writer of the same object waits for the first.
    pub(crate) fn begin(&self, key: &str) -> Result<Draft, StoreError> {
        match self {
            Self::Local(place) => place.begin(key).map(Draft::Local),
            Self::Remote(place) => Ok(Draft::Remote(place.begin(key))),
        }
    }

    /// Begins an object for [`Draft::commit_if`]: it goes to its place in one request.
    pub(crate) fn begin_whole(&self, key: &str) -> Result<Draft, StoreError> {
        match self {
            Self::Local(place) => place.begin(key).map(Draft::Local),
            Self::Remote(place) => Ok(Draft::Remote(place.begin(key).whole())),
        }
    }

    /// Holds off others that plan, where the place can.
    pub(crate) fn guard(&self, key: &str) -> Result<Guard, StoreError> {
        let file = match self {
            Self::Local(place) => place.lock(key)?,
            Self::Remote(_) => None,
        };
        Ok(Guard { _file: file })
    }
}

impl Draft {
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        match self {
            Self::Local(file) => file.write(bytes),
            Self::Remote(upload) => upload.write(bytes),
        }
    }

    /// Bytes written so far.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Local(file) => file.len(),
            Self::Remote(upload) => upload.len(),
        }
    }

    /// Brings the bytes to safety, still invisible.
    pub(crate) fn seal(&mut self) -> Result<Sealed, StoreError> {
        match self {
            Self::Local(file) => file.seal(),
            Self::Remote(upload) => upload.seal(),
        }
    }

    /// Puts the sealed object in its place.
    pub(crate) fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Local(file) => file.commit(),
            Self::Remote(upload) => upload.commit(),
        }
    }

    /// Puts the sealed object in its place if nobody else wrote one there meanwhile, and says whether.
    ///
    /// On a disk the draft itself held the others off since it was begun.
    pub(crate) fn commit_if(self, expected: &Expected) -> Result<bool, StoreError> {
        match self {
            Self::Local(file) => file.commit().map(|()| true),
            Self::Remote(upload) => upload.commit_if(expected),
        }
    }
}
