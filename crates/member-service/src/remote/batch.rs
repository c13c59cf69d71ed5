//! What is asked of authz-service for new members, one or a thousand.

use std::time::Duration;

use access::Service;
use api::{
    access::v1::ErrorReason,
    authz::v1::{BatchSetSubjectRolesRequest, SubjectGrant},
};
use futures::FutureExt as _;
use tenancy::{Actor, MemberId, OrganizationScope};
use tonic_types::StatusExt;

use super::{Asker, Grantor, Remote, RemoteError, held, spoken, subject};
use crate::model::{GrantRefused, Member, MemberState, RoleHeld, RoleSource};

/// How long telling may take what the feed tells again.
const COURTESY: Duration = Duration::from_secs(1);

impl RemoteError {
    /// The refusal of a grant, or the error that is none.
    pub fn grant_refused(self) -> Result<GrantRefused, Self> {
        if !self.refuses_grant() {
            return Err(self);
        }
        let metadata = self.0.get_details_error_info().map(|info| info.metadata.into_iter().collect());
        Ok(GrantRefused {
            exceeds_grantor: self.has(ErrorReason::GrantExceedsGrantor),
            message: self.0.message().to_owned(),
            metadata: metadata.unwrap_or_default(),
        })
    }
}

impl Remote {
    /// Binds roles to members, who need not be there yet: all of it or nothing. What each of them then holds, in their order.
    pub async fn grant_all(
        &self,
        asker: Asker<'_>,
        scope: OrganizationScope,
        grants: impl IntoIterator<Item = (MemberId, Vec<String>)>,
        grantor: &Grantor,
        source: RoleSource,
    ) -> Result<Vec<Vec<RoleHeld>>, RemoteError> {
        let grants: Vec<SubjectGrant> = grants
            .into_iter()
            .map(|(member, roles)| SubjectGrant { subject: Some(subject(&Actor::Member(member))), roles })
            .collect();
        let count = grants.len();
        let message = BatchSetSubjectRolesRequest {
            organization_id: scope.organization_id().to_string(),
            project_id: scope.project_id().to_string(),
            grants,
            source: spoken(source).into(),
            grantor: Some(feed::actor_to_proto(&grantor.actor)),
            grantor_is_project: grantor.is_project,
        };
        let request = self.to(asker, Service::Authz, message)?;
        let answer = self.subjects.clone().batch_set_subject_roles(request).boxed().await?.into_inner();
        if answer.subject_roles.len() != count {
            return Err(RemoteError::inconsistent("authz-service answered for others than were asked about"));
        }
        Ok(answer.subject_roles.into_iter().map(|of| of.roles.into_iter().map(held).collect()).collect())
    }

    /// Tells that a member has come to be, so that an owner counts as one. A call that fails is made up for by this service's feed.
    pub async fn confirm(&self, asker: Asker<'_>, scope: OrganizationScope, member: &Member) {
        let call = asker.call.clone().within(COURTESY);
        let (id, revision) = (member.member_id, member.revision);
        let asker = Asker { call: &call, ..asker };
        if let Err(error) = self.set_state(asker, scope, id, MemberState::Active, revision, false).await {
            tracing::info!(error = %runtime::Chain(&error), member = %id, "authz-service was not told of a new member; the feed tells it");
        }
    }
}
