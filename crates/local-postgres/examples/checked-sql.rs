//! Writes or checks the files (`<crate>/.sqlx`) by which statements are checked at compile time without a database.
//!
//! `write` starts a throw-away PostgreSQL, applies every migration, and has the compiler look at each statement. `check` does the
//! same into another folder and compares.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use local_postgres::{Cluster, Options, Passwords, ServiceUrls, provision};
use sqlx::{Connection, PgConnection, migrate::Migrator};

/// The crates whose statements are checked, and whose schema they speak of.
const CRATES: [(&str, &str); 4] =
    [("tenancy", "org"), ("org-service", "org"), ("member-service", "member"), ("authz-service", "authz")];

type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match env::args().nth(1).as_deref() {
        Some("write") => run(true).await,
        Some("check") => run(false).await,
        _ => Err("say `write` or `check`".into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            #[expect(clippy::print_stderr, reason = "a command's own words")]
            {
                eprintln!("{failure}");
            }
            ExitCode::FAILURE
        }
    }
}

async fn run(write: bool) -> Result<(), Failure> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    let cluster = Cluster::start(Options::throw_away()).await?;
    let superuser = cluster.superuser_url();
    local_postgres::create_database(&superuser, "checked_sql").await?;
    let scratch = root.join("target/checked-sql");
    fs::create_dir_all(&scratch)?;
    let passwords = Passwords::for_server(&superuser, &scratch.join("passwords"))?;
    let urls = provision(&superuser, "checked_sql", &passwords).await?;
    let owners = owners(&urls);
    for (service, owner) in &owners {
        migrate(&root, service, owner).await?;
    }
    let mut stale = Vec::new();
    for (name, _) in CRATES {
        let kept = root.join("crates").join(name).join(".sqlx");
        let fresh = if write { kept.clone() } else { scratch.join(name) };
        let _ = fs::remove_dir_all(&fresh);
        fs::create_dir_all(&fresh)?;
        compile(&root, name, &fresh, &owners)?;
        if !write && read(&fresh)? != read(&kept)? {
            stale.push(name);
        }
    }
    cluster.stop().await?;
    if stale.is_empty() { Ok(()) } else { Err(format!("out of date: {}; run `make sqlx`", stale.join(", ")).into()) }
}

fn owners(urls: &ServiceUrls) -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        ("org", urls.org.owner.clone()),
        ("member", urls.member.owner.clone()),
        ("authz", urls.authz.owner.clone()),
    ])
}

/// The migrations of one schema, as `<service> migrate` applies them.
async fn migrate(root: &Path, service: &str, owner: &str) -> Result<(), Failure> {
    let mut all = Vec::new();
    for folder in ["tenancy".to_owned(), format!("{service}-service")] {
        let migrator = Migrator::new(root.join("crates").join(folder).join("migrations")).await?;
        all.extend(migrator.iter().cloned());
    }
    let mut connection = PgConnection::connect(owner).await?;
    sqlx::query("select set_config('guildhall.runtime_role', $1, false)")
        .bind(format!("guildhall_{service}"))
        .execute(&mut connection)
        .await?;
    Migrator::with_migrations(all).run(&mut connection).await?;
    connection.close().await?;
    Ok(())
}

/// Compiles a crate's own code with the database at hand, in a target folder of its own, so that no cached result is taken for an
/// answer.
fn compile(root: &Path, name: &str, into: &Path, owners: &BTreeMap<&str, String>) -> Result<(), Failure> {
    let library = root.join("crates").join(name).join("src/lib.rs");
    // Only what is compiled anew is looked at.
    fs::File::options().append(true).open(&library)?.set_modified(std::time::SystemTime::now())?;
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["check", "--quiet", "--locked", "--package", name]).current_dir(root);
    cargo.env("SQLX_OFFLINE", "false").env("SQLX_OFFLINE_DIR", into);
    for (service, owner) in owners {
        cargo.env(format!("{}_DATABASE_URL", service.to_uppercase()), owner);
    }
    if cargo.status()?.success() { Ok(()) } else { Err(format!("{name} does not compile against its schema").into()) }
}

fn read(folder: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>, Failure> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        files.insert(path.file_name().unwrap_or_default().into(), fs::read(&path)?);
    }
    Ok(files)
}
