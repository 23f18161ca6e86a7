//! What the scenes of a country have in common, held once.

use std::cell::RefCell;
use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::href::Folder;
use crate::scene::AssetKind;
use crate::signing::Signing;

/// Names that are held; a service that names every file differently gains nothing from more.
const NAMES: usize = 4096;
/// Kinds that are held: eleven a collection, and some that a service spells in its own way.
const KINDS: usize = 256;

/// Folders that are held: those of one scene.
const FOLDERS: usize = 4;

/// Shared parts of scenes that are being read.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    names: RefCell<HashSet<Arc<str>>>,
    folders: RefCell<VecDeque<Arc<Folder>>>,
    signing: RefCell<Option<Arc<Signing>>>,
    kinds: RefCell<Vec<Arc<AssetKind>>>,
}

impl Pool {
    /// A text, shared with the equal ones that came before.
    pub(crate) fn name(&self, text: &str) -> Arc<str> {
        let mut names = self.names.borrow_mut();
        if let Some(known) = names.get(text) {
            return known.clone();
        }
        let new: Arc<str> = text.into();
        if names.len() < NAMES {
            names.insert(new.clone());
        }
        new
    }

    /// The folder of a scene's files, shared with the last ones if one of them is the same.
    pub(crate) fn folder(
        &self,
        same: impl Fn(&Folder) -> bool,
        make: impl FnOnce() -> Folder,
    ) -> Arc<Folder> {
        if let Some(known) = self.known_folder(same) {
            return known;
        }
        let mut folders = self.folders.borrow_mut();
        let new = Arc::new(make());
        folders.truncate(FOLDERS - 1);
        folders.push_front(new.clone());
        new
    }

    /// One of the last folders.
    pub(crate) fn known_folder(&self, same: impl Fn(&Folder) -> bool) -> Option<Arc<Folder>> {
        self.folders.borrow().iter().find(|folder| same(folder)).cloned()
    }

    /// Who signs, shared with the last one if it is the same.
    pub(crate) fn signing(&self, signing: Signing) -> Arc<Signing> {
        let mut last = self.signing.borrow_mut();
        match &*last {
            Some(known) if **known == signing => known.clone(),
            _ => last.insert(Arc::new(signing)).clone(),
        }
    }

    /// A kind of asset, shared with the equal ones that came before.
    pub(crate) fn kind(&self, kind: AssetKind) -> Arc<AssetKind> {
        let mut kinds = self.kinds.borrow_mut();
        if let Some(known) = kinds.iter().find(|known| ***known == kind) {
            return known.clone();
        }
        let new = Arc::new(kind);
        if kinds.len() < KINDS {
            kinds.push(new.clone());
        }
        new
    }
}

/// Tells texts apart in a quarter of their length.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fingerprint([u8; 16]);

impl Fingerprint {
    pub(crate) fn of(text: &str) -> Self {
        let mut first = [0; 16];
        first.copy_from_slice(&Sha256::digest(text.as_bytes())[..16]);
        Self(first)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_parts_are_held_once_and_different_ones_apart() {
        let pool = Pool::default();
        assert!(Arc::ptr_eq(&pool.name("B04.tif"), &pool.name("B04.tif")));
        assert_ne!(pool.name("B04.tif"), pool.name("B03.tif"));
        let kind = |factor| AssetKind { key: "red".into(), factor, layers: Vec::new() };
        assert!(Arc::ptr_eq(&pool.kind(kind(1)), &pool.kind(kind(1))));
        assert_eq!(pool.kind(kind(2)).factor, 2);
        assert_eq!(Fingerprint::of("1220ab"), Fingerprint::of("1220ab"));
        assert_ne!(Fingerprint::of("1220ab"), Fingerprint::of("1220ac"));
    }
}
