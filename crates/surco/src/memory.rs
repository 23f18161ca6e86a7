//! The memory of this process.

/// The most memory this process ever held, in MB of 2^20 bytes; nothing where the system does not say.
pub(crate) fn peak_mb() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find(|l| l.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? / 1024.0)
}
