//! `guildhall.member.v1.InvitationService`.

use access::store;
use api::member::v1::{
    AcceptInvitationRequest, AcceptInvitationResponse, BatchCreateInvitationsRequest, BatchCreateInvitationsResponse,
    CreateInvitationRequest, GetInvitationRequest, Invitation, ListInvitationsRequest, ListInvitationsResponse,
    ResendInvitationRequest, RevokeInvitationRequest, invitation_service_server::InvitationService,
};
use runtime::Violations;
use tenancy::{
    InvitationId, OrganizationId,
    page::Query,
    secret::{self, SecretKind},
};
use tonic::{Request, Response, Status};

use super::{Door, convert, refusal};
use crate::{
    model::Name,
    ops::invitation::{self, Acceptance},
};

fn invitation_id(text: &str) -> Result<InvitationId, Status> {
    text.parse().map_err(|error| access::invalid_field("invitation_id", error))
}

#[tonic::async_trait]
impl InvitationService for Door {
    async fn create_invitation(
        &self,
        request: Request<CreateInvitationRequest>,
    ) -> Result<Response<Invitation>, Status> {
        let granted = self.access.organization(&request).await?;
        let request = request.into_inner();
        let once = granted.once(&request.request_id, &request)?;
        let draft = convert::read_invitation(request, granted.caller.is_project())?;
        let issued = invitation::create(&self.context, &granted, once.as_ref(), vec![draft]).await;
        let issued = issued.map_err(|error| refusal::invite(error, |_| None))?.into_iter().next();
        Ok(Response::new(issued.map(convert::issued_invitation).unwrap_or_default()))
    }

    async fn batch_create_invitations(
        &self,
        request: Request<BatchCreateInvitationsRequest>,
    ) -> Result<Response<BatchCreateInvitationsResponse>, Status> {
        let granted = self.access.organization(&request).await?;
        let request = request.into_inner();
        let once = granted.once(&request.request_id, &request)?;
        let drafts = convert::read_invitations(request, granted.caller.is_project())?;
        let field = |at| Some(format!("invitations[{at}].invitation.email_address"));
        let issued = invitation::create(&self.context, &granted, once.as_ref(), drafts).await;
        let issued = issued.map_err(|error| refusal::invite(error, field))?;
        let invitations = issued.into_iter().map(convert::issued_invitation).collect();
        Ok(Response::new(BatchCreateInvitationsResponse { invitations }))
    }

    async fn resend_invitation(
        &self,
        request: Request<ResendInvitationRequest>,
    ) -> Result<Response<Invitation>, Status> {
        let granted = self.access.organization(&request).await?;
        let request = request.into_inner();
        let once = granted.once(&request.request_id, &request)?;
        if request.return_token && !granted.caller.is_project() {
            return Err(refusal::for_projects_only("return_token"));
        }
        let id = invitation_id(&request.invitation_id)?;
        let issued = invitation::resend(&self.context, &granted, once.as_ref(), id, request.return_token)
            .await
            .map_err(refusal::resend_invitation)?;
        Ok(Response::new(convert::issued_invitation(issued)))
    }

    async fn get_invitation(&self, request: Request<GetInvitationRequest>) -> Result<Response<Invitation>, Status> {
        let granted = self.access.organization(&request).await?;
        let id = invitation_id(&request.get_ref().invitation_id)?;
        let found = invitation::get(&self.context, &granted, id).await.map_err(store)?;
        Ok(Response::new(convert::invitation(&found.ok_or_else(|| refusal::missing("invitation"))?)))
    }

    async fn list_invitations(
        &self,
        request: Request<ListInvitationsRequest>,
    ) -> Result<Response<ListInvitationsResponse>, Status> {
        let granted = self.access.organization(&request).await?;
        let request = request.into_inner();
        let mut violations = Violations::default();
        let state = violations.check("state", convert::read_invitation_state(request.state));
        let bound = format!("{state:?}");
        let query = Query { method: granted.method().path, scope: granted.scope.into(), filter: &bound };
        let sealer = self.context.database.sealer();
        let page = refusal::page(&query, sealer, request.page_size, &request.page_token, &mut violations)?;
        let (state, page) = violations.all((state, page))?;
        let listed = invitation::list(&self.context, &granted, state, &page).await.map_err(store)?;
        Ok(Response::new(ListInvitationsResponse {
            invitations: listed.rows.iter().map(convert::invitation).collect(),
            next_page_token: listed.next.map(|cursor| query.token(sealer, &cursor)).unwrap_or_default(),
        }))
    }

    async fn revoke_invitation(
        &self,
        request: Request<RevokeInvitationRequest>,
    ) -> Result<Response<Invitation>, Status> {
        let granted = self.access.organization(&request).await?;
        let request = request.into_inner();
        let once = granted.once(&request.request_id, &request)?;
        let id = invitation_id(&request.invitation_id)?;
        let revoked = invitation::revoke(&self.context, &granted, once.as_ref(), id, &request.etag)
            .await
            .map_err(refusal::revoke_invitation)?;
        Ok(Response::new(convert::invitation(&revoked)))
    }

    async fn accept_invitation(
        &self,
        request: Request<AcceptInvitationRequest>,
    ) -> Result<Response<AcceptInvitationResponse>, Status> {
        let granted = self.access.anyone(&request)?;
        let request = request.into_inner();
        let once = granted.once(&request.request_id, &request)?;
        let mut violations = Violations::default();
        let display_name = violations.check("display_name", Name::parse(&request.display_name));
        violations.require(!request.token.is_empty(), "token", "is required");
        let (display_name,) = violations.all((display_name,))?;
        let unknown = |_| refusal::invitation_unknown();
        let secret = secret::parse(SecretKind::Invitation, &request.token).map_err(unknown)?;
        let organization = OrganizationId::from_uuid(secret.tenant);
        let head = self.access.head(&granted.call, organization).await?.ok_or_else(refusal::invitation_unknown)?;
        // The request_ids of those who accept are of their invitation: nobody in particular is many people.
        let once = once.map(|once| tenancy::Once { caller: InvitationId::from_uuid(secret.id).to_string(), ..once });
        let acceptance = Acceptance { secret, display_name };
        let made = invitation::accept(&self.context, &granted, &head, once.as_ref(), acceptance)
            .await
            .map_err(refusal::accept)?;
        Ok(Response::new(AcceptInvitationResponse {
            member: Some(convert::member(&made)),
            organization_id: organization.to_string(),
        }))
    }
}
