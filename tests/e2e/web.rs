//! Programs of `tests/web`, which run in node with the packages that its lock file pins. Where there is no node or npm, or the packages cannot
//! be had, whoever asks is told and skips what they would have tested.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::LazyLock,
};

use serde_json::Value;

/// The folder where packages are installed, outside of the source.
static INSTALLED: LazyLock<Result<PathBuf, String>> = LazyLock::new(install);

fn install() -> Result<PathBuf, String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("web");
    let folder = std::env::current_exe().unwrap().ancestors().nth(3).unwrap().join("web");
    let run = |program: &str, arguments: &[&str]| {
        let ran = Command::new(program).args(arguments).current_dir(&folder).output();
        match ran {
            Ok(ran) if ran.status.success() => Ok(()),
            Ok(ran) => Err(format!("{program} failed: {}", String::from_utf8_lossy(&ran.stderr))),
            Err(error) => Err(format!("{program} cannot be run: {error}")),
        }
    };
    fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    run("node", &["--version"])?;
    let lock = fs::read(source.join("package-lock.json")).map_err(|error| error.to_string())?;
    let fresh = fs::read(folder.join("installed-lock.json")).is_ok_and(|installed| installed == lock);
    for file in fs::read_dir(&source).map_err(|error| error.to_string())?.flatten() {
        fs::copy(file.path(), folder.join(file.file_name())).map_err(|error| error.to_string())?;
    }
    if !fresh {
        run("npm", &["ci", "--no-audit", "--no-fund", "--ignore-scripts"])?;
        fs::write(folder.join("installed-lock.json"), lock).map_err(|error| error.to_string())?;
    }
    Ok(folder)
}

/// What a program prints as JSON when it is told `input`. None: it cannot be run here, and that was said.
pub fn run(program: &str, arguments: &[&str], input: &Value) -> Option<Value> {
    let folder = match &*INSTALLED {
        Ok(folder) => folder,
        Err(why) => {
            #[expect(clippy::print_stderr, reason = "whoever runs the tests has to know")]
            {
                eprintln!("SKIPPED, for want of node and the packages of tests/web: {why}");
            }
            return None;
        }
    };
    let mut child = Command::new("node")
        .arg(program)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.to_string().as_bytes()).unwrap();
    let ran = child.wait_with_output().unwrap();
    let (out, said) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{program}: {said}");
    Some(serde_json::from_str(&out).unwrap_or_else(|_| panic!("{program} printed {out} and said {said}")))
}
