use std::path::PathBuf;

const PROGRAMS: [&str; 5] = ["guildhall", "gateway", "org-service", "member-service", "authz-service"];

/// The folder of the profile that this test was built with, such as target/debug.
pub(crate) fn folder() -> PathBuf {
    let test = std::env::current_exe().expect("a running test has a program");
    test.ancestors()
        .find(|folder| folder.file_name().is_some_and(|name| name == "deps" || name == "examples"))
        .and_then(|deps| deps.parent())
        .or_else(|| test.parent())
        .expect("a program lies in a folder")
        .to_owned()
}

/// The folder, with all five programs in it. Cargo builds the programs of a test's own package only, and these belong to others.
pub fn built() -> PathBuf {
    let folder = folder();
    let missing: Vec<&str> = PROGRAMS.into_iter().filter(|program| !folder.join(program).is_file()).collect();
    assert!(
        missing.is_empty(),
        "not built in {}: {}; run `make test`, or `cargo build --workspace` first",
        folder.display(),
        missing.join(", ")
    );
    folder
}
