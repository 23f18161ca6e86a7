//! Series of different lengths, one after another, without padding.

use std::sync::Arc;

/// Where series begin and end among the rows of a token matrix. Tokens attend within their segment: to all of
/// it, or to what stands before them and themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segments {
    offsets: Arc<[usize]>,
    sight: Sight,
}

/// How much of its segment a token attends to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sight {
    /// All of it.
    #[default]
    Whole,
    /// The tokens before it and itself: the present knows nothing of the future (Vaswani et al. 2017,
    /// section 3.2.3).
    Past,
}

impl Sight {
    /// How many tokens of a segment of `tokens` the token at a place in it attends to: the first of them.
    #[inline(always)]
    pub(crate) fn of(self, place: usize, tokens: usize) -> usize {
        match self {
            Self::Whole => tokens,
            Self::Past => place + 1,
        }
    }
}

impl Segments {
    /// Segments of these lengths, in order; a length may be 0.
    #[must_use]
    pub fn of_lengths(lengths: impl IntoIterator<Item = usize>) -> Self {
        let mut offsets = vec![0];
        let mut end = 0;
        for length in lengths {
            end += length;
            offsets.push(end);
        }
        Self { offsets: offsets.into(), sight: Sight::Whole }
    }

    /// `count` segments of `length` tokens each.
    #[must_use]
    pub fn uniform(count: usize, length: usize) -> Self {
        Self::of_lengths(std::iter::repeat_n(length, count))
    }

    /// The same segments, whose tokens attend to so much of them.
    #[must_use]
    pub fn with_sight(self, sight: Sight) -> Self {
        Self { sight, ..self }
    }

    /// How much of its segment a token attends to.
    #[must_use]
    pub fn sight(&self) -> Sight {
        self.sight
    }

    /// Number of segments.
    #[must_use]
    pub fn count(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Number of tokens.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.offsets.last().copied().unwrap_or(0)
    }

    /// Rows of each segment, in order.
    pub fn ranges(&self) -> impl ExactSizeIterator<Item = std::ops::Range<usize>> + '_ {
        self.offsets.windows(2).map(|w| w[0]..w[1])
    }

    /// Length of the longest segment.
    #[must_use]
    pub fn longest(&self) -> usize {
        self.ranges().map(|r| r.len()).max().unwrap_or(0)
    }
}
