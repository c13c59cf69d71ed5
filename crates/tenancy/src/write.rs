//! The one way to change a tenant: lock its head, change rows, append events, commit.
//!
//! The lock gives a gap-free revision in the order of commits, rules free of races ("never the last owner"), the order of the
//! events and their chain. Nothing slow may happen between [`crate::Database::write`] and [`Write::commit`]: no call to another
//! service, no hashing of passwords.

use std::sync::Arc;

use serde::{Serialize, de::DeserializeOwned};
use sqlx::PgConnection;
use time::{Duration, OffsetDateTime};

use crate::{
    ClusterScope, Database, Head, Moment, NewEvent, OrganizationId, OrganizationScope, OrganizationState, Origin,
    ProjectId, ProjectScope, Scope, Sealer, StoreError,
    hints::{Committed, Listener},
    purge::PURGED,
    seal::{Chain, seal_chain},
    transaction::Transaction,
    turns::Turn,
};

const ANSWER_LIFETIME: Duration = Duration::hours(24);
const ANSWER: &str = "answer";
const BODY: &str = "request body";

/// How many events one statement of an erasure blanks: a long history takes many short statements, none near the time limit.
const ERASED_AT_ONCE: i64 = 1000;

/// Whose head the operator's writes lock, and whose answers theirs are kept among: the installation as a whole, under the nil
/// uuid that no project has. It has no events of its own; what the operator does to a project stands in the project's chain.
const INSTALLATION: ProjectId = ProjectId::from_uuid(uuid::Uuid::nil());

/// The tenant whose head a write with this scope locks.
pub(crate) fn tenant(scope: Scope) -> OrganizationId {
    match scope {
        Scope::Organization(scope) => scope.organization_id(),
        Scope::Project(scope) => scope.own_key(),
        Scope::Cluster(_) => INSTALLATION.into(),
    }
}

impl Database {
    /// Takes up an organization that org-service told of, so that this service can write for it. Repeating it is harmless.
    pub async fn admit(
        &self,
        project: ProjectId,
        organization: OrganizationId,
        state: OrganizationState,
        state_revision: i64,
    ) -> Result<(), StoreError> {
        let mut tx = self.upkeep(ClusterScope::granted()).await?;
        Head::found(tx.connection(), project, organization, state, state_revision).await?;
        tx.commit().await
    }

    /// The answer that a `request_id` got the first time, looked for before the write: for operations with steps in other services,
    /// which a repetition need not take again. [`Write::first_answer`] stays the guarantee.
    pub async fn kept_answer<T: DeserializeOwned>(
        &self,
        scope: impl Into<Scope>,
        once: &Once,
    ) -> Result<Option<T>, StoreError> {
        let scope = scope.into();
        let tenant = tenant(scope);
        let mut read = self.read(scope).await?;
        let row = sqlx::query!(
            "select body_hash, answer from answer
             where organization_id = $1 and caller = $2 and method = $3 and request_id = $4 and expire_time > now()",
            tenant.uuid(),
            once.caller,
            once.method,
            once.request_id
        )
        .fetch_optional(read.connection())
        .await?;
        read.finish();
        match row {
            None => Ok(None),
            Some(row) if !once.had_this_body(self.sealer(), &row.body_hash) => Err(StoreError::RequestIdReused),
            Some(row) => open_answer(self.sealer(), tenant, &row.answer).map(Some),
        }
    }

    /// Deletes the kept answers whose time has passed, up to `limit`; how many they were.
    pub async fn forget_answers(&self, limit: i64) -> Result<u64, StoreError> {
        let mut tx = self.upkeep(ClusterScope::granted()).await?;
        let forgotten = sqlx::query!(
            "delete from answer where ctid = any (array(select ctid from answer where expire_time < now() limit $1))",
            limit
        )
        .execute(tx.connection())
        .await?
        .rows_affected();
        tx.commit().await?;
        Ok(forgotten)
    }
}

/// A write that must happen once however often it is asked for: the caller's `request_id` with what it was sent with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Once {
    pub caller: String,
    pub method: &'static str,
    pub request_id: String,
    /// SHA-256 of the request as encoded. Kept under a key only: a request may hold a password, and what it hashes to could be
    /// searched for.
    pub body_hash: [u8; 32],
}

impl Once {
    fn had_this_body(&self, sealer: &Sealer, kept: &[u8]) -> bool {
        sealer.verify(BODY, &self.body_hash, kept).is_ok()
    }
}

/// An open write. Dropped, it changes nothing.
#[derive(Debug)]
pub struct Write {
    transaction: Transaction,
    /// Let go after the transaction, as fields are dropped in their order.
    _turn: Turn<OrganizationId>,
    /// The tenant that was opened, then those founded in this write.
    chains: Vec<Chain>,
    origin: Origin,
    once: Option<Once>,
    answered: Option<Vec<u8>>,
    sealer: Arc<Sealer>,
    listener: Arc<Listener>,
    beside: Option<i64>,
}

impl Write {
    pub(crate) async fn open(
        mut transaction: Transaction,
        turn: Turn<OrganizationId>,
        scope: Scope,
        origin: Origin,
        once: Option<Once>,
        database: &Database,
    ) -> Result<Self, StoreError> {
        let head = match scope {
            Scope::Organization(scope) => Head::lock(&mut transaction, scope.organization_id()).await?,
            // A project has a head from its first write on: who it is was proven by the credential.
            Scope::Project(scope) => Self::own_head(&mut transaction, scope.project_id()).await?,
            Scope::Cluster(_) => Self::own_head(&mut transaction, INSTALLATION).await?,
        };
        let head = head.ok_or(StoreError::TenantUnknown)?;
        let mut write = Self {
            transaction,
            _turn: turn,
            chains: vec![Chain { head, events: Vec::new() }],
            origin,
            once,
            answered: None,
            sealer: database.sealer.clone(),
            listener: database.listener().clone(),
            beside: None,
        };
        write.replay().await?;
        Ok(write)
    }

    async fn own_head(connection: &mut PgConnection, project: ProjectId) -> Result<Option<Head>, StoreError> {
        let found = Head::lock(&mut *connection, project.into()).await?;
        if found.is_some() {
            return Ok(found);
        }
        Head::found(&mut *connection, project, project.into(), OrganizationState::Active, 0).await?;
        Head::lock(connection, project.into()).await
    }

    /// Looks for the first answer. After the head is locked, so that of two equal calls one writes and the other finds.
    async fn replay(&mut self) -> Result<(), StoreError> {
        let Some(once) = &self.once else { return Ok(()) };
        let row = sqlx::query!(
            r#"select body_hash, answer, expire_time <= now() as "expired!" from answer
               where organization_id = $1 and caller = $2 and method = $3 and request_id = $4"#,
            self.chains[0].head.organization_id.uuid(),
            once.caller,
            once.method,
            once.request_id
        )
        .fetch_optional(&mut *self.transaction)
        .await?;
        match row {
            None => {}
            Some(row) if row.expired => {
                sqlx::query!(
                    "delete from answer where organization_id = $1 and caller = $2 and method = $3 and request_id = $4",
                    self.chains[0].head.organization_id.uuid(),
                    once.caller,
                    once.method,
                    once.request_id
                )
                .execute(&mut *self.transaction)
                .await?;
            }
            Some(row) if !once.had_this_body(&self.sealer, &row.body_hash) => return Err(StoreError::RequestIdReused),
            Some(row) => self.answered = Some(row.answer),
        }
        Ok(())
    }

    /// The answer that this `request_id` got the first time, if it was answered before: give it again and write nothing.
    pub fn first_answer<T: DeserializeOwned>(&self) -> Result<Option<T>, StoreError> {
        let Some(sealed) = &self.answered else { return Ok(None) };
        open_answer(&self.sealer, self.chains[0].head.organization_id, sealed).map(Some)
    }

    pub fn connection(&mut self) -> &mut PgConnection {
        &mut self.transaction
    }

    pub fn head(&self) -> &Head {
        &self.chains[0].head
    }

    pub fn project_id(&self) -> ProjectId {
        self.head().project_id
    }

    pub fn organization_id(&self) -> OrganizationId {
        self.head().organization_id
    }

    /// The scope of the organization that was opened.
    pub fn scope(&self) -> OrganizationScope {
        OrganizationScope::granted(self.project_id(), self.organization_id())
    }

    /// Notes the revision of something else that this write holds still until it ends, for who is told of it.
    pub fn beside(&mut self, revision: i64) {
        self.beside = Some(revision);
    }

    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The revision that this write takes if it appends an event.
    pub fn revision(&self) -> i64 {
        self.head().revision + 1
    }

    /// One event of the tenant that was opened.
    pub fn append(&mut self, event: NewEvent) {
        self.chains[0].events.push(event);
    }

    /// Founds an organization of the project that was opened: its head, and its first event.
    pub async fn found(
        &mut self,
        organization: OrganizationId,
        event: NewEvent,
    ) -> Result<OrganizationScope, StoreError> {
        let project = self.project_id();
        Head::found(&mut self.transaction, project, organization, OrganizationState::Active, 1).await?;
        let head = Head::lock(&mut self.transaction, organization).await?.ok_or(StoreError::TenantUnknown)?;
        self.chains.push(Chain { head, events: vec![event] });
        Ok(OrganizationScope::granted(project, organization))
    }

    /// Founds a project, in a write of the operator's: its head, and the first event of its own chain.
    pub async fn found_project(&mut self, project: ProjectId, event: NewEvent) -> Result<ProjectScope, StoreError> {
        let head = Self::own_head(&mut self.transaction, project).await?.ok_or(StoreError::TenantUnknown)?;
        self.chains.push(Chain { head, events: vec![event] });
        Ok(ProjectScope::granted(project))
    }

    /// Sets the tenant's state as of a revision of org-service. An older word than the one held changes nothing: false.
    pub async fn set_state(&mut self, state: OrganizationState, state_revision: i64) -> Result<bool, StoreError> {
        let updated = sqlx::query!(
            "update head set state = $2, state_revision = $3 where organization_id = $1 and state_revision < $3",
            self.organization_id().uuid(),
            state.as_str(),
            state_revision
        )
        .execute(&mut *self.transaction)
        .await?
        .rows_affected();
        Ok(updated == 1)
    }

    /// Blanks the payloads of all events that the tenant has so far, and deletes the answers kept for it: what remains are ids,
    /// kinds, times and hashes, and a chain that still verifies. Events of this write itself are not among them. Repeating it
    /// changes nothing. How many events lost their payload.
    pub async fn erase_history(&mut self) -> Result<u64, StoreError> {
        let organization = self.organization_id().uuid();
        sqlx::query!("delete from answer where organization_id = $1", organization)
            .execute(&mut *self.transaction)
            .await?;
        let (mut erased, mut revision, mut ordinal) = (0, 0, i32::MAX);
        loop {
            // By the primary key, from place to place, so that no statement passes over what an earlier one did.
            let batch = sqlx::query!(
                r#"with batch as (
                     select revision, ordinal from event
                     where organization_id = $1 and (revision, ordinal) > ($2, $3)
                     order by revision, ordinal limit $4
                 ), blanked as (
                     update event e set payload = null from batch b
                     where e.organization_id = $1 and e.revision = b.revision and e.ordinal = b.ordinal and e.payload is not null
                     returning 1
                 )
                 select revision, ordinal, (select count(*) from blanked) as "blanked!" from batch
                 order by revision desc, ordinal desc limit 1"#,
                organization,
                revision,
                ordinal,
                ERASED_AT_ONCE
            )
            .fetch_optional(&mut *self.transaction)
            .await?;
            let Some(batch) = batch else { return Ok(erased) };
            erased += batch.blanked.unsigned_abs();
            (revision, ordinal) = (batch.revision, batch.ordinal);
        }
    }

    /// Ends the tenant for good: erases its rows, see `crate::erasure`, and its history, and appends `organization.purged`. What
    /// stays are the head, events without payload, and what no server may delete. False: that was done before, and nothing was there.
    pub async fn purge(&mut self) -> Result<bool, StoreError> {
        let organization = self.organization_id();
        let rows = crate::erasure::erase_rows(&mut self.transaction, organization).await?;
        let purged = sqlx::query_scalar!(
            r#"select exists (select 1 from event where organization_id = $1 and kind = $2) as "purged!""#,
            organization.uuid(),
            PURGED
        )
        .fetch_one(&mut *self.transaction)
        .await?;
        if purged && rows == 0 {
            return Ok(false);
        }
        self.erase_history().await?;
        self.append(NewEvent::new(PURGED, vec![organization.to_string()], &serde_json::json!({})));
        Ok(true)
    }

    /// Commits the rows, the events and the answer together, and gives the answer back.
    pub async fn commit<T: Serialize>(mut self, answer: T) -> Result<T, StoreError> {
        if let Some(once) = self.once.take() {
            self.keep(&once, &answer).await?;
        }
        let moved: Vec<Chain> = self.chains.drain(..).filter(|chain| !chain.events.is_empty()).collect();
        for chain in &moved {
            seal_chain(&mut self.transaction, chain, &self.origin).await?;
        }
        let (moment, beside) = (Moment::now(), self.beside);
        self.transaction.commit().await?;
        for Chain { head, events } in moved {
            self.listener.tell(Committed { revision: head.revision + 1, head, events, moment, beside });
        }
        Ok(answer)
    }

    async fn keep<T: Serialize>(&mut self, once: &Once, answer: &T) -> Result<(), StoreError> {
        let organization = self.organization_id().uuid();
        let project = self.project_id().uuid();
        let answer = serde_json::to_vec(answer).map_err(|_| StoreError::Corrupt("answer"))?;
        sqlx::query!(
            "insert into answer (organization_id, project_id, caller, method, request_id, body_hash, answer, expire_time)
             values ($1, $2, $3, $4, $5, $6, $7, $8)",
            organization,
            project,
            once.caller,
            once.method,
            once.request_id,
            &self.sealer.tag(BODY, &once.body_hash),
            self.sealer.seal(ANSWER, organization.as_bytes(), &answer),
            OffsetDateTime::now_utc() + ANSWER_LIFETIME
        )
        .execute(&mut *self.transaction)
        .await?;
        Ok(())
    }
}

fn open_answer<T: DeserializeOwned>(sealer: &Sealer, tenant: OrganizationId, sealed: &[u8]) -> Result<T, StoreError> {
    let answer =
        sealer.open(ANSWER, tenant.uuid().as_bytes(), sealed).map_err(|_| StoreError::Corrupt("sealed answer"))?;
    serde_json::from_slice(&answer).map_err(|_| StoreError::Corrupt("kept answer"))
}
