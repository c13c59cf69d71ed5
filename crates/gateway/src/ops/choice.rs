//! From knowing who somebody is to a session in one organization: listing those that they may enter, entering one, making one, and going from
//! one to another.

use std::collections::HashMap;

use access::Caller;
use api::{
    member::v1::{Entrance as Listed, ExchangeSessionRequest, ListEntrancesRequest, SignUpRequest},
    org::v1::{OrganizationEntry, OrganizationState},
};
use tenancy::ProjectId;
use tonic::Status;

use super::{
    sessions::Visitor,
    sign_in::{Entrance, Progress, SignIn},
};
use crate::{refusal, remote::MYSELF};

/// An organization that may be entered, as member-service and org-service say.
#[derive(Debug)]
pub struct Choice {
    pub entrance: Listed,
    pub organization: OrganizationEntry,
}

/// One page of them.
#[derive(Debug)]
pub struct Choices {
    pub choices: Vec<Choice>,
    pub next_page_token: String,
}

impl SignIn {
    pub async fn choices(
        &self,
        visitor: &Visitor,
        project: Option<ProjectId>,
        request: ListEntrancesRequest,
    ) -> Result<Choices, Status> {
        let call = &visitor.call;
        let project = self.place(visitor, project).await?.project;
        self.check_project(call, project).await?;
        let request = ListEntrancesRequest { project_id: project.to_string(), ..request };
        let listed = self.remote.list_entrances(call, request).await?;
        let ids = listed.entrances.iter().map(|entrance| entrance.organization_id.clone()).collect();
        let found = self.remote.organizations(call, project, ids).await?;
        let active = |entry: &OrganizationEntry| entry.state() == OrganizationState::Active;
        let mut found: HashMap<String, OrganizationEntry> =
            found.into_iter().filter(active).map(|entry| (entry.organization_id.clone(), entry)).collect();
        let choices = listed.entrances.into_iter().filter_map(|entrance| {
            let organization = found.remove(&entrance.organization_id)?;
            Some(Choice { entrance, organization })
        });
        Ok(Choices { choices: choices.collect(), next_page_token: listed.next_page_token })
    }

    pub async fn select(
        &self,
        visitor: &Visitor,
        project: Option<ProjectId>,
        entrance: Entrance,
        intermediate_session_token: String,
    ) -> Result<Progress, Status> {
        let project = self.place(visitor, project).await?.project;
        let target = self.organization(&visitor.call, project, entrance).await?;
        // Also where there is none to enter: a try is a try, and takes as long.
        let request = ExchangeSessionRequest {
            organization_id: target.id.to_string(),
            project_id: project.to_string(),
            intermediate_session_token,
            ..ExchangeSessionRequest::default()
        };
        self.sessions.exchange(visitor, &MYSELF, request).await
    }

    /// From the organization of a member's session to another.
    pub async fn switch(&self, visitor: &Visitor, caller: &Caller, entrance: Entrance) -> Result<Progress, Status> {
        let Caller::Member { project, organization, session, .. } = caller else {
            return Err(refusal::for_members());
        };
        let target = self.organization(&visitor.call, *project, entrance).await?;
        if !target.enterable {
            return Err(refusal::no_such_organization());
        }
        let request = ExchangeSessionRequest {
            organization_id: target.id.to_string(),
            project_id: project.to_string(),
            source_organization_id: organization.to_string(),
            source_session_id: session.to_string(),
            ..ExchangeSessionRequest::default()
        };
        let switched = self.sessions.exchange(visitor, caller, request).await;
        switched.map_err(|status| match refusal::reason(&status) {
            // They are signed in: nothing is to be hidden but what every other organization is to them.
            Some(api::access::v1::ErrorReason::SignInFailed) => refusal::no_such_organization(),
            _ => status,
        })
    }

    pub async fn sign_up(
        &self,
        visitor: &Visitor,
        project: Option<ProjectId>,
        request: SignUpRequest,
    ) -> Result<Progress, Status> {
        let project = self.place(visitor, project).await?.project;
        self.check_project(&visitor.call, project).await?;
        let request = SignUpRequest {
            project_id: project.to_string(),
            user_agent: visitor.user_agent.clone(),
            ip_address: visitor.address.to_string(),
            ..request
        };
        let grant = self.remote.sign_up(&visitor.call, request).await.map_err(refusal::of_sign_up)?;
        self.sessions.progress(&visitor.call, grant).await
    }
}
