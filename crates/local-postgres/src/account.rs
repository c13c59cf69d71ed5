use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use nix::unistd::{Gid, Uid, User};

use crate::Error;

/// Whom the server runs as. PostgreSQL refuses to run as root, so root lends it an account; everybody else runs it themselves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Account {
    uid: u32,
    gid: u32,
    lent: bool,
}

impl Account {
    /// `data` may exist from an earlier run: then its owner runs the server, whoever that was.
    pub(crate) fn for_data(data: &Path) -> Result<Self, Error> {
        let me = Uid::effective();
        let owner = fs::metadata(data).ok().map(|found| (found.uid(), found.gid()));
        if !me.is_root() {
            return match owner {
                Some((uid, _)) if uid != me.as_raw() => Err(Error::ForeignData { data: data.into(), uid }),
                _ => Ok(Self { uid: me.as_raw(), gid: Gid::effective().as_raw(), lent: false }),
            };
        }
        if let Some((uid, gid)) = owner.filter(|(uid, _)| *uid != 0) {
            return Ok(Self { uid, gid, lent: true });
        }
        ["postgres", "nobody"]
            .into_iter()
            .find_map(|name| User::from_name(name).ok().flatten())
            .map(|user| Self { uid: user.uid.as_raw(), gid: user.gid.as_raw(), lent: true })
            .ok_or(Error::NoAccount)
    }

    /// The command runs as this account, from a folder that every account can enter.
    pub(crate) fn dress(self, command: &mut Command) {
        command.current_dir("/");
        if self.lent {
            command.uid(self.uid).gid(self.gid);
        }
    }

    /// Hands a file or folder that we made to this account, closed to everybody else.
    pub(crate) fn give(self, path: &Path, mode: u32) -> Result<(), Error> {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
            .map_err(Error::file("cannot set the mode of", path))?;
        if self.lent {
            chown(path, Some(self.uid), Some(self.gid)).map_err(Error::file("cannot hand over", path))?;
        }
        Ok(())
    }

    /// Whether the account may enter every folder above `path`. Root's own home is the case in point: 0700.
    pub(crate) fn reaches(self, path: &Path) -> bool {
        !self.lent
            || path.ancestors().skip(1).filter_map(|folder| fs::metadata(folder).ok()).all(|folder| {
                let shift = if folder.uid() == self.uid {
                    6
                } else if folder.gid() == self.gid {
                    3
                } else {
                    0
                };
                folder.mode() >> shift & 1 == 1
            })
    }
}
