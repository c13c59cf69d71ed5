//! Where somebody may, and who may somewhere: streams that hold one revision and one time from the first message to the last, also
//! where they are taken up again behind one of them.

use std::{fmt::Write as _, sync::Arc, thread, time::Duration};

use access::Granted;
use api::{
    Addressed as _,
    authz::v1::{ListResourcesRequest, ListResourcesResponse, ListSubjectsRequest, ListSubjectsResponse},
};
use engine::{Circumstances, Context, Listed, Meter, ResourceRef, Snapshot, SubjectId, TypeName};
use prost::Message;
use serde::{Serialize, de::DeserializeOwned};
use tenancy::{OrganizationScope, page::Query};
use time::OffsetDateTime;
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status, codegen::BoxStream};

use super::{
    Server,
    convert::{resource, subject},
    outlet::{self, Outlet, WAITING},
    question::{
        Asked, Parts, consistency, decision, declared, declared_type, missing, parts, question, settle, within,
    },
    refusal::{cursor as invalid_cursor, refused, snapshot},
};
use crate::{
    model::Revision,
    ops::{contextual, edit::NewBinding, explain::Question},
    snapshots::{Consistency, State},
};

/// How many items are found at once. The engine looks anew for each such page.
const PAGE: usize = 4_096;
/// And how many where conditions cost so much that so many cannot be.
const FEW: usize = 64;
/// Whoever reads nothing for so long may take it up again behind the last message.
const PATIENCE: Duration = Duration::from_secs(60);

/// The pages that are being looked for: no more than there are processors, whoever asks. Others wait for their turn.
#[derive(Debug, Clone)]
pub(super) struct Searches(Arc<Semaphore>);

impl Default for Searches {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(thread::available_parallelism().map_or(2, usize::from))))
    }
}

/// How far a list has come: what its cursors hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize)]
struct Place<K> {
    revision: Revision,
    /// When it is asked: what begins or ends later does so for none of its messages.
    #[serde(with = "time::serde::rfc3339")]
    now: OffsetDateTime,
    after: K,
}

/// A list that is being read.
struct List<K> {
    server: Server,
    scope: OrganizationScope,
    method: &'static str,
    /// Of the whole request but its cursor.
    filter: String,
    state: Arc<State>,
    /// The same, and what counts for this request only.
    engine: Snapshot,
    context: Option<Context>,
    now: OffsetDateTime,
    after: Option<K>,
}

/// What a request asks of each item, beside the item.
struct Terms<'a> {
    consistency: Consistency,
    cursor: &'a str,
    context: Option<Context>,
    contextual: Vec<NewBinding>,
}

/// However it ended, its reader may go on for as long as the contract says.
impl<K> Drop for List<K> {
    fn drop(&mut self) {
        self.server.snapshots.hold(&self.state);
    }
}

/// A request without its cursor, as a word.
fn fingerprint(message: &impl Message) -> String {
    let digest = tenancy::event::sha256(&message.encode_to_vec());
    digest.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl<K: Clone + Serialize + DeserializeOwned + Send + Sync + 'static> List<K> {
    /// From the start, or behind the message of the cursor.
    async fn open(
        server: &Server,
        granted: &Granted<OrganizationScope>,
        filter: String,
        terms: Terms<'_>,
    ) -> Result<Self, Status> {
        let Terms { consistency, cursor, context, contextual } = terms;
        let (scope, method) = (granted.scope, granted.method().path);
        let query = Query { method, scope: scope.into(), filter: &filter };
        let page = query.page::<Place<K>>(server.sealer(), 0, cursor).map_err(|_| invalid_cursor())?;
        let (state, now, after) = match page.after {
            None => {
                let state = server.snapshots.at(scope, consistency).await.map_err(snapshot)?;
                (state, tenancy::event::now(), None)
            }
            Some(Place { revision, now, after }) => {
                let state = server.snapshots.held(scope, &revision).await.map_err(snapshot)?;
                (state.ok_or_else(invalid_cursor)?, now, Some(after))
            }
        };
        let engine = contextual::with(&state, &contextual).map_err(refused)?.into_owned();
        Ok(Self { server: server.clone(), scope, method, filter, state, engine, context, now, after })
    }

    /// Finds page after page, no faster than they are read.
    async fn fill<M>(
        mut self,
        outlet: Outlet<M>,
        find: impl Fn(&Snapshot, Circumstances<'_>, Option<&K>, usize) -> Vec<Listed<K>> + Send + Sync + 'static,
        message: impl Fn(Listed<K>, String, String) -> M,
    ) -> Result<(), outlet::Ended> {
        let find = Arc::new(find);
        loop {
            outlet.in_time()?;
            self.server.snapshots.hold(&self.state);
            let (listed, more) = self.page(&find).await?;
            for one in listed {
                self.after = Some(one.item.clone());
                let place = Place { revision: self.state.revision(), now: self.now, after: one.item.clone() };
                let query = Query { method: self.method, scope: self.scope.into(), filter: &self.filter };
                let cursor = query.token(self.server.sealer(), &place);
                outlet.send(message(one, cursor, self.state.token().to_owned())).await?;
            }
            if !more {
                return Ok(());
            }
        }
    }

    /// The next page, and whether there may be another. It is looked for where it holds up nobody else: it may be among a hundred
    /// thousand.
    async fn page<F>(&self, find: &Arc<F>) -> Result<(Vec<Listed<K>>, bool), Status>
    where
        F: Fn(&Snapshot, Circumstances<'_>, Option<&K>, usize) -> Vec<Listed<K>> + Send + Sync + 'static,
    {
        let turn = Arc::clone(&self.server.searches.0).acquire_owned().await;
        let (find, engine, now, after) = (Arc::clone(find), self.engine.clone(), self.now, self.after.clone());
        let context = self.context.clone();
        let search = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let within_steps = |limit: usize| {
                let meter = Meter::default();
                let given = Circumstances { now, context: context.as_ref(), meter: Some(&meter) };
                let listed = find(&engine, given, after.as_ref(), limit);
                // Where the steps ran out, what is missing may be missing for that alone.
                within(&meter).map(|()| (listed.len() == limit, listed))
            };
            within_steps(PAGE).or_else(|_| within_steps(FEW)).map(|(more, listed)| (listed, more))
        });
        match search.await {
            Ok(page) => page,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}

impl Server {
    pub(super) async fn resources(
        &self,
        request: Request<ListResourcesRequest>,
    ) -> Result<Response<BoxStream<ListResourcesResponse>>, Status> {
        let granted = self.access.organization(&request).await?;
        let right = outlet::right(&self.access, &granted, request.get_ref().self_id());
        let mut asked = request.into_inner();
        let cursor = std::mem::take(&mut asked.cursor);
        let mut faults = Vec::new();
        let who = Parts { subject: asked.subject.as_ref(), resource: None, context: asked.context.as_ref() };
        let question = question(who, &asked.permission, &mut faults);
        let of_type = asked.resource_type.parse::<TypeName>();
        let of_type = of_type.map_err(|error| faults.push(("resource_type", error.to_string()))).ok();
        let (read, contextual) = settle(question.zip(of_type), faults, &asked.contextual_bindings)?;
        let (Question { subject, permission, context, .. }, of_type) = read;
        let consistency = consistency(self.sealer(), asked.consistency.as_ref())?;
        let terms = Terms { consistency, cursor: &cursor, context, contextual };
        let list = List::<ResourceRef>::open(self, &granted, fingerprint(&asked), terms).await?;
        declared(&list.state.engine, [(Some(&permission), None)])?;
        declared_type(&list.state.engine, of_type.as_str())?;
        let subject = SubjectId::from(subject);
        Ok(outlet::stream(&granted.call, WAITING, PATIENCE, right, move |outlet| {
            let find = move |engine: &Snapshot, given: Circumstances<'_>, after: Option<&ResourceRef>, limit: usize| {
                engine.list_resources(&subject, &permission, of_type.as_str(), given, after, limit)
            };
            list.fill(outlet, find, |Listed { item, decision: decided }, cursor, revision| ListResourcesResponse {
                resource: Some(resource::of_reference(&item)),
                decision: decision(&decided).into(),
                missing_context: missing(decided),
                cursor,
                revision,
            })
        }))
    }

    pub(super) async fn subjects(
        &self,
        request: Request<ListSubjectsRequest>,
    ) -> Result<Response<BoxStream<ListSubjectsResponse>>, Status> {
        let granted = self.access.organization(&request).await?;
        let right = outlet::right(&self.access, &granted, request.get_ref().self_id());
        let mut asked = request.into_inner();
        let cursor = std::mem::take(&mut asked.cursor);
        let mut faults = Vec::new();
        let place = place(&asked, &mut faults);
        let permission = asked.permission.parse::<engine::Permission>();
        let permission = permission.map_err(|error| faults.push(("permission", error.to_string()))).ok();
        let (read, contextual) = settle(place.zip(permission), faults, &asked.contextual_bindings)?;
        let (Asked { resource: place, context, .. }, permission) = read;
        let consistency = consistency(self.sealer(), asked.consistency.as_ref())?;
        let terms = Terms { consistency, cursor: &cursor, context, contextual };
        let list = List::<SubjectId>::open(self, &granted, fingerprint(&asked), terms).await?;
        declared(&list.state.engine, [(Some(&permission), place.as_ref())])?;
        Ok(outlet::stream(&granted.call, WAITING, PATIENCE, right, move |outlet| {
            let find = move |engine: &Snapshot, given: Circumstances<'_>, after: Option<&SubjectId>, limit: usize| {
                engine.list_subjects(&permission, place.as_ref(), given, after, limit)
            };
            list.fill(outlet, find, |Listed { item, decision: decided }, cursor, revision| ListSubjectsResponse {
                subject: Some(subject::to_proto(item.into())),
                decision: decision(&decided).into(),
                missing_context: missing(decided),
                cursor,
                revision,
            })
        }))
    }
}

/// Where, for a question that names no subject. Faults are added.
fn place(asked: &ListSubjectsRequest, faults: &mut Vec<(&'static str, String)>) -> Option<Asked> {
    // Whoever it is: the other parts are looked at as those of any question.
    let somebody = subject::to_proto(crate::model::Subject::Member(tenancy::MemberId::from_uuid(uuid::Uuid::nil())));
    let who = Parts { subject: Some(&somebody), resource: asked.resource.as_ref(), context: asked.context.as_ref() };
    parts(who, faults)
}
