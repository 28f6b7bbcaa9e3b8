//! What a process has used so far, as the kernel tells: processor time, bytes written, memory.
//!
//! What does not belong here: whose process it is. Where the kernel does not tell, there is no figure.

use std::ops::Sub;

use serde::Serialize;

/// What one process, or several together, have used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Usage {
    /// Processor time, in its own code and in the kernel's, in seconds.
    pub cpu_seconds: f64,
    /// Bytes that it had the kernel write to a disk.
    pub written_bytes: u64,
}

impl Usage {
    /// Of the process of this number; `None` if it is gone, or the kernel does not tell.
    pub(super) fn of(process: i32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        let io = std::fs::read_to_string(format!("/proc/{process}/io")).ok()?;
        Some(Self { cpu_seconds: cpu_seconds(&stat)?, written_bytes: number_after(&io, "write_bytes:")? })
    }
}

impl Sub for Usage {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            cpu_seconds: self.cpu_seconds - before.cpu_seconds,
            written_bytes: self.written_bytes.saturating_sub(before.written_bytes),
        }
    }
}

/// The memory of a process, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Memory {
    /// That it has now.
    pub resident_bytes: u64,
    /// The most that it ever had.
    pub peak_bytes: u64,
}

impl Memory {
    /// Of the process of this number; `None` if it is gone, or the kernel does not tell.
    pub(super) fn of(process: i32) -> Option<Self> {
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        let bytes = |name: &str| number_after(&status, name).map(|kibibytes| kibibytes * 1024);
        Some(Self { resident_bytes: bytes("VmRSS:")?, peak_bytes: bytes("VmHWM:")? })
    }
}

/// The 14th and 15th field, in ticks of the kernel's clock. The second is the program's name in brackets, and may
/// have anything in it.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut ticks = rest.split_ascii_whitespace().skip(11).map(str::parse::<f64>);
    let all = ticks.next()?.ok()? + ticks.next()?.ok()?;
    #[expect(clippy::cast_precision_loss, reason = "some hundred ticks a second")]
    let per_second = rustix::param::clock_ticks_per_second() as f64;
    Some(all / per_second)
}

fn number_after(text: &str, name: &str) -> Option<u64> {
    // Another name may end like this one: `cancelled_write_bytes`.
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_have_anything_in_it() {
        let stat = "17 (a) b (c) S 1 1 1 0 -1 4194560 5 6 7 8 250 150 0 0 20 0 9 0 1 2 3";
        let per_second = f64::from(u32::try_from(rustix::param::clock_ticks_per_second()).expect("a number"));
        assert!((cpu_seconds(stat).expect("seconds") - 400.0 / per_second).abs() < 1e-9);
        assert_eq!(cpu_seconds("17 (a"), None);
    }

    #[test]
    fn numbers_are_found_by_their_whole_name() {
        let io = "rchar: 1\ncancelled_write_bytes: 5\nwrite_bytes: 4096\n";
        assert_eq!(number_after(io, "write_bytes:"), Some(4096));
        assert_eq!(number_after("VmRSS:\t  12 kB\n", "VmRSS:"), Some(12));
        assert_eq!(number_after(io, "VmRSS:"), None);
    }

    #[test]
    fn this_process_has_used_something() {
        let id = i32::try_from(std::process::id()).expect("a number");
        assert!(Usage::of(id).is_some());
        let memory = Memory::of(id).expect("memory");
        assert!(memory.resident_bytes > 0 && memory.peak_bytes >= memory.resident_bytes);
        assert_eq!(Memory::of(-1), None);
    }
}
