//! A writer's hand: sends what is to be done until it is answered, or gives it up, and notes what came of it.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use testkit::caller::{Caller, Refused};
use tokio::time::sleep;
use tonic::Code;

use crate::history::{Effect, EventKey, History, Kind, Look, Operation, Outcome, State, Thing};

/// What is still not answered after this is given up: restarts, each after a longer pause, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// One in so many attempts that went unanswered is the last.
const GIVES_UP: usize = 4;
/// One in so many acknowledged writes is sent once more, as if its answer had been lost.
const ASKS_AGAIN: usize = 6;

/// Writes without a `request_id`: to do them twice is as to do them once, or changes nothing that is looked at.
const UNKEYED: [&str; 1] = ["ServiceAccountService/UpdateServiceAccount"];

/// Numbers that look random and are the same in every run.
#[derive(Debug)]
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides as u64).unwrap_or_default()
    }
}

#[derive(Debug)]
pub struct Pen {
    pub history: Arc<History>,
    pub caller: Caller,
    pub dice: Dice,
    pub name: String,
    written: usize,
}

/// One write, as it is to be noted.
#[derive(Debug)]
pub struct Asked {
    pub method: &'static str,
    pub request: Value,
    pub effects: Vec<Effect>,
    /// Where in the answer the id of the first thing stands. Empty: nowhere.
    pub id: &'static str,
    /// The kind of its event, with its organization and, unless that is the answered id, whom it is about.
    pub event: Option<(&'static str, String, Option<String>)>,
}

pub fn effect(kind: Kind, name: &str, state: State) -> Effect {
    Effect { thing: Thing::new(kind, name), state }
}

/// Whether a refusal leaves open what became of the call. What the server says of itself has a reason; a broken connection has none.
pub fn unanswered(refused: &Refused) -> bool {
    match refused.code {
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::ResourceExhausted => true,
        Code::Unknown | Code::Internal => refused.reason.is_empty(),
        _ => false,
    }
}

pub fn field(value: &Value, path: &str) -> String {
    let found = path.split('.').fold(value, |value, key| match key.parse::<usize>() {
        Ok(at) => &value[at],
        Err(_) => &value[key],
    });
    found.as_str().unwrap_or_default().to_owned()
}

impl Pen {
    pub fn new(history: Arc<History>, caller: Caller, name: String, seed: u64) -> Self {
        Self { history, caller, dice: Dice(seed), name, written: 0 }
    }

    /// A word of this writer's that was never used.
    pub fn word(&mut self) -> String {
        self.written += 1;
        format!("{}-{}", self.name, self.written)
    }

    /// The answer, or none where nobody knows what became of it.
    pub async fn write(&mut self, asked: Asked) -> Option<Value> {
        let caller = self.caller.clone();
        self.write_as(&caller, asked).await
    }

    pub async fn write_as(&mut self, caller: &Caller, asked: Asked) -> Option<Value> {
        let Asked { method, mut request, effects, id, event } = asked;
        let request_id = self.word();
        if !UNKEYED.contains(&method) {
            request["request_id"] = json!(request_id);
        }
        let (sent, mut attempts) = (self.history.now(), 0);
        let answer = loop {
            attempts += 1;
            match caller.try_call(method, request.clone()).await {
                Ok(answer) => break Some(answer),
                Err(refused) => {
                    self.history.failed(format!("{:?} {}", refused.code, refused.reason));
                    if !unanswered(&refused) {
                        self.history
                            .wrong(format!("{method} {request_id} was refused at attempt {attempts}: {refused:?}"));
                        break None;
                    }
                    let tired = self.history.now() - sent > PATIENCE;
                    if tired || self.dice.roll(GIVES_UP) == 0 {
                        break None;
                    }
                    sleep(Duration::from_millis(30 + self.dice.roll(170) as u64)).await;
                }
            }
        };
        let ended = self.history.now();
        let told = answer.as_ref().map_or(String::new(), |answer| field(answer, id));
        let event = event.and_then(|(kind, organization, subject)| {
            let subject = subject.unwrap_or_else(|| told.clone());
            let organization = if organization.is_empty() { told.clone() } else { organization };
            (!subject.is_empty()).then(|| EventKey { organization, kind: kind.to_owned(), subject })
        });
        let outcome = if answer.is_some() { Outcome::Acknowledged } else { Outcome::Unknown };
        self.history.write(Operation {
            method,
            request_id: request_id.clone(),
            sent,
            ended,
            attempts,
            outcome,
            effects,
            id: told,
            event,
        });
        let answer = answer?;
        if !UNKEYED.contains(&method)
            && self.dice.roll(ASKS_AGAIN) == 0
            && let Ok(again) = caller.try_call(method, request).await
            && again != answer
        {
            self.history.wrong(format!("{method} {request_id} was answered {answer}, and asked again {again}"));
        }
        Some(answer)
    }
}

impl Pen {
    /// Notes what was asked otherwise.
    pub fn answered(&self, method: &'static str, sent: Duration, effects: Vec<Effect>, id: &str) {
        self.note(method, sent, effects, id, Outcome::Acknowledged);
    }

    pub fn unanswered(&self, method: &'static str, sent: Duration, effects: Vec<Effect>) {
        self.note(method, sent, effects, "", Outcome::Unknown);
    }

    fn note(&self, method: &'static str, sent: Duration, effects: Vec<Effect>, id: &str, outcome: Outcome) {
        let (id, ended) = (id.to_owned(), self.history.now());
        let (request_id, attempts, event) = (String::new(), 1, None);
        self.history.write(Operation { method, request_id, sent, ended, attempts, outcome, effects, id, event });
    }
}

/// How to find out whether something is in force.
#[derive(Clone, Debug)]
pub enum Question {
    /// Of a member, or at a document.
    Check {
        organization: String,
        member: String,
        document: Option<String>,
    },
    Refresh(Caller, String),
    WhoAmI(Caller),
    ClientCredentials {
        id: String,
        secret: String,
    },
}

/// What was taken back, and how to see whether it is.
#[derive(Clone, Debug)]
pub struct Ended {
    pub thing: Thing,
    pub question: Question,
    pub grace: Duration,
}

/// None where nobody said.
pub async fn in_force(cluster: &testkit::Cluster, account: &Caller, question: &Question) -> Option<bool> {
    let judged = |outcome: Result<bool, Refused>| match outcome {
        Ok(yes) => Some(yes),
        Err(refused) if unanswered(&refused) => None,
        Err(_) => Some(false),
    };
    match question {
        Question::Check { organization, member, document } => {
            let permission = if document.is_some() { "document:read" } else { "guildhall.member:read" };
            let mut request = json!({"organization_id": organization, "subject": {"member_id": member},
                "permission": permission, "consistency": {"fully_consistent": true}});
            if let Some(document) = document {
                request["resource"] = json!({"type": "document", "id": document});
            }
            let answer = account.try_call("AuthorizationService/Check", request).await;
            judged(answer.map(|answer| answer["allowed"] == true))
        }
        Question::Refresh(anyone, token) => {
            let request = json!({"refresh_token": token});
            let answer = anyone.try_call("AuthenticationService/RefreshSession", request).await;
            judged(answer.map(|_| true))
        }
        Question::WhoAmI(caller) => {
            judged(caller.try_call("AuthenticationService/WhoAmI", json!({})).await.map(|_| true))
        }
        Question::ClientCredentials { id, secret } => {
            let form = [("grant_type", "client_credentials"), ("client_id", id), ("client_secret", secret)];
            let address = cluster.access().gateway;
            match testkit::http::try_post_form(address, "/oauth2/token", &form).await.ok()? {
                (200, _) => Some(true),
                (400 | 401, _) => Some(false),
                _ => None,
            }
        }
    }
}

/// Asks once, and notes what was said.
pub async fn look(history: &History, cluster: &testkit::Cluster, account: &Caller, ended: &Ended) {
    let sent = history.now();
    if let Some(in_force) = in_force(cluster, account, &ended.question).await {
        let Ended { thing, grace, .. } = ended.clone();
        history.look(Look { thing, sent, ended: history.now(), in_force, grace });
    }
}

/// The session that an access token is of.
pub fn session_of(token: &str) -> String {
    let claims = token.split('.').nth(1).unwrap_or_default();
    let claims = URL_SAFE_NO_PAD.decode(claims).unwrap_or_default();
    let claims: Value = serde_json::from_slice(&claims).unwrap_or_default();
    field(&claims, "sid")
}
