//! What comes in by the front door, and what does not.

#![expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]

mod stage;

use access::{Caller, Onward, Service};
use api::{
    access::v1::ErrorReason,
    gateway::v1::{WhoAmIRequest, authentication_service_client::AuthenticationServiceClient},
    member::v1::{
        AcceptInvitationRequest, VerifyPasswordRequest, credential_service_client::CredentialServiceClient,
        invitation_service_client::InvitationServiceClient,
    },
    org::v1::{
        CreateProjectRequest, GetOrganizationRequest, organization_service_client::OrganizationServiceClient,
        project_service_client::ProjectServiceClient,
    },
};
use gateway::LimitOptions;
use runtime::CallContext;
use stage::{Stage, assert_reason, generous, h2, http_get, http1, with_token};
use tonic::{Code, Request};

const GET: &str = "/guildhall.org.v1.OrganizationService/GetOrganization";
const GRPC: (&str, &str) = ("content-type", "application/grpc");

#[tokio::test]
async fn a_call_goes_on_with_its_body_and_its_status() {
    let stage = Stage::start().await;
    let token = stage.project_token().await;
    assert_eq!(stage.get_organization(&token).await.unwrap().slug, "acme");

    let mut client = OrganizationServiceClient::new(stage.channel().await);
    let missing = GetOrganizationRequest { organization_id: tenancy::OrganizationId::new().to_string() };
    let refused = client.get_organization(with_token(missing, &token)).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    assert_reason(&refused, ErrorReason::NotFound);
    assert_eq!(stage.org.calls(GET).len(), 2);
    assert!(stage.member.calls(GET).is_empty() && stage.authz.calls(GET).is_empty());
}

#[tokio::test]
async fn what_outsiders_may_not_say_does_not_get_through() {
    let stage = Stage::start().await;
    let bearer = format!("Bearer {}", stage.project_token().await);
    let headers = [
        GRPC,
        ("te", "trailers"),
        ("authorization", bearer.as_str()),
        ("grpc-timeout", "5S"),
        ("x-request-id", "mine-1"),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ("guildhall-project-id", "proj_x"),
        ("Guildhall-Actor", "operator"),
        ("guildhall_actor", "operator"),
        ("x-guildhall-scope", "cluster"),
        ("x_guildhall_scope", "cluster"),
        ("x-forwarded-for", "192.0.2.66"),
        ("x-forwarded-host", "evil.test"),
        ("x-forwarded-proto", "https"),
        ("forwarded", "for=192.0.2.66"),
        ("proxy-authorization", "Basic eDp5"),
        ("cookie", "a=b"),
    ];
    let (answer, _) = h2(stage.address, &format!("{GET}?organization_id=x"), &headers).await;
    assert_eq!(answer.headers()["x-request-id"], "mine-1");

    let seen = stage.org.calls(GET).pop().expect("it was forwarded");
    for name in seen.keys() {
        let name = name.as_str().replace('_', "-");
        assert!(!name.starts_with("guildhall-") && !name.starts_with("x-guildhall-"), "{name}");
        // The content length is the channel's own count of the body.
        let known = [
            "authorization",
            "content-length",
            "content-type",
            "te",
            "user-agent",
            "grpc-timeout",
            "x-request-id",
            "traceparent",
            "x-forwarded-for",
            "x-internal-prompt",
        ];
        assert!(known.contains(&name.as_str()), "{name}");
    }
    assert_eq!(seen["authorization"], bearer.as_str());
    assert_eq!(seen["x-request-id"], "mine-1");
    assert_eq!(seen["x-forwarded-for"], "127.0.0.1");
    let traceparent = seen["traceparent"].to_str().unwrap();
    assert!(traceparent.contains("4bf92f3577b34da6a3ce929d0e0e4736") && !traceparent.contains("00f067aa0ba902b7"));
    let left: u64 = seen["grpc-timeout"].to_str().unwrap().trim_end_matches('u').parse().unwrap();
    assert!((1..5_000_000).contains(&left), "what remains of the deadline, not the deadline");
}

#[tokio::test]
async fn a_workload_s_method_is_no_method_here() {
    let stage = Stage::start().await;
    let token = stage.project_token().await;
    let before = stage.member.called();
    let mut client = CredentialServiceClient::new(stage.channel().await);
    let workload = client.verify_password(with_token(VerifyPasswordRequest::default(), &token)).await.unwrap_err();
    let (unknown, _) = h2(stage.address, "/guildhall.member.v1.CredentialService/Nothing", &[GRPC]).await;
    let unknown = tonic::Status::from_header_map(unknown.headers()).unwrap();
    assert_eq!(workload.code(), Code::Unimplemented);
    assert_reason(&workload, ErrorReason::UnknownMethod);
    assert_eq!((workload.message(), workload.details()), (unknown.message(), unknown.details()));
    assert_eq!(stage.member.called(), before);
}

#[tokio::test]
async fn what_a_service_does_for_anyone_is_limited_by_the_address() {
    let limits = LimitOptions { sign_in_rate_per_address: 3, ..generous().0 };
    let stage = Stage::with(limits, generous().1).await;
    let mut client = InvitationServiceClient::new(stage.channel().await);
    for _ in 0..3 {
        let answered = client.accept_invitation(AcceptInvitationRequest::default()).await.unwrap_err();
        assert_eq!(answered.code(), Code::Unimplemented, "as the service says: {answered:?}");
    }
    let refused = client.accept_invitation(AcceptInvitationRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_reason(&refused, ErrorReason::RateLimited);
    assert_eq!(stage.member.calls("/guildhall.member.v1.InvitationService/AcceptInvitation").len(), 3);
    // A credential is no way around it, and what needs one does not count.
    let token = stage.project_token().await;
    let request = with_token(AcceptInvitationRequest::default(), &token);
    assert_reason(&client.accept_invitation(request).await.unwrap_err(), ErrorReason::RateLimited);
    assert!(stage.get_organization(&token).await.is_ok());
}

#[tokio::test]
async fn a_path_has_one_spelling() {
    let stage = Stage::start().await;
    let bearer = format!("Bearer {}", stage.project_token().await);
    for path in [
        "//guildhall.org.v1.OrganizationService/GetOrganization",
        "/guildhall.org.v1.OrganizationService//GetOrganization",
        "/guildhall.org.v1.OrganizationService/GetOrganization/",
        "/guildhall.org.v1.OrganizationService/getOrganization",
        "/GUILDHALL.org.v1.OrganizationService/GetOrganization",
        "/guildhall.org.v1.OrganizationService/Get%4Frganization",
        "/guildhall.org.v1.OrganizationService%2FGetOrganization",
        "/guildhall.org.v1.OrganizationService/../guildhall.org.v1.OrganizationService/GetOrganization",
        "/x/guildhall.org.v1.OrganizationService/GetOrganization",
        "/guildhall.org.v1.OrganizationService.GetOrganization",
        "/guildhall.org.v1.DirectoryService/ResolveOrganization",
        "/guildhall.event.v1.EventService",
        "/",
    ] {
        let (answer, _) = h2(stage.address, path, &[GRPC, ("authorization", &bearer)]).await;
        let status = tonic::Status::from_header_map(answer.headers()).unwrap_or_else(|| panic!("{path}: {answer:?}"));
        assert_eq!(status.code(), Code::Unimplemented, "{path}");
        assert_reason(&status, ErrorReason::UnknownMethod);
    }
    assert_eq!(stage.org.called().get(GET), None);
}

#[tokio::test]
async fn a_credential_must_be_good_and_of_the_right_audience() {
    let stage = Stage::start().await;
    let refused = stage.get_organization("not.a.token").await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert_reason(&refused, ErrorReason::Unauthenticated);

    let mut organizations = OrganizationServiceClient::new(stage.channel().await);
    let nobody = organizations.get_organization(GetOrganizationRequest::default()).await.unwrap_err();
    assert_reason(&nobody, ErrorReason::Unauthenticated);

    let token = stage.sign_in().await.access_token;
    let mut projects = ProjectServiceClient::new(stage.channel().await);
    let member = projects.create_project(with_token(CreateProjectRequest::default(), &token)).await.unwrap_err();
    assert_eq!(member.code(), Code::PermissionDenied);
    assert_reason(&member, ErrorReason::WrongAudience);
    assert_eq!(stage.org.called().get(GET), None);
}

#[tokio::test]
async fn a_workload_does_not_come_in_by_the_front_door() {
    let stage = Stage::start().await;
    let onward = Onward::new(Service::Gateway, stage.workload_keys());
    let me = Caller::Workload { service: Service::Gateway, on_behalf_of: None };
    for target in [Service::Gateway, Service::Org] {
        let message = GetOrganizationRequest { organization_id: stage.world.organization.to_string() };
        let request: Request<_> = onward.request(&me, &CallContext::background(), target, message).unwrap();
        let mut client = OrganizationServiceClient::new(stage.channel().await);
        let refused = client.get_organization(request).await.unwrap_err();
        assert_reason(&refused, ErrorReason::Unauthenticated);

        // Nor where no credential is needed.
        let message = stage.password_request("ada@acme.test", stage::backend::PASSWORD);
        let request = onward.request(&me, &CallContext::background(), target, message).unwrap();
        let mut client = AuthenticationServiceClient::new(stage.channel().await);
        assert_reason(&client.sign_in_with_password(request).await.unwrap_err(), ErrorReason::Unauthenticated);
    }
    assert_eq!(stage.org.called().get(GET), None);
}

#[tokio::test]
async fn who_am_i_says_what_the_token_says() {
    let stage = Stage::start().await;
    let signed = stage.sign_in().await;
    let mut client = stage.authentication().await;
    let me = client.who_am_i(with_token(WhoAmIRequest {}, &signed.access_token)).await.unwrap().into_inner();
    assert_eq!(me.organization_id, stage.world.organization.to_string());
    assert_eq!((me.organization_slug.as_str(), me.roles.as_slice()), ("acme", &["owner".to_owned()][..]));
    let nobody = client.who_am_i(WhoAmIRequest {}).await.unwrap_err();
    assert_reason(&nobody, ErrorReason::Unauthenticated);
}

#[tokio::test]
async fn plain_http_finds_documents_and_nothing_else() {
    let stage = Stage::start().await;
    for (path, expected) in
        [("/", 404), ("/v1/anything", 404), ("/oauth2/token", 405), (GET, 404), ("/dev/mailbox", 404)]
    {
        let (status, head, body) = http_get(stage.address, path).await;
        assert_eq!(status, expected, "{path}");
        assert!(head.contains("content-type: application/json"), "{path}: {head}");
        assert!(serde_json::from_str::<serde_json::Value>(&body).is_ok(), "{path}: {body}");
    }
    // The gateway's own services are behind the edge for every content type.
    let path = "/guildhall.gateway.v1.AuthenticationService/WhoAmI";
    let (answer, _) = h2(stage.address, path, &[("content-type", "application/json")]).await;
    assert_eq!(answer.status(), 404);

    let (answer, _) = h2(stage.address, path, &[("content-type", "application/grpc-webby")]).await;
    assert_eq!(answer.status(), 415);
    let (answer, _) = h2(stage.address, &format!("/{}", "a".repeat(9000)), &[]).await;
    assert_eq!(answer.status(), 414);
    let request = format!(
        "POST {GET} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/grpc\r\ncontent-length: 0\r\n\r\n"
    );
    assert_eq!(http1(stage.address, &request).await.0, 505);
    let large = format!("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-large: {}\r\n\r\n", "a".repeat(40_000));
    assert_eq!(http1(stage.address, &large).await.0, 431);
}

#[tokio::test]
async fn the_dev_mailbox_is_on_the_admin_port() {
    let stage = Stage::start().await;
    let mail = |name: &str, to: &str| {
        let text =
            serde_json::json!({"to": to, "subject": name, "text": "t", "html": "", "time": "2026-01-01T00:00:00Z"});
        std::fs::write(stage.folder.path().join("mail").join(format!("{name}.json")), text.to_string()).unwrap();
    };
    mail("2", "grace@acme.test");
    mail("1", "ada@acme.test");
    let read = async |path| {
        let (status, _, body) = http_get(stage.admin, path).await;
        assert_eq!(status, 200);
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        let messages = body["messages"].as_array().unwrap().clone();
        messages.into_iter().map(|message| message["subject"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(read("/dev/mailbox").await, ["1", "2"]);
    assert_eq!(read("/dev/mailbox?to=grace%40acme.test").await, ["2"]);
}
