//! `guildhall.member.v1.MemberService`.

use api::member::v1::{
    BatchCreateMembersRequest, BatchCreateMembersResponse, CreateMemberRequest, GetMemberRequest, ListMembersRequest,
    ListMembersResponse, LookupMemberRequest, Member, ReactivateMemberRequest, RemoveMemberRequest,
    SuspendMemberRequest, UpdateMemberRequest, member_service_server::MemberService,
};
use runtime::Violations;
use tenancy::{MemberId, RoleId, page::Query};
use tonic::{Request, Response, Status};

use super::{Door, convert, refusal};
use crate::{
    model::EmailAddress,
    ops::member::{self, Filter, Key, RoleFilter},
};

fn member_id(text: &str) -> Result<MemberId, Status> {
    text.parse().map_err(|error| access::invalid_field("member_id", error))
}

#[tonic::async_trait]
impl MemberService for Door {
    async fn create_member(&self, request: Request<CreateMemberRequest>) -> Result<Response<Member>, Status> {
        let granted = self.access.organization(&request).await?;
        let request = request.into_inner();
        let once = granted.once(&request.request_id, &request)?;
        let (draft, roles) = convert::read_create(request, granted.caller.is_project())?;
        let made =
            member::create(&self.context, &granted, once.as_ref(), draft, roles).await.map_err(refusal::create)?;
        Ok(Response::new(convert::member(&made)))
    }

    async fn get_member(&self, request: Request<GetMemberRequest>) -> Result<Response<Member>, Status> {
        let granted = self.access.organization(&request).await?;
        let key = Key::Id(member_id(&request.get_ref().member_id)?);
        let found = member::get(&self.context, &granted, &key).await.map_err(refusal::read)?;
        Ok(Response::new(convert::member(&found)))
    }

    async fn lookup_member(&self, request: Request<LookupMemberRequest>) -> Result<Response<Member>, Status> {
        let granted = self.access.organization(&request).await?;
        let key = convert::read_key(request.into_inner())?;
        let found = member::get(&self.context, &granted, &key).await.map_err(refusal::read)?;
        Ok(Response::new(convert::member(&found)))
    }

    async fn list_members(
        &self,
        request: Request<ListMembersRequest>,
    ) -> Result<Response<ListMembersResponse>, Status> {
        let granted = self.access.organization(&request).await?;
        let request = request.into_inner();
        let mut violations = Violations::default();
        let state = violations.check("state", convert::read_state(request.state));
        let prefix = EmailAddress::fold_prefix(&request.email_address_prefix);
        let email_prefix = violations.check("email_address_prefix", prefix);
        let role = match request.role_id.as_str() {
            "" => Some(None),
            text => violations.check("role_id", text.parse::<RoleId>()).map(|id| Some(id.to_string())),
        };
        let bound = format!("{state:?} {email_prefix:?} {role:?}");
        let query = Query { method: granted.method().path, scope: granted.scope.into(), filter: &bound };
        let sealer = self.context.database.sealer();
        let page = refusal::page(&query, sealer, request.page_size, &request.page_token, &mut violations)?;
        let (state, email_prefix, role, page) = violations.all((state, email_prefix, role, page))?;
        let filter = Filter { state, email_prefix };
        let listed =
            member::list(&self.context, &granted, &filter, &RoleFilter(role), &page).await.map_err(refusal::read)?;
        Ok(Response::new(ListMembersResponse {
            members: listed.rows.iter().map(convert::member).collect(),
            next_page_token: listed.next.map(|cursor| query.token(sealer, &cursor)).unwrap_or_default(),
        }))
    }

    async fn batch_create_members(
        &self,
        request: Request<BatchCreateMembersRequest>,
    ) -> Result<Response<BatchCreateMembersResponse>, Status> {
        let granted = self.access.organization(&request).await?;
        let request = request.into_inner();
        let once = granted.once(&request.request_id, &request)?;
        let entries = convert::read_batch(request, granted.caller.is_project())?;
        let made =
            member::create_many(&self.context, &granted, once.as_ref(), entries).await.map_err(refusal::create)?;
        let outcomes = made.into_iter().map(convert::outcome).collect();
        Ok(Response::new(BatchCreateMembersResponse { outcomes }))
    }

    async fn update_member(&self, request: Request<UpdateMemberRequest>) -> Result<Response<Member>, Status> {
        let granted = self.access.organization(&request).await?;
        let (id, etag, changes) = convert::read_update(request.into_inner(), granted.caller.is_project())?;
        let updated = member::update(&self.context, &granted, id, &etag, changes).await.map_err(refusal::update)?;
        Ok(Response::new(convert::member(&updated)))
    }

    async fn suspend_member(&self, request: Request<SuspendMemberRequest>) -> Result<Response<Member>, Status> {
        let granted = self.access.organization(&request).await?;
        let request = request.into_inner();
        let once = granted.once(&request.request_id, &request)?;
        let id = member_id(&request.member_id)?;
        let suspended = member::suspend(&self.context, &granted, once.as_ref(), id, &request.etag)
            .await
            .map_err(refusal::change_state)?;
        Ok(Response::new(convert::member(&suspended)))
    }

    async fn reactivate_member(&self, request: Request<ReactivateMemberRequest>) -> Result<Response<Member>, Status> {
        let granted = self.access.organization(&request).await?;
        let request = request.into_inner();
        let once = granted.once(&request.request_id, &request)?;
        let id = member_id(&request.member_id)?;
        let active = member::reactivate(&self.context, &granted, once.as_ref(), id, &request.etag)
            .await
            .map_err(refusal::change_state)?;
        Ok(Response::new(convert::member(&active)))
    }

    async fn remove_member(&self, request: Request<RemoveMemberRequest>) -> Result<Response<()>, Status> {
        let granted = self.access.organization(&request).await?;
        let request = request.into_inner();
        let once = granted.once(&request.request_id, &request)?;
        let id = member_id(&request.member_id)?;
        member::remove(&self.context, &granted, once.as_ref(), id, &request.etag).await.map_err(refusal::remove)?;
        Ok(Response::new(()))
    }
}
