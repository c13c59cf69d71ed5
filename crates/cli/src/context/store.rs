//! The file of contexts: read whole, written whole beside its place and moved there, closed to others.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Context;
use crate::Failure;

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contexts {
    /// Which one counts when none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    #[serde(default)]
    pub contexts: BTreeMap<String, Context>,
}

/// `$XDG_CONFIG_HOME/guildhall/config.toml`, by default below `~/.config`.
pub fn path() -> Result<PathBuf, Failure> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")));
    let base =
        base.ok_or_else(|| Failure::Usage("neither XDG_CONFIG_HOME nor HOME says where contexts are kept".into()))?;
    Ok(base.join("guildhall/config.toml"))
}

pub fn read(path: &Path) -> Result<Contexts, Failure> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Contexts::default()),
        Err(error) => return Err(Failure::file("cannot read", path)(error)),
    };
    toml::from_str(&text).map_err(|error: toml::de::Error| {
        // The error's own text would quote the line, and with it a secret.
        let line = error.span().map_or(0, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        Failure::Contexts { path: path.into(), line, fault: error.message().to_owned() }
    })
}

/// Reads, changes and writes, with nobody else between.
pub fn change<T>(path: &Path, change: impl FnOnce(&mut Contexts) -> Result<T, Failure>) -> Result<T, Failure> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(Failure::file("cannot create", folder))?;
    let lock = path.with_extension("lock");
    let held = private().truncate(false).open(&lock).map_err(Failure::file("cannot open", &lock))?;
    held.lock().map_err(Failure::file("cannot lock", &lock))?;
    let mut contexts = read(path)?;
    let answer = change(&mut contexts)?;
    let text = toml::to_string(&contexts).map_err(|error| Failure::Contexts {
        path: path.into(),
        line: 0,
        fault: error.to_string(),
    })?;
    let draft = path.with_extension("draft");
    // A draft that a crash left may be open to others.
    let _ = fs::remove_file(&draft);
    let write = |mut file: File| file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    let written = private().create_new(true).open(&draft).and_then(write).and_then(|()| fs::rename(&draft, path));
    written.map_err(Failure::file("cannot write", path))?;
    Ok(answer)
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).mode(0o600);
    options
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn contexts_come_back_as_they_were_from_a_file_for_their_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("guildhall/config.toml");
        assert!(read(&path).unwrap().contexts.is_empty(), "no file: no contexts");
        let dev = Context {
            gateway: "http://127.0.0.1:8080".into(),
            client_id: Some("sa_1".into()),
            client_secret: Some("se\"cret\n".into()),
            ..Context::default()
        };
        change(&path, |contexts| Ok(contexts.contexts.insert("dev".into(), dev))).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        change(&path, |contexts| Ok(contexts.current.replace("dev".into()))).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600, "also after somebody opened it");
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        let again = read(&path).unwrap();
        assert_eq!(again.current.as_deref(), Some("dev"));
        use secrecy::ExposeSecret as _;
        assert_eq!(again.contexts["dev"].client_secret.as_ref().unwrap().expose_secret(), "se\"cret\n");
    }

    #[test]
    fn a_broken_file_is_named_by_its_line_without_its_text() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        fs::write(&path, "[contexts.dev]\ngateway = \"g\"\nclient_secret = hush\n").unwrap();
        let said = read(&path).unwrap_err().to_string();
        assert!(said.contains("config.toml:3") && !said.contains("hush"), "{said}");
        assert!(change(&path, |_| Ok(())).is_err());
        assert!(fs::read_to_string(&path).unwrap().contains("hush"), "and it is left alone");
    }
}
