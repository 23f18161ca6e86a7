//! The numbers an array holds, and how two of them are split into streams of bytes.

/// A pixel that an array holds.
pub(crate) trait Pixel: Copy + Default + PartialEq + Sync + Send + 'static {
    /// Bytes of one pixel.
    const BYTES: usize;
    /// Name of the type in Zarr.
    const DTYPE: &'static str;
    /// Level of zstd; every figure is from one core, 12 dates of 10 bands over Flanders.
    const ZSTD_LEVEL: i32;

    /// Splits an even number of pixels into as many streams as two pixels have bytes.
    fn split(px: &[Self], streams: &mut [u8]);

    /// Puts pixels together again, from pixel `from` on; `from` and the number of pixels are even.
    fn join(streams: &[u8], from: usize, px: &mut [Self]);
}

impl Pixel for u16 {
    const BYTES: usize = 2;
    const DTYPE: &'static str = "uint16";
    /// Where a step further costs as much time as it saves bytes.
    const ZSTD_LEVEL: i32 = -30;

    fn split(px: &[Self], streams: &mut [u8]) {
        let [a, b, c, d] = quarters_mut(streams);
        for ((((px, a), b), c), d) in px.chunks_exact(2).zip(a).zip(b).zip(c).zip(d) {
            [*a, *b] = px[0].to_le_bytes();
            [*c, *d] = px[1].to_le_bytes();
        }
    }

    fn join(streams: &[u8], from: usize, px: &mut [Self]) {
        let quarter = streams.len() / 4;
        let part = |i: usize| &streams[i * quarter + from / 2..][..px.len() / 2];
        let (a, b, c, d) = (part(0), part(1), part(2), part(3));
        for ((((px, a), b), c), d) in px.chunks_exact_mut(2).zip(a).zip(b).zip(c).zip(d) {
            px[0] = Self::from_le_bytes([*a, *b]);
            px[1] = Self::from_le_bytes([*c, *d]);
        }
    }
}

impl Pixel for u8 {
    const BYTES: usize = 1;
    const DTYPE: &'static str = "uint8";
    /// Classes are a twentieth of the bytes and shrink 24 times at this level, 6 times at -30.
    const ZSTD_LEVEL: i32 = 3;

    fn split(px: &[Self], streams: &mut [u8]) {
        let (a, b) = streams.split_at_mut(streams.len() / 2);
        for ((px, a), b) in px.chunks_exact(2).zip(a).zip(b) {
            (*a, *b) = (px[0], px[1]);
        }
    }

    fn join(streams: &[u8], from: usize, px: &mut [Self]) {
        let half = streams.len() / 2;
        let part = |i: usize| &streams[i * half + from / 2..][..px.len() / 2];
        let (a, b) = (part(0), part(1));
        for ((px, a), b) in px.chunks_exact_mut(2).zip(a).zip(b) {
            (px[0], px[1]) = (*a, *b);
        }
    }
}

fn quarters_mut(streams: &mut [u8]) -> [&mut [u8]; 4] {
    let (ab, cd) = streams.split_at_mut(streams.len() / 2);
    let (a, b) = ab.split_at_mut(ab.len() / 2);
    let (c, d) = cd.split_at_mut(cd.len() / 2);
    [a, b, c, d]
}
