//! `guildhall.member.v1.IdentityService`: none of it is served yet, which its contract says and the defaults answer.

use api::member::v1::identity_service_server::IdentityService;

use super::Door;

#[tonic::async_trait]
impl IdentityService for Door {}
