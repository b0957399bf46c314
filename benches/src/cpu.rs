//! CPU time of processes that share the machine with what is measured.

use anyhow::Context;

/// Linux tells times of processes in these, whatever its own clock is.
const TICKS_PER_SECOND: f64 = 100.0;
/// Fields of `/proc/PID/stat` between the name and the time in user mode.
const FIELDS_BEFORE: usize = 11;

/// CPU seconds that a process has used: in user mode and in the kernel.
pub fn seconds(process: u32) -> anyhow::Result<f64> {
    let path = format!("/proc/{process}/stat");
    let stat = std::fs::read_to_string(&path).with_context(|| path.clone())?;
    ticks(&stat).map(|ticks| ticks / TICKS_PER_SECOND).with_context(|| format!("{path}: {stat}"))
}

/// The name of a process, in parentheses, may have blanks and parentheses.
fn ticks(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(FIELDS_BEFORE).map(str::parse::<f64>);
    Some(times.next()?.ok()? + times.next()?.ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_process_does_not_move_its_times() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 900 0 0 0 150 30 0 0 20 0 9 0 5";
        assert_eq!(ticks(stat), Some(180.0));
        assert_eq!(ticks("7 (a) S 1"), None);
    }

    #[test]
    fn work_is_counted() {
        let before = seconds(std::process::id()).expect("we are a process");
        while seconds(std::process::id()).expect("we are a process") <= before {
            std::hint::black_box((0..100_000_u64).sum::<u64>());
        }
    }
}
