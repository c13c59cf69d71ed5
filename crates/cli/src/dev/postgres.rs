use std::path::Path;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use local_postgres::{Cluster, Error, Passwords, ServiceUrls};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::directory::Directory;
use super::roster::Roster;
use crate::{Failure, Output};

const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The server that the services use: one that the user named, or a private one that is kept running.
#[derive(Debug)]
pub struct Server {
    superuser_url: String,
    database: String,
    /// Where the data are, in words that stay the same from run to run.
    pub place: String,
    kept: Option<(CancellationToken, JoinHandle<()>)>,
}

impl Server {
    /// Somebody else's server. The database has a name of its own for each directory, so that several fit there.
    pub fn given(url: String, directory: &Directory) -> Self {
        let digest = digest::digest(&digest::SHA256, directory.path().as_os_str().as_encoded_bytes());
        let name: String = digest.as_ref()[..4].iter().map(|byte| format!("{byte:02x}")).collect();
        let host = url::Url::parse(&url)
            .ok()
            .map(|url| format!("{}:{}", url.host_str().unwrap_or(""), url.port().unwrap_or(5432)));
        let place = host.unwrap_or_else(|| "the server of DATABASE_URL".to_owned());
        Self { superuser_url: url, database: format!("guildhall_dev_{name}"), place, kept: None }
    }

    /// A private one under the directory, installed first if need be.
    pub async fn private(directory: &Directory, roster: Arc<Roster>, output: Output) -> Result<Self, Failure> {
        let options = || local_postgres::Options::persistent(directory.join("postgres"));
        let cluster = match Cluster::start(options()).await {
            Err(Error::NotInstalled) => {
                install(output).await?;
                Cluster::start(options()).await?
            }
            other => other?,
        };
        output.say(format_args!("PostgreSQL {} is up on 127.0.0.1:{}", cluster.major(), cluster.port()));
        roster.entered("postgres", cluster.pid());
        let superuser_url = cluster.superuser_url();
        let stop = CancellationToken::new();
        let keeper = tokio::spawn(keep(cluster, roster, output, stop.clone()));
        Ok(Self {
            superuser_url,
            database: "guildhall".to_owned(),
            place: "its own PostgreSQL".to_owned(),
            kept: Some((stop, keeper)),
        })
    }

    pub async fn provision(&self, role_key: &Path) -> Result<ServiceUrls, Failure> {
        let passwords = Passwords::for_server(&self.superuser_url, role_key)?;
        Ok(local_postgres::provision(&self.superuser_url, &self.database, &passwords).await?)
    }

    /// Only the database that is ours.
    pub async fn reset(&self) -> Result<(), Failure> {
        Ok(local_postgres::drop_database(&self.superuser_url, &self.database).await?)
    }

    /// The superuser's, in the services' database.
    pub fn database_url(&self) -> String {
        match url::Url::parse(&self.superuser_url) {
            Ok(mut url) => {
                url.set_path(&self.database);
                url.into()
            }
            Err(_) => self.superuser_url.clone(),
        }
    }

    pub async fn stop(self) {
        if let Some((stop, keeper)) = self.kept {
            stop.cancel();
            let _ = keeper.await;
        }
    }
}

async fn install(output: Output) -> Result<(), Failure> {
    output.say("PostgreSQL is not on this machine; installing it, which takes a minute or so");
    let progress = move |command: &str| output.say(format_args!("running {command}"));
    tokio::task::spawn_blocking(move || local_postgres::install(progress))
        .await
        .map_err(|panicked| Failure::system("cannot install PostgreSQL")(panicked.into()))??;
    Ok(())
}

async fn keep(mut cluster: Cluster, roster: Arc<Roster>, output: Output, stop: CancellationToken) {
    loop {
        let status = tokio::select! {
            status = ended(&mut cluster) => status,
            () = stop.cancelled() => {
                if let Err(error) = cluster.stop().await {
                    output.say(error);
                }
                roster.left("postgres", None);
                return;
            }
        };
        roster.left("postgres", Some(status));
        output.say(format_args!("PostgreSQL ended, {status}; starting it again"));
        while let Err(error) = cluster.restart().await {
            output.say(error);
            tokio::select! {
                () = sleep(Duration::from_secs(2)) => {}
                () = stop.cancelled() => return,
            }
        }
        roster.entered("postgres", cluster.pid());
    }
}

async fn ended(cluster: &mut Cluster) -> ExitStatus {
    loop {
        if let Some(status) = cluster.ended() {
            return status;
        }
        sleep(LOOK_EVERY).await;
    }
}
