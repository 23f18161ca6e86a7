//! Batches made ahead of the steps that need them, by a thread of their own.
//!
//! A batch depends on its step alone, so a thread that runs ahead changes nothing but the time the device
//! waits. The channel is bounded: a few batches lie in memory, never a whole run.

use std::ops::Range;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// Batches that may lie ready.
const READY: usize = 2;

/// Where batches come out, in the order of their steps.
pub(crate) struct Ahead<T> {
    batches: Receiver<T>,
}

impl<T> Ahead<T> {
    /// The next batch, and how long it was waited for; none after the last.
    pub(crate) fn next(&self) -> Option<(T, Duration)> {
        let began = Instant::now();
        self.batches.recv().ok().map(|batch| (batch, began.elapsed()))
    }
}

/// Makes the batches of `steps` ahead while `consume` uses them up.
///
/// `consume` may return early: the maker hears of it and ends.
pub(crate) fn ahead<T: Send, R>(
    steps: Range<u64>,
    make: impl Fn(u64) -> T + Send,
    consume: impl FnOnce(&Ahead<T>) -> R,
) -> R {
    let (sender, batches) = sync_channel(READY);
    thread::scope(|scope| {
        scope.spawn(move || {
            for step in steps {
                if sender.send(make(step)).is_err() {
                    return;
                }
            }
        });
        // Owned here and not by the caller: dropped before the scope waits for the maker.
        let ahead = Ahead { batches };
        consume(&ahead)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn batches_come_in_the_order_of_their_steps_and_end_with_the_last() {
        let got = ahead(
            3..8,
            |step| step * step,
            |batches| {
                std::iter::from_fn(|| batches.next()).map(|(batch, _)| batch).collect::<Vec<_>>()
            },
        );
        assert_eq!(got, [9, 16, 25, 36, 49]);
    }

    /// The channel holds [`READY`], the maker one more that it cannot hand over.
    #[test]
    fn no_more_batches_are_made_than_may_lie_ready() {
        let made = AtomicU64::new(0);
        let make = |step| {
            made.fetch_add(1, Ordering::SeqCst);
            step
        };
        ahead(0..1000, make, |batches| {
            assert_eq!(batches.next().map(|b| b.0), Some(0));
            let lie_ready = || made.load(Ordering::SeqCst) >= 2;
            while !lie_ready() {
                thread::yield_now();
            }
            thread::sleep(Duration::from_millis(50));
            let ahead = made.load(Ordering::SeqCst) - 1;
            assert!((1..=READY as u64 + 1).contains(&ahead), "{ahead} made ahead");
        });
        assert!(made.load(Ordering::SeqCst) < 10, "the maker ends with its consumer");
    }

    #[test]
    fn the_time_a_slow_maker_is_waited_for_is_told() {
        let slow = |step| {
            thread::sleep(Duration::from_millis(100));
            step
        };
        let waited = ahead(0..3, slow, |batches| {
            std::iter::from_fn(|| batches.next()).map(|(_, waited)| waited).sum::<Duration>()
        });
        // Wide bounds: on a busy machine a thread may come late to its wait, or back from it.
        assert!(waited >= Duration::from_millis(100), "{waited:?}");
        let made = AtomicU64::new(0);
        let make = |_| made.fetch_add(1, Ordering::SeqCst);
        let quick = ahead(0..2, make, |batches| {
            while made.load(Ordering::SeqCst) < 2 {
                thread::yield_now();
            }
            batches.next().map(|b| b.1).unwrap_or_default()
        });
        assert!(quick < Duration::from_millis(100), "{quick:?}");
    }
}
