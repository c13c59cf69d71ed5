//! `guildhall.member.v1.SignUpService`.

use api::member::v1::{SessionGrant, SignUpRequest, sign_up_service_server::SignUpService};
use tonic::{Request, Response, Status};

use super::{Door, convert, refusal};
use crate::ops::sign_up;

#[tonic::async_trait]
impl SignUpService for Door {
    async fn sign_up(&self, request: Request<SignUpRequest>) -> Result<Response<SessionGrant>, Status> {
        let granted = self.access.workload(&request)?;
        let request = request.into_inner();
        // From wherever it is repeated, it is the same request.
        let asked = SignUpRequest { user_agent: String::new(), ip_address: String::new(), ..request.clone() };
        let once = granted.once(&request.request_id, &asked)?;
        let application = convert::read_application(request, once)?;
        let entered = sign_up::sign_up(&self.context, &granted, application).await.map_err(refusal::sign_up)?;
        Ok(Response::new(convert::entered(&entered)))
    }
}
