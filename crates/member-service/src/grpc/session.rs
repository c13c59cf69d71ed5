//! `guildhall.member.v1.SessionService`.

use access::{Granted, store};
use api::member::v1::{
    CreateSessionRequest, EndSessionRequest, ExchangeSessionRequest, ImpersonateMemberRequest, ListEntrancesRequest,
    ListEntrancesResponse, ListSessionsRequest, ListSessionsResponse, ReadRefreshTokenRequest,
    ReadRefreshTokenResponse, RefreshSessionRequest, RevokeMemberSessionsRequest, RevokeMemberSessionsResponse,
    RevokeSessionRequest, SessionGrant, end_session_request, session_service_server::SessionService,
};
use runtime::Violations;
use tenancy::{
    ClusterScope, Head, MemberId, OrganizationId, OrganizationScope, ProjectId, SessionId,
    page::Query,
    secret::{self, Presented, SecretKind},
};
use tonic::{Request, Response, Status};

use super::{Door, convert, convert::Exchanged, refusal};
use crate::model::Entered;
use crate::ops::{
    entry::{self, SwitchError},
    session,
};

fn session_id(text: &str) -> Result<SessionId, Status> {
    text.parse().map_err(|error| access::invalid_field("session_id", error))
}

impl Door {
    /// The organization that a service names. None where there is none.
    async fn named(
        &self,
        granted: &Granted<ClusterScope>,
        organization: &str,
    ) -> Result<Option<Granted<OrganizationScope>>, Status> {
        let id: OrganizationId =
            organization.parse().map_err(|error| access::invalid_field("organization_id", error))?;
        let head = self.access.head(&granted.call, id).await?;
        Ok(head.map(|head| granted.in_organization(head.project_id, id)))
    }

    /// What a refresh token says, and the organization that it names. None where it is no token of ours.
    async fn presented(
        &self,
        granted: &Granted<ClusterScope>,
        token: &str,
    ) -> Result<Option<(Presented, Head)>, Status> {
        let Ok(presented) = secret::parse(SecretKind::RefreshToken, token) else { return Ok(None) };
        let head = self.access.head(&granted.call, OrganizationId::from_uuid(presented.tenant)).await?;
        Ok(head.map(|head| (presented, head)))
    }
}

#[tonic::async_trait]
impl SessionService for Door {
    async fn list_sessions(
        &self,
        request: Request<ListSessionsRequest>,
    ) -> Result<Response<ListSessionsResponse>, Status> {
        let granted = self.access.organization(&request).await?;
        let request = request.into_inner();
        let mut violations = Violations::default();
        let member = match request.member_id.as_str() {
            "" => Some(None),
            text => violations.check("member_id", text.parse::<MemberId>()).map(Some),
        };
        let bound = format!("{member:?}");
        let query = Query { method: granted.method().path, scope: granted.scope.into(), filter: &bound };
        let sealer = self.context.database.sealer();
        let page = refusal::page(&query, sealer, request.page_size, &request.page_token, &mut violations)?;
        let (member, page) = violations.all((member, page))?;
        let listed = session::list(&self.context, &granted, member, &page).await.map_err(refusal::end_session)?;
        Ok(Response::new(ListSessionsResponse {
            sessions: listed.rows.iter().map(convert::session).collect(),
            next_page_token: listed.next.map(|cursor| query.token(sealer, &cursor)).unwrap_or_default(),
        }))
    }

    async fn revoke_session(&self, request: Request<RevokeSessionRequest>) -> Result<Response<()>, Status> {
        let granted = self.access.organization(&request).await?;
        let request = request.into_inner();
        let once = granted.once(&request.request_id, &request)?;
        let id = session_id(&request.session_id)?;
        session::revoke(&self.context, &granted, once.as_ref(), id).await.map_err(store)?;
        Ok(Response::new(()))
    }

    async fn revoke_member_sessions(
        &self,
        request: Request<RevokeMemberSessionsRequest>,
    ) -> Result<Response<RevokeMemberSessionsResponse>, Status> {
        let granted = self.access.organization(&request).await?;
        let request = request.into_inner();
        let once = granted.once(&request.request_id, &request)?;
        let member: MemberId = request.member_id.parse().map_err(|error| access::invalid_field("member_id", error))?;
        let revoked = session::revoke_of_member(&self.context, &granted, once.as_ref(), member)
            .await
            .map_err(refusal::end_session)?;
        let revoked_count = i32::try_from(revoked).unwrap_or(i32::MAX);
        Ok(Response::new(RevokeMemberSessionsResponse { revoked_count }))
    }

    async fn create_session(&self, request: Request<CreateSessionRequest>) -> Result<Response<SessionGrant>, Status> {
        let granted = self.access.workload(&request)?;
        let request = request.into_inner();
        let beginning = convert::read_beginning(&request)?;
        let granted = self.named(&granted, &request.organization_id).await?.ok_or_else(refusal::sign_in_failed)?;
        let entered = session::begin(&self.context, &granted, beginning).await.map_err(refusal::begin_session)?;
        Ok(Response::new(convert::entered(&entered)))
    }

    async fn refresh_session(&self, request: Request<RefreshSessionRequest>) -> Result<Response<SessionGrant>, Status> {
        let granted = self.access.workload(&request)?;
        let token = &request.get_ref().refresh_token;
        let (presented, head) = self.presented(&granted, token).await?.ok_or_else(refusal::refresh_refused)?;
        let grant = session::refresh(&self.context, &granted, head, &presented, token).await;
        Ok(Response::new(convert::grant(&grant.map_err(refusal::refresh)?)))
    }

    async fn end_session(&self, request: Request<EndSessionRequest>) -> Result<Response<()>, Status> {
        let granted = self.access.workload(&request)?;
        let request = request.into_inner();
        match request.session {
            None => return Err(access::invalid_field("session", "must name the session_id or the refresh_token")),
            Some(end_session_request::Session::SessionId(id)) => {
                let id = session_id(&id)?;
                if let Some(granted) = self.named(&granted, &request.organization_id).await? {
                    session::end_own(&self.context, &granted, id).await.map_err(store)?;
                }
            }
            Some(end_session_request::Session::RefreshToken(token)) => {
                let presented = self.presented(&granted, &token).await?;
                let project = &request.project_id;
                let within = |head: &Head| project.is_empty() || head.project_id.to_string() == *project;
                if let Some((presented, head)) = presented.filter(|(_, head)| within(head)) {
                    session::end_by_token(&self.context, &granted, head, &presented).await.map_err(store)?;
                }
            }
        }
        Ok(Response::new(()))
    }

    async fn exchange_session(
        &self,
        request: Request<ExchangeSessionRequest>,
    ) -> Result<Response<SessionGrant>, Status> {
        let granted = self.access.workload(&request)?;
        let request = request.into_inner();
        let (project, exchange) = convert::read_exchange(&request)?;
        let target = self.access.head(&granted.call, exchange.organization).await?;
        let target = target.filter(|head| head.project_id == project);
        let entered = match exchange.from {
            Exchanged::Intermediate(secret) => {
                let opened = entry::open(&self.context, &granted, project, &secret).await.map_err(refusal::look)?;
                let opened = opened.ok_or_else(refusal::sign_in_failed)?;
                entry::exchange(&self.context, &granted, opened, target, exchange.arrival)
                    .await
                    .map_err(refusal::enter)?
            }
            Exchanged::Session(organization, session) => {
                let target = target.ok_or_else(refusal::sign_in_failed)?;
                let source = self.access.head(&granted.call, organization).await?;
                let source = source.filter(|head| head.project_id == project);
                let source = source.ok_or_else(|| refusal::switch(SwitchError::Ended))?;
                let (arrival, end_time) = (exchange.arrival, exchange.end_time);
                let switched =
                    entry::switch(&self.context, &granted, &source, session, &target, arrival, end_time).await;
                let mut entered = switched.map_err(refusal::switch)?;
                if let (Entered::Session(grant), Some(_)) = (&mut entered, end_time) {
                    grant.refresh_token = String::new().into();
                }
                entered
            }
        };
        Ok(Response::new(convert::entered(&entered)))
    }

    async fn impersonate_member(
        &self,
        request: Request<ImpersonateMemberRequest>,
    ) -> Result<Response<SessionGrant>, Status> {
        let granted = self.access.workload(&request)?;
        let (project, organization, asked) = convert::read_impersonation(request.get_ref())?;
        let head = self.access.head(&granted.call, organization).await?;
        let head = head.filter(|head| head.project_id == project && organization != project.into());
        let head = head.ok_or_else(|| refusal::missing("organization"))?;
        let granted = granted.in_organization(head.project_id, organization);
        let grant = session::impersonate(&self.context, &granted, asked).await.map_err(refusal::impersonate)?;
        Ok(Response::new(convert::grant(&grant)))
    }

    async fn read_refresh_token(
        &self,
        request: Request<ReadRefreshTokenRequest>,
    ) -> Result<Response<ReadRefreshTokenResponse>, Status> {
        let granted = self.access.workload(&request)?;
        let presented = self.presented(&granted, &request.get_ref().refresh_token).await?;
        let (presented, head) = presented.ok_or_else(refusal::refresh_refused)?;
        let project_id = head.project_id.to_string();
        let found = session::read(&self.context, &granted, head, &presented).await.map_err(refusal::refresh)?;
        let session = found.ok_or_else(refusal::refresh_refused)?;
        Ok(Response::new(ReadRefreshTokenResponse {
            session: Some(convert::session(&session)),
            project_id,
            organization_slug: session.organization_slug,
        }))
    }

    async fn list_entrances(
        &self,
        request: Request<ListEntrancesRequest>,
    ) -> Result<Response<ListEntrancesResponse>, Status> {
        let granted = self.access.workload(&request)?;
        let request = request.into_inner();
        let mut violations = Violations::default();
        let project = violations.check("project_id", request.project_id.parse::<ProjectId>());
        let (project,) = violations.all((project,))?;
        let secret = secret::parse(SecretKind::IntermediateSession, &request.intermediate_session_token)
            .map_err(|_| refusal::sign_in_failed())?;
        let opened = entry::open(&self.context, &granted, project, &secret).await.map_err(refusal::look)?;
        let opened = opened.ok_or_else(refusal::sign_in_failed)?;
        let (scope, bound) = (granted.in_project(project).scope, opened.session.id.to_string());
        let query = Query { method: granted.method().path, scope: scope.into(), filter: &bound };
        let sealer = self.context.database.sealer();
        let mut violations = Violations::default();
        let page = refusal::page(&query, sealer, request.page_size, &request.page_token, &mut violations)?;
        let (page,) = violations.all((page,))?;
        let listed = entry::list(&self.context, &granted, &opened, &page).await.map_err(refusal::look)?;
        Ok(Response::new(ListEntrancesResponse {
            entrances: listed.rows.iter().map(convert::entrance).collect(),
            next_page_token: listed.next.map(|cursor| query.token(sealer, &cursor)).unwrap_or_default(),
        }))
    }
}
