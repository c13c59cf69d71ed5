//! Something that is made of the files of a directory, and made anew when they change.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::files::{Digest, FilesError};

/// How often files are read again. A mounted Secret comes by another link in the place of one, which no watch of a file sees.
const POLL: Duration = Duration::from_secs(2);

/// What a directory's files give.
pub(crate) trait Made: Sized + Send + Sync + 'static {
    type Rules: Send + Sync + 'static;
    /// What it is for, in logs and metrics.
    const USE: &'static str;

    fn read(directory: &Path, rules: &Self::Rules) -> Result<Self, FilesError>;
    fn digest(&self) -> Digest;
    /// When its certificates end, in seconds since 1970.
    fn ends(&self) -> u64;
}

pub(crate) struct Followed<T: Made> {
    directory: PathBuf,
    pub rules: T::Rules,
    now: ArcSwap<T>,
}

impl<T: Made> Followed<T> {
    pub fn open(directory: &Path, rules: T::Rules) -> Result<Arc<Self>, FilesError> {
        let made = T::read(directory, &rules)?;
        Ok(Arc::new(Self { directory: directory.to_owned(), rules, now: ArcSwap::from_pointee(made) }))
    }

    pub fn now(&self) -> Arc<T> {
        self.now.load_full()
    }

    /// Reads the files again and again. What cannot be used leaves everything as it is, and is complained of once, when it has stood for
    /// longer than files take to be written.
    pub async fn follow(self: Arc<Self>) {
        let unusable = meters::FILES_UNUSABLE.gauge(&[("use", T::USE)]);
        let ends = meters::CERTIFICATE_ENDS.gauge(&[("use", T::USE)]);
        let mut fault: Option<(String, bool)> = None;
        loop {
            ends.set(seconds(self.now.load().ends()));
            unusable.set(if matches!(fault, Some((_, true))) { 1.0 } else { 0.0 });
            tokio::time::sleep(POLL).await;
            let reader = Arc::clone(&self);
            let read = tokio::task::spawn_blocking(move || T::read(&reader.directory, &reader.rules)).await;
            fault = match read {
                Ok(Ok(made)) => {
                    if made.digest() != self.now.load().digest() {
                        self.now.store(Arc::new(made));
                        tracing::info!(usage = T::USE, "the certificates have changed");
                    }
                    None
                }
                Ok(Err(error)) => Some(self.complain(fault, &error)),
                Err(error) if error.is_panic() => {
                    tracing::error!(usage = T::USE, %error, "the certificates stay as they were");
                    Some((error.to_string(), true))
                }
                // The process is ending.
                Err(_) => return,
            };
        }
    }

    fn complain(&self, before: Option<(String, bool)>, error: &FilesError) -> (String, bool) {
        let text = chain(error);
        match before {
            Some((same, false)) if same == text => {
                let directory = self.directory.display();
                tracing::warn!(usage = T::USE, %directory, error = text, "the certificates stay as they were");
                (text, true)
            }
            Some((same, told)) if same == text => (text, told),
            _ => (text, false),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "whole seconds are exact for 285 million years")]
fn seconds(ends: u64) -> f64 {
    ends as f64
}

/// An error with its sources.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
