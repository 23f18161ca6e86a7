//! Numbers out of bytes, one after another.

/// Bytes not yet read, and the order in which numbers stand in them.
pub(super) struct Cursor<'b> {
    pub(super) bytes: &'b [u8],
    pub(super) big_endian: bool,
}

impl Cursor<'_> {
    /// The next bytes; what is wrong, in words, if there are fewer.
    pub(super) fn take<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let (head, rest) = self.bytes.split_first_chunk::<N>().ok_or("it is cut off")?;
        self.bytes = rest;
        Ok(*head)
    }

    pub(super) fn u32(&mut self) -> Result<u32, String> {
        let bytes = self.take()?;
        Ok(if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    pub(super) fn f64(&mut self) -> Result<f64, String> {
        let bytes = self.take()?;
        Ok(if self.big_endian { f64::from_be_bytes(bytes) } else { f64::from_le_bytes(bytes) })
    }
}
