//! What a cell is to hold, done or not.

use surco_core::CellId;

use crate::{SceneSlot, Store, StoreError};

impl Store {
    /// The time axis of a cell: all its scenes, collected or not, in the order of their places.
    ///
    /// # Errors
    /// [`StoreError::NoCell`] if the cell is not planned, [`StoreError::Metadata`] if its metadata are
    /// damaged.
    pub fn planned(&self, cell: &CellId) -> Result<Vec<SceneSlot>, StoreError> {
        Ok(self.meta(cell)?.scenes)
    }
}
