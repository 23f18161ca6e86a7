//! The memory and the processor time of this process.

/// The most memory this process ever held, in MB of 2^20 bytes; nothing where the system does not say.
pub(crate) fn peak_mb() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find(|l| l.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? / 1024.0)
}

/// Processor time of all threads of this process so far, in ms; nothing where the system does not say. Linux counts it in
/// hundredths of a second.
pub(crate) fn busy_ms() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program, in brackets, may hold anything.
    let after_name = text.rsplit_once(')')?.1;
    let ticks = after_name.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
    Some(ticks.sum::<Result<f64, _>>().ok()? * 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_takes_processor_time() {
        let Some(before) = busy_ms() else { return };
        let began = std::time::Instant::now();
        while began.elapsed().as_millis() < 100 {
            std::hint::black_box((0..1000).sum::<u64>());
        }
        let busy = busy_ms().unwrap() - before;
        assert!((10.0..20_000.0).contains(&busy), "{busy} ms");
    }
}
