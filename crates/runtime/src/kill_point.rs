//! Places between two steps of a write that spans services, where a test has the process die.
//!
//! A debug build that is started with GUILDHALL_KILL_POINT, the path of a file, dies like by SIGKILL at the point whose name the file
//! holds, and removes the file first: it dies once. A release build has no such places.

/// Dies here if a test says so. Named `<operation>/<what has just been done>`.
#[inline]
pub fn kill_point(name: &'static str) {
    #[cfg(debug_assertions)]
    armed::die_at(name);
    #[cfg(not(debug_assertions))]
    let _ = name;
}

#[cfg(debug_assertions)]
mod armed {
    use std::{fs, path::PathBuf, sync::OnceLock};

    pub(super) fn die_at(name: &str) {
        static FILE: OnceLock<Option<PathBuf>> = OnceLock::new();
        let Some(file) = FILE.get_or_init(|| std::env::var_os("GUILDHALL_KILL_POINT").map(PathBuf::from)) else {
            return;
        };
        let armed = fs::read_to_string(file).is_ok_and(|wanted| wanted.trim() == name);
        // Of two calls that come here at once, the one that removes the file dies for both.
        if armed && fs::remove_file(file).is_ok() {
            tracing::warn!(name, "killed, as asked for");
            std::process::abort();
        }
    }
}
