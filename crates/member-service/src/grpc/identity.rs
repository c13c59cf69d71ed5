//! `guildhall.member.v1.IdentityService`.

use std::time::{Duration, Instant};

use access::{Granted, Tenant, store};
use api::member::v1::{
    GetIdentityRequest, Identity, ImportIdentitiesRequest, ImportIdentitiesResponse, ImportRefusal,
    ListMembershipsRequest, ListMembershipsResponse, LookupIdentityRequest, Member, UpdateIdentityRequest,
    identity_service_server::IdentityService,
};
use runtime::{Inlet, Violations};
use tenancy::{IdentityId, OrganizationId, ProjectScope, page::Query};
use tonic::{Request, Response, Status, Streaming};
use tonic_types::StatusExt;

use super::{Door, convert, refusal};
use crate::{
    model::{EmailAddress, IdentityDraft},
    ops::identity::{self, ImportError},
};

/// As many refusals as an import's answer shows.
const SHOWN: usize = 1000;
/// Nothing of it is held for longer than a hundred people: it may be all the people that a product has.
const LONGEST: Duration = Duration::from_secs(1800);
/// Nothing of an import is written by a right that was not asked for within this time before.
const ASK_RIGHT: Duration = Duration::from_secs(1);

impl Door {
    /// The project's own credential, or a service that asks about a person whom it knows.
    async fn project_of_person(
        &self,
        request: &Request<ListMembershipsRequest>,
        id: IdentityId,
    ) -> Result<Granted<ProjectScope>, Status> {
        let Ok(granted) = self.access.workload(request) else { return self.access.project(request).await };
        let project = identity::project_of(&self.context, &granted, id).await.map_err(store)?;
        Ok(granted.in_project(project.ok_or_else(|| refusal::missing("identity"))?))
    }
}

#[tonic::async_trait]
impl IdentityService for Door {
    async fn get_identity(&self, request: Request<GetIdentityRequest>) -> Result<Response<Identity>, Status> {
        let granted = self.access.project(&request).await?;
        let id = identity_id(&request.get_ref().identity_id)?;
        let found = identity::get(&self.context, &granted, id).await.map_err(store)?;
        Ok(Response::new(convert::identity(&found.ok_or_else(|| refusal::missing("identity"))?)))
    }

    async fn lookup_identity(&self, request: Request<LookupIdentityRequest>) -> Result<Response<Identity>, Status> {
        let granted = self.access.project(&request).await?;
        let request = request.into_inner();
        let mut violations = Violations::default();
        let organization = convert::read_pool(&request.organization_id, &mut violations);
        let address = violations.check("email_address", EmailAddress::parse(&request.email_address));
        let (organization, address) = violations.all((organization, address))?;
        let pool = identity::pool_named(&self.context, &granted, organization).await.map_err(refusal::import)?;
        let found = identity::lookup(&self.context, pool, &address).await.map_err(store)?;
        Ok(Response::new(convert::identity(&found.ok_or_else(|| refusal::missing("identity"))?)))
    }

    async fn update_identity(&self, request: Request<UpdateIdentityRequest>) -> Result<Response<Identity>, Status> {
        let granted = self.access.project(&request).await?;
        let (id, etag, changes) = convert::read_identity_update(request.into_inner())?;
        let updated =
            identity::update(&self.context, &granted, id, &etag, changes).await.map_err(refusal::update_identity)?;
        Ok(Response::new(convert::identity(&updated)))
    }

    async fn list_memberships(
        &self,
        request: Request<ListMembershipsRequest>,
    ) -> Result<Response<ListMembershipsResponse>, Status> {
        let id = identity_id(&request.get_ref().identity_id)?;
        let granted = self.project_of_person(&request, id).await?;
        let request = request.into_inner();
        let mut violations = Violations::default();
        let bound = id.to_string();
        let query = Query { method: granted.method().path, scope: granted.scope.into(), filter: &bound };
        let sealer = self.context.database.sealer();
        let page = refusal::page(&query, sealer, request.page_size, &request.page_token, &mut violations)?;
        let (page,) = violations.all((page,))?;
        let listed = identity::memberships(&self.context, &granted, id, &page).await.map_err(store)?;
        let (person, listed) = listed.ok_or_else(|| refusal::missing("identity"))?;
        let member = |row| Member { email_verified: person.email_verified, ..convert::member_alone(row) };
        Ok(Response::new(ListMembershipsResponse {
            members: listed.rows.iter().map(member).collect(),
            next_page_token: listed.next.map(|cursor| query.token(sealer, &cursor)).unwrap_or_default(),
        }))
    }

    async fn import_identities(
        &self,
        request: Request<Streaming<ImportIdentitiesRequest>>,
    ) -> Result<Response<ImportIdentitiesResponse>, Status> {
        let granted = self.access.project(&request).await?;
        let mut inlet = Inlet::new(request.into_inner(), LONGEST);
        let (asked, answer) = (Instant::now(), ImportIdentitiesResponse::default());
        let mut import = Import { door: self, granted, asked, pool: None, waiting: Vec::new(), answer };
        let mut index = 0;
        while let Some(message) = inlet.next().await? {
            match convert::read_import(message) {
                Ok((organization, draft)) => import.take(index, organization, draft).await?,
                Err(status) => import.refuse(index, violations(&status)),
            }
            index += 1;
        }
        import.flush().await?;
        Ok(Response::new(import.answer))
    }
}

fn identity_id(text: &str) -> Result<IdentityId, Status> {
    text.parse().map_err(|error| access::invalid_field("identity_id", error))
}

/// What is wrong with one message, as the import's answer says it.
fn violations(status: &Status) -> Vec<String> {
    let bad = status.get_details_bad_request().map(|bad| bad.field_violations).unwrap_or_default();
    bad.into_iter().map(|field| format!("{}: {}", field.field, field.description)).collect()
}

/// A stream on its way in. What goes into one pool in a row is written in batches.
struct Import<'a> {
    door: &'a Door,
    granted: Granted<ProjectScope>,
    /// When the right to it was last asked for.
    asked: Instant,
    /// That of the messages that wait, by what they named, or why there is none.
    pool: Option<(Option<OrganizationId>, Result<Tenant, String>)>,
    waiting: Vec<(i64, IdentityDraft)>,
    answer: ImportIdentitiesResponse,
}

impl Import<'_> {
    async fn take(
        &mut self,
        index: i64,
        organization: Option<OrganizationId>,
        draft: IdentityDraft,
    ) -> Result<(), Status> {
        if self.pool.as_ref().is_none_or(|(named, _)| *named != organization) {
            self.flush().await?;
            let pool = identity::pool_named(&self.door.context, &self.granted, organization).await;
            self.pool = Some((organization, about_the_pool(pool)?));
        }
        if let Some((_, Err(fault))) = &self.pool {
            let fault = vec![fault.clone()];
            self.refuse(index, fault);
            return Ok(());
        }
        self.waiting.push((index, draft));
        if self.waiting.len() >= identity::AT_ONCE { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<(), Status> {
        let Some((_, Ok(pool))) = self.pool else { return Ok(()) };
        let (places, drafts): (Vec<_>, Vec<_>) = std::mem::take(&mut self.waiting).into_iter().unzip();
        if drafts.is_empty() {
            return Ok(());
        }
        if self.asked.elapsed() >= ASK_RIGHT {
            self.door.access.project_not_taken_back(&self.granted).await?;
            self.asked = Instant::now();
        }
        let imported = identity::import(&self.door.context, &self.granted, pool, drafts).await;
        match about_the_pool(imported)? {
            Ok(imported) => {
                self.answer.created_count += imported.created;
                self.answer.existing_count += imported.existing;
            }
            Err(fault) => places.into_iter().for_each(|index| self.refuse(index, vec![fault.clone()])),
        }
        Ok(())
    }

    fn refuse(&mut self, index: i64, violations: Vec<String>) {
        self.answer.refused_count += 1;
        if self.answer.refusals.len() < SHOWN {
            self.answer.refusals.push(ImportRefusal { index, violations });
        }
    }
}

/// Tells a pool that messages name wrongly, which refuses them alone, from what ends the whole call.
fn about_the_pool<T>(outcome: Result<T, ImportError>) -> Result<Result<T, String>, Status> {
    match outcome {
        Ok(value) => Ok(Ok(value)),
        Err(
            error @ (ImportError::PoolIsShared
            | ImportError::OrganizationRequired
            | ImportError::OrganizationUnknown
            | ImportError::NotActive(_)),
        ) => Ok(Err(format!("organization_id: {error}"))),
        Err(error) => Err(refusal::import(error)),
    }
}
