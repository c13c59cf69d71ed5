use access::{Granted, store};
use api::authz::v1::{
    BatchGetSubjectRolesRequest, BatchGetSubjectRolesResponse, BatchSetSubjectRolesRequest,
    BatchSetSubjectRolesResponse, CheckGrantRequest, CheckGrantResponse, GetUsageRequest, GetUsageResponse,
    RemoveSubjectRequest, RemoveSubjectResponse, RolesOfSubject, SetOrganizationStateRequest,
    SetOrganizationStateResponse, SetSubjectRolesRequest, SetSubjectRolesResponse, SetSubjectStateRequest,
    SetSubjectStateResponse, SubjectStatus, subject_service_server::SubjectService,
};
use runtime::{Refusal, Violations, kill_point};
use tenancy::{ClusterScope, OrganizationId, OrganizationScope, OrganizationState, ProjectId};
use tonic::{Request, Response, Status};

use super::{
    Server, convert,
    convert::{subject, text, tokens::Tokens},
    refusal::refused,
};
use crate::{
    model::{Grantor, Subject},
    ops::{
        self, Call,
        subject::{News, OrganizationNews},
        subject_roles::{Grant, Held},
        subject_roles_batch::Grants,
    },
};

const MAX_SUBJECTS: usize = 500;

/// The organization and project that every method names.
fn tenant(
    violations: &mut Violations,
    organization: &str,
    project: &str,
) -> (Option<OrganizationId>, Option<ProjectId>) {
    (
        violations.check("organization_id", organization.parse::<OrganizationId>()),
        violations.check("project_id", project.parse::<ProjectId>()),
    )
}

fn call<S>(granted: &Granted<S>, grantor: Grantor) -> Call {
    Call { origin: granted.origin(), once: None, grantor }
}

fn of_subjects(subjects: Vec<Subject>, held: Vec<Vec<Held>>) -> Vec<RolesOfSubject> {
    let of = |(about, held): (_, Vec<Held>)| RolesOfSubject {
        subject: Some(subject::to_proto(about)),
        roles: held.into_iter().map(subject::held).collect(),
    };
    subjects.into_iter().zip(held).map(of).collect()
}

impl Server {
    /// The organization, taken up if it is new here, and only in the project that it is in.
    async fn enter(
        &self,
        granted: &Granted<ClusterScope>,
        project: Option<ProjectId>,
        organization: OrganizationId,
    ) -> Result<OrganizationScope, Status> {
        let head = self.access.head(&granted.call, organization).await?;
        let head = head.filter(|head| project.is_none_or(|project| head.project_id == project));
        let head = head.ok_or_else(|| Status::from(Refusal::not_found("organization")))?;
        Ok(granted.in_organization(head.project_id, organization).scope)
    }
}

#[tonic::async_trait]
impl SubjectService for Server {
    async fn set_subject_state(
        &self,
        request: Request<SetSubjectStateRequest>,
    ) -> Result<Response<SetSubjectStateResponse>, Status> {
        let granted = self.access.workload(&request)?;
        let asked = request.into_inner();
        let mut violations = Violations::default();
        let (organization, project) = tenant(&mut violations, &asked.organization_id, &asked.project_id);
        let about = violations.check("subject", subject::one(asked.subject.as_ref()));
        let status = asked.status();
        let stated = matches!(status, SubjectStatus::Active | SubjectStatus::Suspended);
        violations.require(stated, "status", "must be SUBJECT_STATUS_ACTIVE or SUBJECT_STATUS_SUSPENDED");
        violations.require(asked.member_revision > 0, "member_revision", "must be more than 0");
        let (organization, project, about) = violations.all((organization, project, about))?;
        let scope = self.enter(&granted, Some(project), organization).await?;
        let news = News {
            subject: about,
            member_revision: asked.member_revision,
            protect_last_owner: asked.protect_last_owner,
        };
        let suspended = status == SubjectStatus::Suspended;
        let call = call(&granted, Grantor::Free);
        let state = ops::subject::set_state(&self.snapshots, scope, &call, news, suspended).await.map_err(refused)?;
        kill_point("note-subject/committed");
        let tokens = Tokens::at(self.sealer(), state.revision);
        Ok(Response::new(SetSubjectStateResponse {
            revision: state.revision.token(self.sealer()),
            subject_state: Some(subject::standing(state.value, &tokens)),
        }))
    }

    async fn remove_subject(
        &self,
        request: Request<RemoveSubjectRequest>,
    ) -> Result<Response<RemoveSubjectResponse>, Status> {
        let granted = self.access.workload(&request)?;
        let asked = request.into_inner();
        let mut violations = Violations::default();
        let (organization, project) = tenant(&mut violations, &asked.organization_id, &asked.project_id);
        let about = violations.check("subject", subject::one(asked.subject.as_ref()));
        violations.require(asked.member_revision > 0, "member_revision", "must be more than 0");
        let (organization, project, about) = violations.all((organization, project, about))?;
        let scope = self.enter(&granted, Some(project), organization).await?;
        let news = News {
            subject: about,
            member_revision: asked.member_revision,
            protect_last_owner: asked.protect_last_owner,
        };
        let call = call(&granted, Grantor::Free);
        let gone = ops::subject::remove(&self.snapshots, scope, &call, news).await.map_err(refused)?;
        kill_point("drop-subject/committed");
        Ok(Response::new(RemoveSubjectResponse { revision: gone.revision.token(self.sealer()) }))
    }

    async fn set_organization_state(
        &self,
        request: Request<SetOrganizationStateRequest>,
    ) -> Result<Response<SetOrganizationStateResponse>, Status> {
        let granted = self.access.workload(&request)?;
        let asked = request.into_inner();
        let mut violations = Violations::default();
        let (organization, project) = tenant(&mut violations, &asked.organization_id, &asked.project_id);
        let state = violations.check("state", subject::organization_state(asked.state()).ok_or("is required"));
        violations.require(asked.org_revision > 0, "org_revision", "must be more than 0");
        let (organization, project, state) = violations.all((organization, project, state))?;
        let tenant = granted.in_tenant(project, organization).scope;
        let news = OrganizationNews { state, org_revision: asked.org_revision };
        let call = call(&granted, Grantor::Free);
        let noted =
            ops::subject::set_organization_state(self.database(), tenant, &call, news).await.map_err(refused)?;
        kill_point("note-organization/committed");
        let (state, org_revision) = noted.value;
        Ok(Response::new(SetOrganizationStateResponse {
            state: subject::organization_state_to_proto(state).into(),
            org_revision,
            revision: noted.revision.token(self.sealer()),
        }))
    }

    async fn set_subject_roles(
        &self,
        request: Request<SetSubjectRolesRequest>,
    ) -> Result<Response<SetSubjectRolesResponse>, Status> {
        let granted = self.access.workload(&request)?;
        let asked = request.into_inner();
        let mut violations = Violations::default();
        let (organization, project) = tenant(&mut violations, &asked.organization_id, &asked.project_id);
        let about = violations.check("subject", subject::one(asked.subject.as_ref()));
        let roles = convert::role::names(&mut violations, "roles", &asked.roles);
        let source =
            violations.check("source", subject::source_from_proto(asked.source()).ok_or("is required, and not GROUP"));
        let grantor = violations.check("grantor", subject::grantor(asked.grantor.as_ref(), asked.grantor_is_project));
        let (organization, project, about, source, grantor) =
            violations.all((organization, project, about, source, grantor))?;
        let scope = self.enter(&granted, Some(project), organization).await?;
        let grant = Grant { subject: about, roles, source, replace: asked.replace };
        let call = call(&granted, grantor);
        let set = ops::subject_roles::set(&self.snapshots, scope, &call, grant).await.map_err(refused)?;
        kill_point("give-roles/committed");
        let read = ops::subject_roles::of(&self.snapshots, scope, &[about]).await.map_err(store)?;
        Ok(Response::new(SetSubjectRolesResponse {
            roles: read.held.into_iter().flatten().map(subject::held).collect(),
            epoch: read.epoch,
            revision: set.revision.token(self.sealer()),
        }))
    }

    async fn batch_set_subject_roles(
        &self,
        request: Request<BatchSetSubjectRolesRequest>,
    ) -> Result<Response<BatchSetSubjectRolesResponse>, Status> {
        let granted = self.access.workload(&request)?;
        let asked = request.into_inner();
        let mut violations = Violations::default();
        let (organization, project) = tenant(&mut violations, &asked.organization_id, &asked.project_id);
        let grants = convert::subject::grants(&mut violations, &asked.grants);
        let source =
            violations.check("source", subject::source_from_proto(asked.source()).ok_or("is required, and not GROUP"));
        let grantor = violations.check("grantor", subject::grantor(asked.grantor.as_ref(), asked.grantor_is_project));
        let (organization, project, source, grantor) = violations.all((organization, project, source, grantor))?;
        let scope = self.enter(&granted, Some(project), organization).await?;
        let subjects: Vec<_> = grants.iter().map(|(subject, _)| *subject).collect();
        let call = call(&granted, grantor);
        let set = ops::subject_roles_batch::give(&self.snapshots, scope, &call, Grants { grants, source }).await;
        let set = set.map_err(refused)?;
        kill_point("give-roles-to-many/committed");
        let read = ops::subject_roles::of(&self.snapshots, scope, &subjects).await.map_err(store)?;
        Ok(Response::new(BatchSetSubjectRolesResponse {
            subject_roles: of_subjects(subjects, read.held),
            revision: set.revision.token(self.sealer()),
        }))
    }

    async fn check_grant(&self, request: Request<CheckGrantRequest>) -> Result<Response<CheckGrantResponse>, Status> {
        let granted = self.access.workload(&request)?;
        let asked = request.into_inner();
        let mut violations = Violations::default();
        let (organization, project) = tenant(&mut violations, &asked.organization_id, &asked.project_id);
        let roles = convert::role::names(&mut violations, "roles", &asked.roles);
        let grantor = violations.check("grantor", subject::grantor(asked.grantor.as_ref(), asked.grantor_is_project));
        let acting_as =
            asked.acting_as.as_ref().and_then(|named| violations.check("acting_as", subject::one(Some(named))));
        let (organization, project, grantor) = violations.all((organization, project, grantor))?;
        let scope = self.enter(&granted, Some(project), organization).await?;
        let roles = ops::subject_roles::check_grant(&self.snapshots, scope, grantor, &roles, acting_as)
            .await
            .map_err(refused)?;
        Ok(Response::new(CheckGrantResponse { role_ids: roles.iter().map(ToString::to_string).collect() }))
    }

    async fn get_usage(&self, request: Request<GetUsageRequest>) -> Result<Response<GetUsageResponse>, Status> {
        let granted = self.access.workload(&request)?;
        let mut violations = Violations::default();
        let organization = &request.get_ref().organization_id;
        let organization = violations.check("organization_id", organization.parse::<OrganizationId>());
        let (organization,) = violations.all((organization,))?;
        // Not taken up where it is new: the question changes nothing.
        let head = self.database().head(organization).await.map_err(store)?;
        let custom_roles = match head.filter(|head| organization != head.project_id.into()) {
            Some(head) => {
                let scope = granted.in_organization(head.project_id, organization).scope;
                ops::role::count(self.database(), scope).await.map_err(store)?
            }
            None => 0,
        };
        Ok(Response::new(GetUsageResponse { custom_roles: i32::try_from(custom_roles).unwrap_or(i32::MAX) }))
    }

    async fn batch_get_subject_roles(
        &self,
        request: Request<BatchGetSubjectRolesRequest>,
    ) -> Result<Response<BatchGetSubjectRolesResponse>, Status> {
        let granted = self.access.workload(&request)?;
        let asked = request.into_inner();
        let mut violations = Violations::default();
        let organization = violations.check("organization_id", asked.organization_id.parse::<OrganizationId>());
        text::count(&mut violations, "subjects", asked.subjects.len(), 1, MAX_SUBJECTS);
        let mut subjects = Vec::new();
        for (at, named) in asked.subjects.iter().take(MAX_SUBJECTS).enumerate() {
            subjects.extend(violations.check(format!("subjects[{at}]"), subject::one(Some(named))));
        }
        let (organization,) = violations.all((organization,))?;
        let scope = match self.snapshots.at_hand(&asked.organization_id).await {
            // Of which project it is never changes. What its subjects hold is read as of now in any case.
            Some((_, Some(known))) if known.state != OrganizationState::Deleted => {
                granted.in_organization(known.project, organization).scope
            }
            _ => self.enter(&granted, None, organization).await?,
        };
        let read = ops::subject_roles::of(&self.snapshots, scope, &subjects).await.map_err(store)?;
        let subject_roles = of_subjects(subjects, read.held);
        Ok(Response::new(BatchGetSubjectRolesResponse { subject_roles, epoch: read.epoch }))
    }
}
