//! How long work tells where it stands, hears that it should stop, and says what kind of fault it met.

/// Hears of progress, and can ask for a stop.
///
/// Rooms report through this and print nothing themselves; the command line turns reports into a bar,
/// lines or JSON events.
pub trait Progress: Sync {
    /// `done` of `total` steps of `stage` are done; `message` says a little more, or is empty.
    fn report(&self, stage: &'static str, done: u64, total: u64, message: &str);

    /// Whether the user asked to stop. Long loops ask once a step, finish what must not be left half
    /// done, and return their own "stopped" error.
    fn stopped(&self) -> bool {
        false
    }
}

/// Hears nothing and never stops.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn report(&self, _stage: &'static str, _done: u64, _total: u64, _message: &str) {}
}

/// The kind of a fault, which decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Anything else, a full disk or a stop by the user among it.
    Failed = 1,
    /// The command or its config cannot be carried out as written.
    Usage = 2,
    /// The data given are bad.
    Input = 3,
    /// The network or a service failed.
    Network = 4,
}
