use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::Failure;

/// What `guildhall dev` alone writes into a directory. Where nothing of it is, `--reset` removes nothing: a mistyped --directory may hold the
/// keys of a real installation, which have the names of ours.
const MARKS: [&str; 4] = ["dev.json", "mailbox", "role-key", "seed.json"];
/// Everything that we ever write into the directory, and so all that `--reset` removes.
const OURS: [&str; 8] = ["dev.json", "keys", "mailbox", "postgres", "role-key", "sealing", "seed.json", "trust"];

/// The folder of one installation, locked for this process. The lock is the operating system's on an open file: it ends with the
/// process, however that ends, so there are no stale ones.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    _lock: File,
}

impl Directory {
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let new = !path.exists();
        fs::create_dir_all(path).map_err(Failure::file("cannot create", path))?;
        let path = path.canonicalize().map_err(Failure::file("cannot find", path))?;
        if new {
            // Others may pass through, PostgreSQL's account under root, and see nothing. Git leaves it alone, whatever it is called.
            let ignore = path.join(".gitignore");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o711))
                .and_then(|()| fs::write(&ignore, "*\n"))
                .map_err(Failure::file("cannot prepare", &path))?;
        }
        let lock_file = path.join("lock");
        let mut lock = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_file)
            .map_err(Failure::file("cannot open", &lock_file))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                let _ = lock.read_to_string(&mut pid);
                return Err(Failure::Locked { directory: path, pid: pid.trim().to_owned() });
            }
            Err(TryLockError::Error(error)) => return Err(Failure::file("cannot lock", lock_file)(error)),
        }
        lock.set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| writeln!(lock, "{}", std::process::id()))
            .map_err(Failure::file("cannot write", &lock_file))?;
        Ok(Self { path, _lock: lock })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub fn folder(&self, name: &str) -> Result<PathBuf, Failure> {
        let folder = self.path.join(name);
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .map_err(Failure::file("cannot create", &folder))?;
        Ok(folder)
    }

    pub fn reset(&self) -> Result<(), Failure> {
        let there = |names: &[&str]| names.iter().any(|name| fs::symlink_metadata(self.path.join(name)).is_ok());
        if there(&OURS) && !there(&MARKS) {
            return Err(Failure::NotOurs { directory: self.path.clone() });
        }
        for name in OURS {
            let path = self.path.join(name);
            let removed = match fs::symlink_metadata(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => Err(error),
                // The data of a directory that PostgreSQL's account cannot enter lie elsewhere.
                Ok(found) if found.is_symlink() && name == "postgres" => {
                    fs::canonicalize(&path).and_then(fs::remove_dir_all).and_then(|()| fs::remove_file(&path))
                }
                Ok(found) if found.is_dir() => fs::remove_dir_all(&path),
                Ok(_) => fs::remove_file(&path),
            };
            removed.map_err(Failure::file("cannot remove", path))?;
        }
        Ok(())
    }
}

/// Readable by us alone, and never seen half written.
pub fn write_secret(path: &Path, text: &str) -> Result<(), Failure> {
    let draft = path.with_extension("draft");
    fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&draft, path))
        .map_err(Failure::file("cannot write", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_lock_names_its_holder_and_a_dead_ones_lock_is_none() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("lock"), "4194305\n").unwrap();
        let held = Directory::open(folder.path()).unwrap();
        let refused = Directory::open(folder.path()).unwrap_err().to_string();
        assert!(refused.contains(&format!("kill {}", std::process::id())), "{refused}");
        drop(held);
        Directory::open(folder.path()).unwrap();
    }

    #[test]
    fn a_directory_that_was_there_before_keeps_its_mode_and_its_gitignore() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(folder.path().join(".gitignore"), "/target/\n").unwrap();
        Directory::open(folder.path()).unwrap();
        assert_eq!(fs::read(folder.path().join(".gitignore")).unwrap(), b"/target/\n");
        assert_eq!(fs::metadata(folder.path()).unwrap().permissions().mode() & 0o777, 0o755);
        Directory::open(&folder.path().join("new")).unwrap();
        assert_eq!(fs::read(folder.path().join("new/.gitignore")).unwrap(), b"*\n");
    }

    #[test]
    fn a_reset_removes_what_is_ours_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let directory = Directory::open(folder.path()).unwrap();
        directory.folder("keys").unwrap();
        write_secret(&directory.join("seed.json"), "{}").unwrap();
        fs::write(directory.join("thesis.tex"), "years of work").unwrap();
        directory.reset().unwrap();
        assert!(!directory.join("keys").exists() && !directory.join("seed.json").exists());
        assert!(directory.join("thesis.tex").exists());
    }

    #[test]
    fn a_reset_of_what_no_dev_has_written_is_refused() {
        let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let directory = Directory::open(folder.path()).unwrap();
        directory.reset().unwrap();
        directory.folder("keys").unwrap();
        write_secret(&directory.join("keys/gateway.pem"), "the only copy").unwrap();
        let refused = directory.reset().unwrap_err().to_string();
        assert!(refused.contains("--directory"), "{refused}");
        assert!(directory.join("keys/gateway.pem").exists());
        // Of somebody else's things that a name of ours leads to, the name goes and they stay.
        write_secret(&directory.join("seed.json"), "{}").unwrap();
        fs::write(elsewhere.path().join("thesis.tex"), "years of work").unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), directory.join("trust")).unwrap();
        directory.reset().unwrap();
        assert!(elsewhere.path().join("thesis.tex").exists() && fs::symlink_metadata(directory.join("trust")).is_err());
    }
}
