//! Folders in the machine's temporary folder: those of running instances, which vanish with their
//! owners, and templates, which stay for the next run.
//!
//! What does not belong here: what is put into them.
//!
//! An owner that was killed cannot clean up. So each folder has a lock file that its owner keeps
//! locked; whoever makes a folder removes those whose lock is free.

use std::fs::{DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

const OWNER_LOCK: &str = "owner.lock";

/// A folder of a running instance. Dropping it removes it.
#[derive(Debug)]
pub(crate) struct InstanceFolder {
    path: PathBuf,
    _owner: File,
}

impl InstanceFolder {
    /// Makes an empty folder, and removes those whose owners are gone.
    pub(crate) fn make() -> io::Result<Self> {
        let base = base()?;
        // Without it, one could remove a folder between its making and its locking.
        let _alone = lock(&base.join("instances.lock"))?;
        for entry in std::fs::read_dir(&base)?.flatten() {
            let path = entry.path();
            let is_instance = entry.file_name().to_string_lossy().starts_with("instance-");
            if is_instance && is_orphan(&path) {
                // Another user of the machine may be about to remove it too.
                let _ = std::fs::remove_dir_all(&path);
            }
        }
        let path = loop {
            let path = base.join(format!("instance-{:08x}", fastrand::u32(..)));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => break path,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        };
        let owner = lock(&path.join(OWNER_LOCK))?;
        Ok(Self { path, _owner: owner })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for InstanceFolder {
    fn drop(&mut self) {
        // What cannot be removed now is removed by whoever makes the next folder.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

fn is_orphan(folder: &Path) -> bool {
    match File::open(folder.join(OWNER_LOCK)) {
        Ok(file) => !matches!(file.try_lock(), Err(TryLockError::WouldBlock)),
        // Its owner was killed before it had a lock file; makers hold the lock of all while they make one.
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// The folder `name` that outlives this process, filled by `fill` if it is not there yet, once, whoever
/// else wants it at the same time.
pub(crate) fn template<E: From<io::Error>>(
    name: &str,
    fill: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<PathBuf, E> {
    let base = base()?;
    let path = base.join(format!("template-{name}"));
    let _alone = lock(&base.join("templates.lock"))?;
    if !path.is_dir() {
        let unfinished = base.join(format!("unfinished-{name}"));
        if unfinished.exists() {
            std::fs::remove_dir_all(&unfinished)?;
        }
        std::fs::create_dir(&unfinished)?;
        fill(&unfinished)?;
        std::fs::rename(&unfinished, &path)?;
    }
    Ok(path)
}

/// Copies a folder with all that is in it. Only files and folders are expected.
pub(crate) fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// The rig's own folder, private to this user of the machine.
fn base() -> io::Result<PathBuf> {
    let user = rustix::process::getuid();
    let base = std::env::temp_dir().join(format!("holdfast-rig-{}", user.as_raw()));
    match DirBuilder::new().mode(0o700).create(&base) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    // The name is known to all, and the temporary folder is everybody's.
    let metadata = std::fs::symlink_metadata(&base)?;
    if !metadata.is_dir() || metadata.uid() != user.as_raw() {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("{} is not ours", base.display())));
    }
    Ok(base)
}

fn lock(path: &Path) -> io::Result<File> {
    let file = File::options().create(true).truncate(false).write(true).open(path)?;
    file.lock()?;
    Ok(file)
}
