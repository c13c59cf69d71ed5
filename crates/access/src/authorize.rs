//! From a request to the scope that its caller may act in.

use std::sync::Arc;

use api::{Addressed, Audience};
use runtime::{CallContext, Channel};
use tenancy::{
    Actor, ClusterScope, Database, Head, MemberId, OrganizationId, OrganizationScope, OrganizationState, ProjectId,
    ProjectScope, SessionId,
};
use tonic::{Request, Status};

use crate::{
    caller::Caller,
    directory::Directory,
    granted::{Granted, Known},
    invalidations::Invalidations,
    layer::{AccessLayer, Authenticated},
    onward::Onward,
    permission::PermissionCheck,
    refusal::{
        invalid_field, not_active, permission_missing, project_archived, store, unauthenticated, wrong_audience,
    },
    tenant::Tenant,
    verify::{Verifier, now},
};

/// What acting as a member takes.
pub const IMPERSONATE: &str = "guildhall.member:impersonate";

/// One service's door: who calls, and the scope that they may act in.
#[derive(Clone)]
pub struct Access {
    verifier: Arc<Verifier>,
    invalidations: Arc<Invalidations>,
    database: Database,
    onward: Onward,
    /// Where unknown organizations are asked for. None in org-service, which knows them all.
    directory: Option<Directory>,
    permissions: Arc<dyn PermissionCheck>,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access").field("service", &self.onward.service()).finish_non_exhaustive()
    }
}

impl Access {
    pub fn new(
        verifier: Arc<Verifier>,
        invalidations: Arc<Invalidations>,
        database: Database,
        onward: Onward,
        directory: Option<Channel>,
        permissions: Arc<dyn PermissionCheck>,
    ) -> Self {
        let directory = directory.map(|channel| Directory::new(channel, onward.clone()));
        Self { verifier, invalidations, database, onward, directory, permissions }
    }

    pub fn layer(&self) -> AccessLayer {
        AccessLayer::new(self.verifier.clone(), self.invalidations.clone())
    }

    pub fn onward(&self) -> &Onward {
        &self.onward
    }

    /// Who called which method, as the layer left it. A method of another audience than its handler asks for is refused: a
    /// handler cannot take a wider scope than the contract says.
    fn authenticated<T>(&self, request: &Request<T>, audiences: &[Audience]) -> Result<Granted<()>, Status> {
        let Authenticated { caller, method, expires_at, bearer, narrowed } =
            request.extensions().get::<Authenticated>().cloned().ok_or_else(unauthenticated)?;
        if !audiences.contains(&method.audience) && !matches!(caller, Caller::Workload { .. }) {
            return Err(wrong_audience(method));
        }
        Ok(Granted { caller, scope: (), call: CallContext::of(request), method, expires_at, bearer, narrowed })
    }

    /// The organization that the request names, for methods of the audiences ORGANIZATION and PROJECT.
    pub async fn organization<T: Addressed>(&self, request: &Request<T>) -> Result<Granted<OrganizationScope>, Status> {
        let granted = self.authenticated(request, &[Audience::Organization, Audience::Project])?;
        let organization = named_organization(request.get_ref())?;
        let scope = self.enter(&granted, organization, request.get_ref().self_id(), false).await?;
        Ok(granted.with(scope))
    }

    /// As [`Access::organization`], for questions that may be answered by what is already known of the organization: what it is comes
    /// from there. A caller's own right, where they need one, is asked for as ever.
    pub async fn organization_known<T: Addressed>(
        &self,
        request: &Request<T>,
        known: Option<Known>,
    ) -> Result<Granted<OrganizationScope>, Status> {
        // Of a deleted one there may be more to say: whether it is there at all.
        let Some(known) = known.filter(|known| known.state != OrganizationState::Deleted) else {
            return Box::pin(self.organization(request)).await;
        };
        let granted = self.authenticated(request, &[Audience::Organization, Audience::Project])?;
        let organization = named_organization(request.get_ref())?;
        foreign(&granted, organization)?;
        // What is another project's is not known to be there by a quicker answer.
        if matches!(&granted.caller, Caller::ServiceAccount { project, .. } if *project != known.project) {
            return Box::pin(self.organization(request)).await;
        }
        let scope = self.let_in(&granted, organization, known, request.get_ref().self_id(), false).await?;
        Ok(granted.with(scope))
    }

    /// Whether the caller of a stream may still go on with it: what was decided when it began, decided again, the credential's end, and whether
    /// it was revoked.
    pub async fn still(&self, granted: &Granted<OrganizationScope>) -> Result<(), Status> {
        if now() >= granted.expires_at {
            return Err(unauthenticated());
        }
        self.not_taken_back(granted, None).await
    }

    /// The same of a long answer or request, which a credential's end in its midst does not cut off: only what is taken back does. `self_id`
    /// is whom the request named by its rule's `self_field`.
    pub async fn not_taken_back(
        &self,
        granted: &Granted<OrganizationScope>,
        self_id: Option<&str>,
    ) -> Result<(), Status> {
        self.not_revoked(granted)?;
        self.enter(&granted.clone().with(()), granted.scope.organization_id(), self_id, false).await.map(|_| ())
    }

    /// The same of a long request in the caller's own project.
    pub async fn project_not_taken_back(&self, granted: &Granted<ProjectScope>) -> Result<(), Status> {
        self.not_revoked(granted)?;
        self.enter_project(granted.scope.project_id()).await.map(|_| ())
    }

    fn not_revoked<S>(&self, granted: &Granted<S>) -> Result<(), Status> {
        granted.bearer.as_ref().map_or(Ok(()), |bearer| self.invalidations.check_bearer(bearer))
    }

    /// As [`Access::organization`], but a project's credential is let in to a deleted one too: for org-service, whose contract says
    /// that it reads and deletes an organization in any state until it is purged. Its own people are not.
    pub async fn organization_in_any_state<T: Addressed>(
        &self,
        request: &Request<T>,
    ) -> Result<Granted<OrganizationScope>, Status> {
        let granted = self.authenticated(request, &[Audience::Organization, Audience::Project])?;
        let organization = named_organization(request.get_ref())?;
        let scope = self.enter(&granted, organization, request.get_ref().self_id(), true).await?;
        Ok(granted.with(scope))
    }

    /// The organization that the request names or, where it names none, the caller's project itself.
    pub async fn tenant<T: Addressed>(&self, request: &Request<T>) -> Result<Granted<Tenant>, Status> {
        if request.get_ref().organization_id().is_some_and(|id| !id.is_empty()) {
            let granted = self.organization(request).await?;
            let scope = granted.scope;
            return Ok(granted.with(Tenant::Organization(scope)));
        }
        let granted = self.authenticated(request, &[Audience::Organization, Audience::Project])?;
        match granted.caller {
            Caller::ServiceAccount { organization: None, project, .. } => {
                let scope = self.enter_project(project).await?;
                Ok(granted.with(Tenant::Project(scope)))
            }
            _ => Err(invalid_field(
                "organization_id",
                "must name an organization: only a project's credential may leave it out",
            )),
        }
    }

    /// The caller's own project.
    pub async fn project<T>(&self, request: &Request<T>) -> Result<Granted<ProjectScope>, Status> {
        let granted = self.authenticated(request, &[Audience::Project])?;
        match granted.caller {
            Caller::ServiceAccount { organization: None, project, .. } => {
                let scope = self.enter_project(project).await?;
                Ok(granted.with(scope))
            }
            _ => Err(wrong_audience(granted.method)),
        }
    }

    /// A project's credential in the project. A project that this service has not heard of is not archived.
    async fn enter_project(&self, project: ProjectId) -> Result<ProjectScope, Status> {
        match self.database.head(project.into()).await.map_err(store)? {
            Some(head) if head.archived => Err(project_archived()),
            Some(_) | None => Ok(ProjectScope::granted(project)),
        }
    }

    /// The member who calls about themselves, in their own organization, with the session that their token is of.
    pub async fn oneself<T>(
        &self,
        request: &Request<T>,
    ) -> Result<(Granted<OrganizationScope>, MemberId, SessionId), Status> {
        let granted = self.authenticated(request, &[Audience::Self_])?;
        let Caller::Member { project, organization, member, session, .. } = granted.caller else {
            return Err(wrong_audience(granted.method));
        };
        let head = self.head(&granted.call, organization).await?.filter(|head| head.project_id == project);
        let head = head.filter(|head| head.state != OrganizationState::Deleted).ok_or_else(missing)?;
        if head.archived {
            return Err(project_archived());
        }
        if head.state != OrganizationState::Active {
            return Err(not_active(head.state));
        }
        Ok((granted.with(OrganizationScope::granted(project, organization)), member, session))
    }

    /// The operator's work on projects.
    pub fn operator<T>(&self, request: &Request<T>) -> Result<Granted<ClusterScope>, Status> {
        let granted = self.authenticated(request, &[Audience::Operator])?;
        match granted.caller {
            Caller::Operator => Ok(granted.with(ClusterScope::granted())),
            _ => Err(wrong_audience(granted.method)),
        }
    }

    /// Another service's call, about whichever tenant it names.
    pub fn workload<T>(&self, request: &Request<T>) -> Result<Granted<ClusterScope>, Status> {
        let granted = self.authenticated(request, &[Audience::Workload])?;
        match granted.caller {
            Caller::Workload { .. } => Ok(granted.with(ClusterScope::granted())),
            _ => Err(wrong_audience(granted.method)),
        }
    }

    /// A call that proves itself by what it carries. The scope serves to find the tenant that the secret names.
    pub fn anyone<T>(&self, request: &Request<T>) -> Result<Granted<ClusterScope>, Status> {
        let granted = self.authenticated(request, &[Audience::Anyone])?;
        Ok(granted.with(ClusterScope::granted()))
    }

    /// What this service holds of an organization, taking it up first if it is new here. None of one that it has purged.
    pub async fn head(&self, call: &CallContext, organization: OrganizationId) -> Result<Option<Head>, Status> {
        match (self.database.head(organization).await.map_err(store)?, &self.directory) {
            (Some(head), _) if self.database.is_purged(&head).await.map_err(store)? => Ok(None),
            (None, Some(directory)) => Box::pin(directory.admit(call, &self.database, organization)).await,
            (head, _) => Ok(head),
        }
    }

    async fn enter(
        &self,
        granted: &Granted<()>,
        organization: OrganizationId,
        self_id: Option<&str>,
        deleted_too: bool,
    ) -> Result<OrganizationScope, Status> {
        foreign(granted, organization)?;
        let head = self.head(&granted.call, organization).await?.ok_or_else(missing)?;
        let known = Known { project: head.project_id, state: head.state, archived: head.archived };
        self.let_in(granted, organization, known, self_id, deleted_too).await
    }

    async fn let_in(
        &self,
        granted: &Granted<()>,
        organization: OrganizationId,
        known: Known,
        self_id: Option<&str>,
        deleted_too: bool,
    ) -> Result<OrganizationScope, Status> {
        // A project's own head stands under the project's uuid, which spelled as an organization's id names none.
        if organization == known.project.into() {
            return Err(missing());
        }
        let scope = OrganizationScope::granted(known.project, organization);
        match &granted.caller {
            // A service answers for whom it lets in; it is told apart by its name in the method's rule.
            Caller::Workload { .. } => return Ok(scope),
            Caller::ServiceAccount { organization: None, project, .. } => {
                // Only what brings a deleted organization back, and the project's own list, still see it.
                let gone = known.state == OrganizationState::Deleted
                    && granted.method.audience != Audience::Project
                    && !deleted_too;
                if *project != known.project {
                    // Nobody's, for which it is taken, would have been asked for at org-service.
                    if let Some(directory) = &self.directory {
                        Box::pin(directory.miss(&granted.call)).await?;
                    }
                    return Err(missing());
                }
                return match () {
                    () if known.archived => Err(project_archived()),
                    () if gone => Err(missing()),
                    () => Ok(scope),
                };
            }
            Caller::Member { project, .. } | Caller::ServiceAccount { project, .. } => {
                if *project != known.project || known.state == OrganizationState::Deleted {
                    return Err(missing());
                }
            }
            Caller::Operator | Caller::Anonymous => return Err(wrong_audience(granted.method)),
        }
        if known.archived {
            return Err(project_archived());
        }
        if known.state != OrganizationState::Active {
            return Err(not_active(known.state));
        }
        if granted.method.audience != Audience::Organization {
            return Err(wrong_audience(granted.method));
        }
        let actor = granted.caller.actor();
        // Who acts as somebody is not that somebody.
        let oneself = self_id.is_some_and(|id| id == actor.to_string()) && granted.caller.impersonator().is_none();
        if !oneself && !self.holds(&granted.call, scope, &actor, granted.method.permission).await? {
            return Err(permission_missing(granted.method.permission));
        }
        // Whoever acts as a member does so for as long as they may.
        if let Caller::Member { impersonator: Some(by), .. } = &granted.caller
            && by.is_permitted_by_role()
            && !self.holds(&granted.call, scope, &by.actor(), IMPERSONATE).await?
        {
            return Err(permission_missing(IMPERSONATE));
        }
        Ok(scope)
    }

    /// Whether somebody holds one of our own permissions at an organization, now.
    pub async fn holds(
        &self,
        call: &CallContext,
        scope: OrganizationScope,
        actor: &Actor,
        permission: &'static str,
    ) -> Result<bool, Status> {
        self.permissions.holds(call, scope, actor, permission).await
    }
}

fn missing() -> Status {
    runtime::Refusal::not_found("organization").into()
}

/// A token of one organization learns of no other, not even by how long the answer takes.
fn foreign(granted: &Granted<()>, organization: OrganizationId) -> Result<(), Status> {
    match &granted.caller {
        Caller::Member { organization: own, .. } | Caller::ServiceAccount { organization: Some(own), .. }
            if *own != organization =>
        {
            Err(missing())
        }
        _ => Ok(()),
    }
}

fn named_organization<T: Addressed>(message: &T) -> Result<OrganizationId, Status> {
    message.organization_id().unwrap_or_default().parse().map_err(|error| invalid_field("organization_id", error))
}
