//! An organization's authorization in this process: `May they?` without a call, never staler than a stated bound.
//!
//! ```no_run
//! use client::embedded::{Consistency, EngineOptions, Place, ResourceRef};
//!
//! # async fn example(guildhall: client::Client) -> Result<(), Box<dyn std::error::Error>> {
//! let acme = guildhall.embedded_engine("org_01h455vb4pex5vsknk084sn02q", EngineOptions::default());
//! let ada = Place::new("member_01h455vb4pex5vsknk084sn02q".parse()?).at(ResourceRef::new("document", "42")?);
//! let question = ada.asks("document:read".parse()?);
//! let answer = acme.check(&question, &Consistency::MinimizeLatency).await?;
//! println!("{} at {}", answer.decision.is_allowed(), answer.revision);
//! # Ok(())
//! # }
//! ```
//!
//! The credential of the client needs `guildhall.authorization:check` in the organization. A task follows
//! `AuthorizationService.WatchRevisions`: first all that decides is told, then what each revision changed. When the stream breaks, it is
//! opened again behind the last revision that was taken up.
//!
//! # How fresh an answer is
//!
//! | asked for | answered |
//! |---|---|
//! | [`MinimizeLatency`](Consistency::MinimizeLatency) | from memory while it is proven that everything is in it that was committed [`EngineOptions::staleness_bound`] ago; else by the server |
//! | [`AtLeastAsFresh`](Consistency::AtLeastAsFresh) | from memory if it is known that the token is reached; else by the server |
//! | [`FullyConsistent`](Consistency::FullyConsistent) | by the server |
//!
//! With [`Otherwise::Refuse`] there is no call where the table says "else": the answer is [`Unanswered::Stale`].
//!
//! The proof is a time by the database's clock, and this machine's calendar has no part in judging it: a beginning of the stream is
//! read after it was asked for, so the difference of the database's clock to a clock here that only counts up is known to the
//! length of that wait, which makes proofs look older and never younger. A proof cannot come before it was made, so a database's
//! clock that is put forward is noticed with the next message. Until then, and by no more than the quickest message since then took to
//! come, an answer may be older than the bound. A database's clock that is put back makes proofs look old, and the server is asked until
//! it has caught up. The windows of bindings, and `now` in conditions, go by this machine's calendar.
//!
//! A token is opaque, so its order is not told from its text. Reached are the revisions that the stream came through, and every
//! token for which the server has answered at one of them. The token of a write is in neither, so the first question that names it goes
//! to the server; what comes later need not. From a token that is reached the answer may come however old the proof is, as from the
//! service.
//!
//! # When nothing is answered from memory
//!
//! Before the first revision is there; when a newer server tells something that this version does not know (nothing is guessed, and the
//! stream is tried again later); and when the credential lost its right, or the organization is gone: then the engine is
//! [ended](Unanswered::Ended), asks nobody, and another one has to be made.

mod clock;
mod fact;
mod follow;
mod held;
mod question;
mod reached;
mod subject;

use std::{fmt, sync::Arc, time::Duration};

use api::authz::v1::{self as proto, authorization_service_client::AuthorizationServiceClient};
use engine::Meter;
use tokio::{task::JoinHandle, time::Instant};
use tonic::Status;

pub use engine::{Decision, InvalidContext, Permission, ResourceRef};
pub use fact::{NotUnderstood, change};
pub use question::{Consistency, Inputs, Place, Question};
pub(crate) use subject::uuid;
pub use subject::{InvalidId, Subject};

use crate::{Client, Connection};
use clock::Moment;
use follow::Follower;
use held::{Held, State, View};

type Server = AuthorizationServiceClient<Connection>;

/// What happens to a question that memory cannot answer as freshly as asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Otherwise {
    /// The server is asked, in the same mode.
    #[default]
    AskServer,
    /// The question is refused. One that names a token waits for it as long as this.
    Refuse { wait: Duration },
}

/// How an engine answers.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// The oldest that an answer may be in `MinimizeLatency`. 2 seconds unless told; the stream proves itself about twice a second, by
    /// what its server proved up to its own bound before.
    pub staleness_bound: Duration,
    pub otherwise: Otherwise,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self { staleness_bound: Duration::from_secs(2), otherwise: Otherwise::AskServer }
    }
}

/// Why there is no answer. None of them means yes.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    #[error("what is in memory is not proven to be as fresh as asked")]
    Stale,
    #[error("{0}")]
    NotUnderstood(String),
    #[error("the engine has ended: {}", .0.message())]
    Ended(Box<Status>),
    #[error("{0} is not declared in the catalogue")]
    Undeclared(String),
    #[error("the conditions that the question reaches take too many steps")]
    TooCostly,
    #[error("the server answered {}: {}", .0.code(), .0.message())]
    Server(Box<Status>),
}

impl From<Status> for Unanswered {
    fn from(status: Status) -> Self {
        Self::Server(Box::new(status))
    }
}

/// Who gave an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    Memory,
    Server,
}

/// An answer to [`EmbeddedEngine::check`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub decision: Decision,
    /// The revision token that it is true at.
    pub revision: Arc<str>,
    pub by: By,
}

/// An answer to [`EmbeddedEngine::check_all`]: all of it at one revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answers {
    pub decisions: Vec<Decision>,
    pub revision: Arc<str>,
    pub by: By,
}

/// An answer to [`EmbeddedEngine::list_permissions`], sorted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permissions {
    pub allowed: Vec<String>,
    pub conditional: Vec<String>,
    pub revision: Arc<str>,
    pub by: By,
}

/// An organization's authorization in memory. Cheap to clone; the stream ends with the last clone.
#[derive(Clone)]
pub struct EmbeddedEngine {
    inner: Arc<Inner>,
}

struct Inner {
    held: Arc<Held>,
    server: Server,
    organization_id: String,
    options: EngineOptions,
    task: JoinHandle<()>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for EmbeddedEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedEngine").field("organization_id", &self.inner.organization_id).finish_non_exhaustive()
    }
}

impl Client {
    /// Holds an organization's authorization in memory from now on. Must be called inside the tokio runtime. Questions are answered at
    /// once, by the server until the stream has begun; see [`EmbeddedEngine::ready`].
    pub fn embedded_engine(&self, organization_id: &str, options: EngineOptions) -> EmbeddedEngine {
        let (held, server) = (Arc::new(Held::new()), self.authorization());
        let follower = Follower {
            server: server.clone(),
            organization_id: organization_id.to_owned(),
            bound: options.staleness_bound,
            patience: self.connection.deadline(),
            held: held.clone(),
            offset: None,
        };
        let task = tokio::spawn(follower.run());
        let organization_id = organization_id.to_owned();
        EmbeddedEngine { inner: Arc::new(Inner { held, server, organization_id, options, task }) }
    }
}

impl EmbeddedEngine {
    /// Waits until there is something to answer from. Without it, the first questions go to the server.
    pub async fn ready(&self) -> Result<(), Unanswered> {
        let mut changes = self.inner.held.changes();
        loop {
            match &**self.inner.held.state() {
                State::Holding(_) => return Ok(()),
                State::NotUnderstood(what) => return Err(Unanswered::NotUnderstood(what.clone())),
                State::Ended(status) => return Err(Unanswered::Ended(Box::new(status.clone()))),
                State::Empty => {}
            }
            if changes.changed().await.is_err() {
                return Err(Unanswered::Stale);
            }
        }
    }

    /// The revision that is held; None where nothing is.
    pub fn revision(&self) -> Option<Arc<str>> {
        match &**self.inner.held.state() {
            State::Holding(view) => Some(view.revision.clone()),
            State::Empty | State::NotUnderstood(_) | State::Ended(_) => None,
        }
    }

    /// May they? From memory it is a few lookups and the reading of two clocks; only conditions cost more.
    pub async fn check(&self, question: &Question, consistency: &Consistency) -> Result<Answer, Unanswered> {
        let decide = |view: &View| {
            let decision = question.decide(view, question::now(), &Meter::default())?;
            Ok(Answer { decision, revision: view.revision.clone(), by: By::Memory })
        };
        if let Some(answer) = self.recall(consistency, decide).await? {
            return Ok(answer);
        }
        let answer = ask(&self.inner.server, &self.inner.organization_id, question, consistency).await?;
        self.answered(consistency, &answer.revision);
        Ok(answer)
    }

    /// The same of many, in their order and at one revision.
    pub async fn check_all(&self, questions: &[Question], consistency: &Consistency) -> Result<Answers, Unanswered> {
        let decide = |view: &View| {
            let (now, meter) = (question::now(), Meter::default());
            let decisions = questions.iter().map(|question| question.decide(view, now, &meter));
            let decisions = decisions.collect::<Result<_, _>>()?;
            Ok(Answers { decisions, revision: view.revision.clone(), by: By::Memory })
        };
        if let Some(answers) = self.recall(consistency, decide).await? {
            return Ok(answers);
        }
        let asked = proto::BatchCheckRequest {
            organization_id: self.inner.organization_id.clone(),
            checks: questions.iter().map(Question::to_question).collect(),
            contextual_bindings: Vec::new(),
            consistency: Some(consistency.to_proto()),
        };
        let told = self.inner.server.clone().batch_check(asked).await?.into_inner();
        self.answered(consistency, &told.revision);
        if told.results.len() != questions.len() {
            return Err(Status::internal("not as many answers as questions").into());
        }
        let results = told.results.into_iter();
        let decisions = results.map(|result| decision(result.decision, result.missing_context));
        Ok(Answers { decisions: decisions.collect::<Result<_, _>>()?, revision: told.revision.into(), by: By::Server })
    }

    /// What they may do at the place: verbs of the resource's type, or of every type at the organization.
    pub async fn list_permissions(&self, place: &Place, consistency: &Consistency) -> Result<Permissions, Unanswered> {
        let list = |view: &View| {
            let (allowed, conditional) = place.permissions(view)?;
            Ok(Permissions { allowed, conditional, revision: view.revision.clone(), by: By::Memory })
        };
        if let Some(permissions) = self.recall(consistency, list).await? {
            return Ok(permissions);
        }
        let asked = place.to_list(&self.inner.organization_id, consistency);
        let told = self.inner.server.clone().list_permissions(asked).await?.into_inner();
        self.answered(consistency, &told.revision);
        Ok(Permissions {
            allowed: told.permissions,
            conditional: told.conditional_permissions,
            revision: told.revision.into(),
            by: By::Server,
        })
    }

    /// The answer of memory; None where the server is to be asked.
    async fn recall<T>(
        &self,
        consistency: &Consistency,
        answer: impl Fn(&View) -> Result<T, Unanswered>,
    ) -> Result<Option<T>, Unanswered> {
        if let Some(answered) = self.at_once(consistency, &answer)? {
            return Ok(Some(answered));
        }
        let Otherwise::Refuse { wait } = self.inner.options.otherwise else { return Ok(None) };
        match consistency {
            Consistency::FullyConsistent => Ok(None),
            Consistency::MinimizeLatency => Err(self.unready()),
            Consistency::AtLeastAsFresh(_) => {
                let until = Instant::now() + wait;
                let mut changes = self.inner.held.changes();
                loop {
                    if let Some(answered) = self.at_once(consistency, &answer)? {
                        return Ok(Some(answered));
                    }
                    if !matches!(tokio::time::timeout_at(until, changes.changed()).await, Ok(Ok(()))) {
                        return Err(self.unready());
                    }
                }
            }
        }
    }

    fn at_once<T>(
        &self,
        consistency: &Consistency,
        answer: impl Fn(&View) -> Result<T, Unanswered>,
    ) -> Result<Option<T>, Unanswered> {
        let held = &self.inner.held;
        // Before the state is loaded: what is reached now, whatever is loaded then has reached.
        let reached = match consistency {
            Consistency::AtLeastAsFresh(token) => held.has_reached(token),
            Consistency::MinimizeLatency | Consistency::FullyConsistent => false,
        };
        match &**held.state() {
            State::Ended(status) => Err(Unanswered::Ended(Box::new(status.clone()))),
            State::Empty | State::NotUnderstood(_) => Ok(None),
            State::Holding(view) => {
                let is_fresh = match consistency {
                    Consistency::MinimizeLatency => {
                        view.proven().until(Moment::now()) <= self.inner.options.staleness_bound
                    }
                    Consistency::AtLeastAsFresh(_) => reached,
                    Consistency::FullyConsistent => false,
                };
                if is_fresh { answer(view).map(Some) } else { Ok(None) }
            }
        }
    }

    fn unready(&self) -> Unanswered {
        match &**self.inner.held.state() {
            State::NotUnderstood(what) => Unanswered::NotUnderstood(what.clone()),
            State::Ended(status) => Unanswered::Ended(Box::new(status.clone())),
            State::Empty | State::Holding(_) => Unanswered::Stale,
        }
    }

    fn answered(&self, consistency: &Consistency, revision: &str) {
        if let Consistency::AtLeastAsFresh(token) = consistency {
            self.inner.held.answered(token, revision);
        }
    }
}

/// What the server says.
pub(crate) async fn ask(
    server: &Server,
    organization: &str,
    question: &Question,
    consistency: &Consistency,
) -> Result<Answer, Unanswered> {
    let told = server.clone().check(question.to_check(organization, consistency)).await?.into_inner();
    let decision = decision(told.decision, told.missing_context)?;
    Ok(Answer { decision, revision: told.revision.into(), by: By::Server })
}

/// The server's; one that this version does not know is none.
fn decision(told: i32, missing: Vec<String>) -> Result<Decision, Unanswered> {
    match proto::Decision::try_from(told) {
        Ok(proto::Decision::Allowed) => Ok(Decision::Allowed),
        Ok(proto::Decision::Denied) => Ok(Decision::Denied),
        Ok(proto::Decision::Conditional) => Ok(Decision::Conditional { missing }),
        Ok(proto::Decision::Unspecified) | Err(_) => {
            Err(Status::internal("the server's answer is not known here").into())
        }
    }
}
