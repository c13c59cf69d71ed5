//! `GET /dev/mailbox`: the mail that a development installation delivered to a directory instead of to people. On the admin port only, and
//! only when asked for: it holds invitations and sign-in codes.

use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use axum::{
    Router,
    extract::{Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use serde::{Deserialize, Serialize};

/// The newest so many are shown.
const MAX_MESSAGES: usize = 1000;
const MAX_MESSAGE_BYTES: u64 = 1024 * 1024;

#[derive(Debug, Serialize, Deserialize)]
struct Message {
    to: String,
    #[serde(default)]
    subject: String,
    #[serde(default)]
    text: String,
    #[serde(default)]
    html: String,
    #[serde(default)]
    time: String,
}

#[derive(Debug, Serialize)]
struct Mailbox {
    messages: Vec<Message>,
}

#[derive(Debug, Deserialize)]
struct Wanted {
    /// Only mail to this address.
    to: Option<String>,
}

pub fn routes(directory: PathBuf) -> Router {
    Router::new().route("/dev/mailbox", get(mailbox)).with_state(Arc::new(directory))
}

async fn mailbox(State(directory): State<Arc<PathBuf>>, Query(wanted): Query<Wanted>) -> Response {
    match tokio::task::spawn_blocking(move || read(&directory, wanted.to.as_deref())).await {
        Ok(Ok(messages)) => axum::Json(Mailbox { messages }).into_response(),
        Ok(Err(error)) => {
            tracing::warn!(%error, "the mailbox cannot be read");
            (StatusCode::INTERNAL_SERVER_ERROR, "the mailbox cannot be read\n").into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Oldest first: file names sort by arrival. What is no message, or half of one, is passed over.
fn read(directory: &Path, to: Option<&str>) -> io::Result<Vec<Message>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.extension() == Some(OsStr::new("json")) {
            files.push(path);
        }
    }
    files.sort();
    let mut messages = Vec::new();
    for path in files.iter().rev() {
        if messages.len() == MAX_MESSAGES {
            break;
        }
        let small = fs::metadata(path).is_ok_and(|file| file.is_file() && file.len() <= MAX_MESSAGE_BYTES);
        let message = small.then(|| fs::read(path).ok()).flatten();
        let message = message.and_then(|bytes| serde_json::from_slice::<Message>(&bytes).ok());
        messages.extend(message.filter(|message| to.is_none_or(|to| message.to.eq_ignore_ascii_case(to))));
    }
    messages.reverse();
    Ok(messages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mail_is_read_oldest_first_and_by_recipient() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("2.json", r#"{"to":"grace@acme.test","subject":"second","text":"","html":"","time":"t"}"#);
        write("1.json", r#"{"to":"ada@acme.test","subject":"first"}"#);
        write("3.json", "half a mess");
        write(".4.json", r#"{"to":"ada@acme.test","subject":"a draft"}"#);
        write("5.txt", r#"{"to":"ada@acme.test","subject":"no mail"}"#);
        let subjects = |to| -> Vec<String> {
            read(folder.path(), to).unwrap().into_iter().map(|message| message.subject).collect()
        };
        assert_eq!(subjects(None), ["first", "second"]);
        assert_eq!(subjects(Some("Grace@acme.test")), ["second"]);
        assert!(read(&folder.path().join("absent"), None).unwrap().is_empty());
    }
}
