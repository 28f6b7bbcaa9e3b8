//! What the figures were measured on.
//!
//! What does not belong here: anything that is not the same for all of them. What cannot be found out is left out.

use std::path::Path;

use serde::Serialize;

use crate::rig::process;

/// The machine, and the programs besides the server and its database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Machine {
    /// Processors that the bench may use.
    pub processors: usize,
    /// What kind they are.
    pub processor: Option<String>,
    /// Memory, in bytes.
    pub memory_bytes: Option<u64>,
    /// The kernel.
    pub kernel: Option<String>,
    /// The kind of file system that databases are on: one in memory would make every commit cheap.
    pub file_system: Option<String>,
    /// The load generator.
    pub wrk: Option<String>,
}

impl Machine {
    /// This one.
    pub(super) fn this() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).ok();
        let after = |text: String, name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?.trim_start_matches([' ', '\t', ':']);
            Some(line.trim().to_owned())
        };
        let memory = read("/proc/meminfo").and_then(|text| after(text, "MemTotal"));
        Self {
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            processor: read("/proc/cpuinfo").and_then(|text| after(text, "model name")),
            memory_bytes: memory.and_then(|text| text.split(' ').next()?.parse::<u64>().ok()).map(|kib| kib * 1024),
            kernel: read("/proc/sys/kernel/osrelease").map(|text| text.trim().to_owned()),
            file_system: read("/proc/self/mounts").and_then(|mounts| file_system(&mounts, &std::env::temp_dir())),
            wrk: wrk_version(),
        }
    }
}

/// The kind of file system that `path` is on: that of the longest mount point above it.
fn file_system(mounts: &str, path: &Path) -> Option<String> {
    let mounts = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        Some((fields.next()?, fields.next()?))
    });
    // Of two on one point the later one hides the earlier.
    let nearest = mounts.filter(|(point, _)| path.starts_with(point)).max_by_key(|(point, _)| point.len());
    nearest.map(|(_, kind)| kind.to_owned())
}

fn wrk_version() -> Option<String> {
    // It says so, and how it is used, with an exit code of 1.
    let output = std::process::Command::new(process::find_program(&["wrk"])?).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Some(text.lines().next()?.split(" [").next()?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_on_the_nearest_mount() {
        let mounts =
            "/dev/a / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/b /tmpfoo xfs rw 0 0\n/dev/c /tmp btrfs rw 0 0\n";
        let kind = |path: &str| file_system(mounts, Path::new(path));
        assert_eq!(kind("/tmp/x").as_deref(), Some("btrfs"));
        assert_eq!(kind("/tmpfoo").as_deref(), Some("xfs"));
        assert_eq!(kind("/var").as_deref(), Some("ext4"));
        assert_eq!(file_system("", Path::new("/")), None);
    }

    #[test]
    fn this_machine_has_processors() {
        assert!(Machine::this().processors > 0);
    }
}
