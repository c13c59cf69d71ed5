//! Who asks, and where.

use std::sync::Mutex;
use std::{collections::HashMap, fmt::Display};

use api::authz::v1::{
    BatchCheckRequest, CheckQuestion, CheckRequest, CheckResponse, Consistency, CreateBindingRequest,
    DeleteBindingRequest, Resource, Subject, authorization_service_client::AuthorizationServiceClient,
    binding_service_client::BindingServiceClient, subject::Subject as Kind,
};
use serde_json::json;
use testkit::{
    Cluster,
    caller::{Organization, Project, text},
    dynamic,
};
use tonic::{Request, Status, transport::Channel};

/// An organization with a member who holds a role at places.
pub struct House<'c> {
    pub project: Project<'c>,
    pub organization: Organization<'c>,
    pub member: String,
    /// Of the project: `document:read`.
    pub role: String,
    held: Mutex<HashMap<String, String>>,
}

impl<'c> House<'c> {
    pub async fn new(cluster: &'c Cluster) -> Self {
        let project = cluster.project().await;
        let catalog = json!({"catalog": {"resource_types": [{"name": "document", "verbs": ["read", "write"]}]}});
        project.account.call("CatalogService/UpdateCatalog", catalog).await;
        let role = json!({"role": {"key": "reader", "display_name": "Reader", "permissions": ["document:read"]}});
        let role = text(&project.account.call("RoleService/CreateRole", role).await, "role_id");
        let organization = project.organization("acme").await;
        let member = organization.join("ada", &["member"]).await.id;
        Self { project, organization, member, role, held: Mutex::default() }
    }

    /// Through the cluster's own authz-service. The revision token.
    pub async fn grant(&self, place: &str) -> String {
        let binding = json!({"organization_id": self.organization.id, "binding": {
            "subject": {"member_id": self.member}, "role_id": self.role, "resource": {"type": "document", "id": place}}});
        let binding = self.project.account.call("BindingService/CreateBinding", binding).await;
        self.held.lock().unwrap().insert(place.to_owned(), text(&binding, "binding_id"));
        text(&binding, "revision")
    }

    pub async fn take(&self, place: &str) -> String {
        let id = self.held.lock().unwrap().remove(place).unwrap();
        let binding = json!({"organization_id": self.organization.id, "binding_id": id});
        text(&self.project.account.call("BindingService/DeleteBinding", binding).await, "revision")
    }
}

/// One authz-service, as the project's own account calls it.
#[derive(Clone)]
pub struct Door {
    checks: AuthorizationServiceClient<Channel>,
    bindings: BindingServiceClient<Channel>,
    token: String,
    organization: String,
    member: String,
    role: String,
}

impl Door {
    pub fn new(address: &impl Display, house: &House<'_>) -> Self {
        let channel = dynamic::channel(address);
        Self {
            checks: AuthorizationServiceClient::new(channel.clone()),
            bindings: BindingServiceClient::new(channel),
            token: format!("Bearer {}", house.project.token),
            organization: house.organization.id.clone(),
            member: house.member.clone(),
            role: house.role.clone(),
        }
    }

    /// The same for somebody else.
    pub fn with_token(mut self, token: &str) -> Self {
        self.token = format!("Bearer {token}");
        self
    }

    pub fn client(&self) -> AuthorizationServiceClient<Channel> {
        self.checks.clone()
    }

    /// A message with the credential.
    pub fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", self.token.parse().unwrap());
        request
    }

    fn subject(&self) -> Option<Subject> {
        Some(Subject { subject: Some(Kind::MemberId(self.member.clone())) })
    }

    /// Whether the member may read what is at the place.
    pub async fn may(&self, place: &str, consistency: Consistency) -> Result<CheckResponse, Status> {
        self.check(place, "document:read", consistency).await
    }

    pub async fn check(
        &self,
        place: &str,
        permission: &str,
        consistency: Consistency,
    ) -> Result<CheckResponse, Status> {
        let request = CheckRequest {
            organization_id: self.organization.clone(),
            subject: self.subject(),
            permission: permission.to_owned(),
            resource: Some(Resource { r#type: "document".to_owned(), id: place.to_owned() }),
            consistency: Some(consistency),
            ..CheckRequest::default()
        };
        self.checks.clone().check(self.request(request)).await.map(tonic::Response::into_inner)
    }

    /// The same of many, by place and permission, and the revision token that holds for all.
    pub async fn check_all(
        &self,
        asked: &[(&str, &str)],
        consistency: Consistency,
    ) -> Result<(Vec<bool>, String), Status> {
        let question = |(place, permission): &(&str, &str)| CheckQuestion {
            subject: self.subject(),
            permission: (*permission).to_owned(),
            resource: Some(Resource { r#type: "document".to_owned(), id: (*place).to_owned() }),
            ..CheckQuestion::default()
        };
        let request = BatchCheckRequest {
            organization_id: self.organization.clone(),
            checks: asked.iter().map(question).collect(),
            consistency: Some(consistency),
            ..BatchCheckRequest::default()
        };
        let answer = self.checks.clone().batch_check(self.request(request)).await?.into_inner();
        Ok((answer.results.into_iter().map(|result| result.allowed).collect(), answer.revision))
    }

    /// The binding and the revision token.
    pub async fn grant(&self, place: &str) -> Result<(String, String), Status> {
        let binding = api::authz::v1::Binding {
            subject: self.subject(),
            role_id: self.role.clone(),
            resource: Some(Resource { r#type: "document".to_owned(), id: place.to_owned() }),
            ..api::authz::v1::Binding::default()
        };
        let request = CreateBindingRequest {
            organization_id: self.organization.clone(),
            binding: Some(binding),
            ..CreateBindingRequest::default()
        };
        let made = self.bindings.clone().create_binding(self.request(request)).await?.into_inner();
        Ok((made.binding_id, made.revision))
    }

    pub async fn take(&self, binding: &str) -> Result<String, Status> {
        let request = DeleteBindingRequest {
            organization_id: self.organization.clone(),
            binding_id: binding.to_owned(),
            ..DeleteBindingRequest::default()
        };
        Ok(self.bindings.clone().delete_binding(self.request(request)).await?.into_inner().revision)
    }
}
