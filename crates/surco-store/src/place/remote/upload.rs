//! An object on its way into a bucket: in parts as it grows, visible once complete.

use std::collections::VecDeque;
use std::sync::mpsc::Receiver;

use object_store::{Error, MultipartUpload, ObjectStoreExt};
use sha2::{Digest, Sha256};

use super::{Remote, reason_of};
use crate::StoreError;
use crate::place::{Expected, Sealed};

/// Bytes of a part; services want at least 5 MiB.
const PART_BYTES: usize = 8 << 20;
/// Parts on their way at the same time.
const IN_FLIGHT: usize = 4;

/// An object in the making.
pub(crate) struct Upload {
    place: Remote,
    key: String,
    waiting: Vec<u8>,
    hash: Sha256,
    bytes: u64,
    parts: Option<Parts>,
    /// Bytes after which a part is sent.
    part_bytes: usize,
}

/// The parts of an object too large for one request.
struct Parts {
    upload: Box<dyn MultipartUpload>,
    sent: VecDeque<Receiver<Result<(), Error>>>,
}

impl Upload {
    pub(super) fn new(place: Remote, key: &str) -> Self {
        let hash = Sha256::new();
        let (key, waiting, part_bytes) = (key.into(), Vec::new(), PART_BYTES);
        Self { place, key, waiting, hash, bytes: 0, parts: None, part_bytes }
    }

    /// In one request however large, because only such a one can be conditional.
    pub(crate) fn whole(mut self) -> Self {
        self.part_bytes = usize::MAX;
        self
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        self.waiting.extend(bytes);
        while self.waiting.len() >= self.part_bytes {
            // Some services want all parts but the last to be of one size.
            let rest = self.waiting.split_off(self.part_bytes);
            let part = std::mem::replace(&mut self.waiting, rest);
            self.send(part)?;
        }
        Ok(())
    }

    pub(crate) fn len(&self) -> u64 {
        self.bytes
    }

    /// Sends what is left of an object in parts and waits until all of them are there.
    pub(crate) fn seal(&mut self) -> Result<Sealed, StoreError> {
        if self.parts.is_some() {
            let rest = std::mem::take(&mut self.waiting);
            if !rest.is_empty() {
                self.send(rest)?;
            }
            self.wait_for(0)?;
        }
        Ok(Sealed { bytes: self.bytes, sha256: crate::hex(&self.hash.clone().finalize()) })
    }

    pub(crate) fn commit(mut self) -> Result<(), StoreError> {
        let Some(parts) = self.parts.take() else {
            return self.place.put(&self.key, &self.waiting);
        };
        let mut upload = parts.upload;
        let complete = async move {
            match upload.complete().await {
                Ok(_) => Ok(()),
                Err(error) => {
                    // What cannot be aborted stays invisible until the bucket's own rules clear it.
                    let _ = upload.abort().await;
                    Err(error)
                }
            }
        };
        let done = self.place.wait("write", &self.key, complete)?;
        done.map_err(|error| self.failed(&error))
    }

    /// As [`Upload::commit`], for an object that was begun as a whole.
    pub(crate) fn commit_if(self, expected: &Expected) -> Result<bool, StoreError> {
        self.place.put_if(&self.key, &self.waiting, expected)
    }

    fn send(&mut self, part: Vec<u8>) -> Result<(), StoreError> {
        if self.parts.is_none() {
            let (bucket, path) = (self.place.bucket.clone(), self.place.path(&self.key));
            let begin = async move { bucket.put_multipart(&path).await };
            let begun = self.place.wait("write", &self.key, begin)?;
            let upload = begun.map_err(|error| self.failed(&error))?;
            self.parts = Some(Parts { upload, sent: VecDeque::new() });
        }
        self.wait_for(IN_FLIGHT - 1)?;
        if let Some(parts) = &mut self.parts {
            let request = parts.upload.put_part(part.into());
            parts.sent.push_back(self.place.start("write", &self.key, request)?);
        }
        Ok(())
    }

    /// Waits until at most so many parts are on their way.
    fn wait_for(&mut self, most: usize) -> Result<(), StoreError> {
        while let Some(parts) = self.parts.as_mut().filter(|parts| parts.sent.len() > most) {
            let Some(sent) = parts.sent.pop_front() else { break };
            let answer = self.place.answer("write", &self.key, &sent)?;
            answer.map_err(|error| self.failed(&error))?;
        }
        Ok(())
    }

    fn failed(&self, error: &Error) -> StoreError {
        self.place.failed("write", &self.key, reason_of(error))
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let Some(parts) = self.parts.take() {
            let mut upload = parts.upload;
            // Invisible either way; aborting only frees the room.
            let abort = async move { upload.abort().await };
            let _ = self.place.wait("write", &self.key, abort);
        }
    }
}
