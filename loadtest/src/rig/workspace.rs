//! Folders in the machine's temporary folder: those of running instances, which vanish with their
//! owners, and templates, which stay for the next run.
//!
//! What does not belong here: what is put into them.
//!
//! An owner that was killed cannot clean up. So each folder has a lock file that its owner keeps
//! locked; whoever makes a folder removes those whose lock is free.

use std::fs::{DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

const OWNER_LOCK: &str = "owner.lock";

/// Where an instance that has a disk of its own has it.
pub(super) const DISK: &str = "disk";

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
                remove(&path);
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
        remove(&self.path);
    }
}

/// Removes an instance's folder. What cannot be removed now is removed by whoever makes the next one.
fn remove(folder: &Path) {
    super::disk::unmount(&folder.join(DISK));
    // Somebody else may be about to remove it, too.
    let _ = std::fs::remove_dir_all(folder);
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

/// Gives a folder with all that is in it to a user and a group.
pub(crate) fn give_folder(folder: &Path, (user, group): (u32, u32)) -> io::Result<()> {
    std::os::unix::fs::chown(folder, Some(user), Some(group))?;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            give_folder(&entry.path(), (user, group))?;
        } else {
            std::os::unix::fs::chown(entry.path(), Some(user), Some(group))?;
        }
    }
    Ok(())
}

/// The rig's own folder. Others of the machine cannot look into it, nor into what is in it; who is given a
/// folder there can reach that.
fn base() -> io::Result<PathBuf> {
    const MODE: u32 = 0o711;
    let user = rustix::process::getuid();
    let base = std::env::temp_dir().join(format!("holdfast-rig-{}", user.as_raw()));
    match DirBuilder::new().mode(MODE).create(&base) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    // The name is known to all, and the temporary folder is everybody's.
    let metadata = std::fs::symlink_metadata(&base)?;
    if !metadata.is_dir() || metadata.uid() != user.as_raw() {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("{} is not ours", base.display())));
    }
    if metadata.mode() & 0o777 != MODE {
        std::fs::set_permissions(&base, std::fs::Permissions::from_mode(MODE))?;
    }
    Ok(base)
}

fn lock(path: &Path) -> io::Result<File> {
    let file = File::options().create(true).truncate(false).write(true).open(path)?;
    file.lock()?;
    Ok(file)
}
