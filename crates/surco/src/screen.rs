//! What the user sees: a bar on a terminal, lines when piped, JSON events when asked for.

use std::collections::HashMap;
use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use surco_core::Progress;

static STOP: AtomicBool = AtomicBool::new(false);

/// Time between two lines of one stage when piped.
const LINE_EVERY: Duration = Duration::from_secs(2);

/// Makes the first Ctrl-C ask for a stop, and the second end the program at once.
pub(crate) fn listen_for_ctrl_c() -> anyhow::Result<()> {
    ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
    })
    .context("cannot listen for Ctrl-C")
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Bar,
    Lines,
    Json,
    Quiet,
}

/// The user's screen.
pub(crate) struct Screen {
    mode: Mode,
    json: bool,
    bars: Mutex<HashMap<&'static str, ProgressBar>>,
    last: Mutex<HashMap<&'static str, Instant>>,
}

#[derive(Serialize)]
struct Event<'a> {
    stage: &'a str,
    done: u64,
    total: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    message: &'a str,
}

impl Screen {
    pub(crate) fn new(json: bool, quiet: bool) -> Self {
        let mode = match (quiet, json) {
            (true, _) => Mode::Quiet,
            (_, true) => Mode::Json,
            _ if std::io::stderr().is_terminal() => Mode::Bar,
            _ => Mode::Lines,
        };
        Self { mode, json, bars: Mutex::default(), last: Mutex::default() }
    }

    /// A line for people, on stderr.
    pub(crate) fn say(&self, text: &str) {
        if matches!(self.mode, Mode::Bar | Mode::Lines) {
            eprintln!("{text}");
        }
    }

    /// The result: `text` for people, or one JSON object.
    pub(crate) fn result(&self, json: &impl Serialize, text: &str) -> anyhow::Result<()> {
        self.clear();
        let mut out = std::io::stdout().lock();
        let line = if self.json { serde_json::to_string(json)? } else { text.trim_end().into() };
        writeln!(out, "{line}").context("cannot write the result to stdout")
    }

    /// An error, on stderr.
    pub(crate) fn error(&self, error: &anyhow::Error) {
        self.clear();
        let text = in_one_line(error);
        if self.json {
            let code = crate::exit::fault_of(error) as u8;
            eprintln!("{}", serde_json::json!({ "error": text, "exit_code": code }));
        } else {
            eprintln!("error: {text}");
        }
    }

    fn clear(&self) {
        if let Ok(mut bars) = self.bars.lock() {
            bars.drain().for_each(|(_, bar)| bar.finish_and_clear());
        }
    }

    fn bar(&self, stage: &'static str, done: u64, total: u64, message: &str) {
        let Ok(mut bars) = self.bars.lock() else { return };
        let bar = bars.entry(stage).or_insert_with(|| {
            let style = ProgressStyle::with_template(
                "{prefix:>12} [{bar:32}] {pos}/{len} {elapsed_precise} {msg}",
            );
            let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(total).with_style(style.progress_chars("=> ")).with_prefix(stage)
        });
        bar.set_length(total);
        bar.set_position(done);
        bar.set_message(message.to_string());
        if done >= total {
            bar.finish();
            bars.remove(stage);
        }
    }

    /// Whether a line of this stage is due: the first, the last, and one every two seconds.
    fn is_due(&self, stage: &'static str, done: u64, total: u64) -> bool {
        let Ok(mut last) = self.last.lock() else { return false };
        let now = Instant::now();
        let due = done >= total || last.get(stage).is_none_or(|then| now - *then >= LINE_EVERY);
        if due {
            last.insert(stage, now);
        }
        due
    }
}

/// An error and its causes, each said once: most messages name their cause already.
fn in_one_line(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

impl Progress for Screen {
    fn report(&self, stage: &'static str, done: u64, total: u64, message: &str) {
        match self.mode {
            Mode::Quiet => {}
            Mode::Bar => self.bar(stage, done, total, message),
            Mode::Lines => {
                if self.is_due(stage, done, total) {
                    eprintln!("{stage}: {done}/{total} {message}");
                }
            }
            Mode::Json => {
                if self.is_due(stage, done, total)
                    && let Ok(line) = serde_json::to_string(&Event { stage, done, total, message })
                {
                    eprintln!("{line}");
                }
            }
        }
    }

    fn stopped(&self) -> bool {
        STOP.load(Ordering::SeqCst)
    }
}
