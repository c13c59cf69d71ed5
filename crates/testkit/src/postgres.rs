//! PostgreSQL for tests: one throw-away server for each test process, one database for each test.

use std::collections::HashMap;
use std::fmt::Display;
use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use local_postgres::{Cluster, Error, Options, Passwords, ServiceUrls};
use tokio::sync::OnceCell;

use crate::binaries;

/// The server of this test process: the one of `DATABASE_URL`, else a private one that ends with the process.
#[derive(Debug)]
pub struct Server {
    superuser_url: String,
    passwords: Passwords,
    // Never dropped, being in a static: its leash ends it.
    cluster: Option<Cluster>,
}

/// A database that is made once in a process and copied for each test. On a server that was given it stays behind, for nothing
/// runs when a test process ends.
#[derive(Clone, Debug)]
pub struct Template {
    name: String,
}

/// A database of one test, provisioned and prepared, gone when dropped.
#[derive(Debug)]
pub struct TestDatabase {
    /// The superuser's URL in this database: for looking behind the walls.
    pub superuser_url: String,
    /// What each service signs in with.
    pub urls: ServiceUrls,
    name: String,
}

/// The server, started at the first call.
pub async fn server() -> &'static Server {
    static SERVER: OnceCell<Server> = OnceCell::const_new();
    SERVER
        .get_or_init(|| async { Server::start().await.unwrap_or_else(|error| panic!("no PostgreSQL: {error}")) })
        .await
}

impl Server {
    async fn start() -> Result<Self, Error> {
        // Only for a server that trusts its superuser without a password, where several test processes have to agree.
        let role_key = binaries::folder().join("guildhall-test-role-key");
        if let Some(superuser_url) = local_postgres::given_url() {
            let passwords = Passwords::for_server(&superuser_url, &role_key)?;
            return Ok(Self { superuser_url, passwords, cluster: None });
        }
        let cluster = Cluster::start(Options::throw_away()).await?;
        let passwords = Passwords::for_server(&cluster.superuser_url(), &role_key)?;
        Ok(Self { superuser_url: cluster.socket_url(), passwords, cluster: Some(cluster) })
    }

    pub fn superuser_url(&self) -> &str {
        &self.superuser_url
    }
}

/// The template of this name, made at the first call in this process: provisioned, then prepared, for example migrated. Every connection
/// that `prepare` opens has to be closed when it returns.
pub async fn template<E, F>(name: &str, prepare: impl FnOnce(ServiceUrls) -> F) -> Template
where
    E: Display,
    F: Future<Output = Result<(), E>>,
{
    static TEMPLATES: Mutex<Option<HashMap<String, Arc<OnceCell<Template>>>>> = Mutex::new(None);
    let cell = {
        let mut templates = TEMPLATES.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(templates.get_or_insert_default().entry(name.to_owned()).or_default())
    };
    let make = || async {
        let server = server().await;
        let database = format!("guildhall_test_{}_{name}", std::process::id());
        let urls = local_postgres::provision(&server.superuser_url, &database, &server.passwords).await.unwrap_or_else(
            |error| panic!("cannot provision template {name}: {error}: {:?}", std::error::Error::source(&error)),
        );
        if let Err(error) = prepare(urls).await {
            panic!("cannot prepare template {name}: {error}");
        }
        Template { name: database }
    };
    cell.get_or_init(make).await.clone()
}

impl TestDatabase {
    /// A copy of the template, for one test.
    pub async fn new(template: &Template) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let server = server().await;
        let name = format!("guildhall_test_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        local_postgres::create_database_from_template(&server.superuser_url, &name, &template.name)
            .await
            .unwrap_or_else(|error| {
                panic!("cannot copy {}: {error}: {:?}", template.name, std::error::Error::source(&error))
            });
        let urls = ServiceUrls::new(&server.superuser_url, &name, &server.passwords)
            .unwrap_or_else(|error| panic!("cannot sign in to {name}: {error}"));
        let superuser_url = local_postgres::url_for(&server.superuser_url, None, &name)
            .unwrap_or_else(|error| panic!("cannot look into {name}: {error}"));
        Self { superuser_url, urls, name }
    }

    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for TestDatabase {
    /// A private server is thrown away whole, and soon; only a given one is tidied.
    fn drop(&mut self) {
        let Some(url) = local_postgres::given_url() else { return };
        let name = std::mem::take(&mut self.name);
        drop_elsewhere(url, name);
    }
}

/// Drops a database from a place that cannot wait for a future: a destructor, perhaps inside a runtime.
pub(crate) fn drop_elsewhere(superuser_url: String, database: String) {
    let tidying = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(local_postgres::drop_database(&superuser_url, &database)).map_err(std::io::Error::other)
    });
    // A test's verdict does not hang on this.
    let _ = tidying.join();
}

impl Server {
    /// The process id of a private server.
    pub fn pid(&self) -> Option<u32> {
        self.cluster.as_ref().map(Cluster::pid)
    }
}
