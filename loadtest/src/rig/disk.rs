//! A small disk of its own for a database, to be filled up.
//!
//! It is a file system in memory (tmpfs). What does not belong here: what is kept on it.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::RigError;
use super::workspace::{DISK, InstanceFolder};

/// The file that takes up the space.
const FILLER: &str = "filler";

/// A disk. Dropping it removes it with all that is on it.
#[derive(Debug)]
pub struct SmallDisk {
    folder: InstanceFolder,
}

impl SmallDisk {
    /// Mounts an empty one of so many mebibytes.
    ///
    /// # Errors
    /// [`RigError::NotPermitted`] if this user may mount nothing, here or by `sudo`; others if it went wrong.
    pub fn mount(mebibytes: u32) -> Result<Self, RigError> {
        let folder = InstanceFolder::make().map_err(RigError::system("make a folder"))?;
        let path = folder.path().join(DISK);
        std::fs::create_dir(&path).map_err(RigError::system("make a folder"))?;
        let (user, group) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        let options = format!("size={mebibytes}m,mode=0700,uid={user},gid={group}");
        let mut mount = as_root("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "holdfast-rig"]).arg(&path).stdin(Stdio::null());
        let output = mount.output().map_err(RigError::system("run mount"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(RigError::NotPermitted { doing: "mount a tmpfs", said });
        }
        Ok(Self { folder })
    }

    /// Where it is.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join(DISK)
    }

    /// Takes up all the space that is left.
    ///
    /// # Errors
    /// If something but the lack of space stops it.
    pub fn fill(&self) -> Result<(), RigError> {
        let failed = || RigError::system("fill the disk");
        let mut filler = File::options().create(true).append(true).open(self.filler()).map_err(failed())?;
        // The last bytes of a page are found by smaller and smaller pieces.
        for piece in [1 << 20, 1 << 12, 1] {
            let bytes = vec![0; piece];
            loop {
                match filler.write(&bytes) {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => return Err(failed()(error)),
                }
            }
        }
        Ok(())
    }

    /// Gives the space back.
    ///
    /// # Errors
    /// If the file that takes it up cannot be removed.
    pub fn free(&self) -> Result<(), RigError> {
        std::fs::remove_file(self.filler()).map_err(RigError::system("free the disk"))
    }

    fn filler(&self) -> PathBuf {
        self.path().join(FILLER)
    }
}

/// A program that only root may run; others try by `sudo`, which must not ask for a password.
fn as_root(program: &str) -> Command {
    if rustix::process::getuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.args(["-n", program]);
    command
}

/// Unmounts what is mounted at `path`, if anything is.
pub(super) fn unmount(path: &Path) {
    if path.is_dir() {
        // Whoever uses it still keeps it until the end; where nothing is mounted there is nothing to do.
        let _ = as_root("umount").arg("-l").arg(path).stdin(Stdio::null()).output();
    }
}
