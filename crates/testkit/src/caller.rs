//! People and programs, as a test speaks of them: a project, its organizations, who signs in there, and what they ask for.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use access::{SigningKey, WorkloadClaims};
use serde_json::{Value, json};
use tokio::time::sleep;
use tonic::{Code, transport::Channel};

pub use crate::dynamic::Refused;
use crate::{
    Cluster,
    bounds::{SECOND, ends_within},
    dynamic,
};

/// Reasons that say nothing of the call, but of the machine at this moment.
const SHED: [&str; 2] = ["OVERLOADED", "UNAVAILABLE"];

/// Asks again for as long as it is told to come again, for a minute at the most.
pub async fn patiently<T, F: Future<Output = T>>(mut ask: impl FnMut() -> F, is_shed: impl Fn(&T) -> bool) -> T {
    let begun = Instant::now();
    loop {
        let outcome = ask().await;
        if !is_shed(&outcome) || begun.elapsed() > Duration::from_secs(60) {
            return outcome;
        }
        sleep(Duration::from_millis(100)).await;
    }
}

fn is_shed<T>(outcome: &Result<T, Refused>) -> bool {
    outcome.as_ref().is_err_and(|refused| SHED.contains(&refused.reason.as_str()))
}

/// A word that no other test of this process uses.
pub fn unique(word: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("{word}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Somebody with a credential, or without one, at the gateway's door (or, for attacks, at a service's own).
#[derive(Clone, Debug)]
pub struct Caller {
    client: dynamic::Client,
    headers: Vec<(String, String)>,
}

impl Caller {
    fn new(address: impl std::fmt::Display, token: Option<&str>) -> Self {
        let headers = token.map(|token| ("authorization".to_owned(), format!("Bearer {token}"))).into_iter().collect();
        Self { client: dynamic::Client::of_the_contracts(address), headers }
    }

    /// By a connection that the test has made.
    pub fn by(channel: Channel, token: Option<&str>) -> Self {
        let headers = token.map(|token| ("authorization".to_owned(), format!("Bearer {token}"))).into_iter().collect();
        Self { client: dynamic::Client::by(channel), headers }
    }

    /// The same caller with one header more.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Calls `Service/Method` with a JSON request. For streams: the first message.
    pub async fn try_call(&self, method: &str, request: Value) -> Result<Value, Refused> {
        let answers = self.client.call(method, &self.headers, request).await?;
        Ok(answers.first().map_or(Value::Null, dynamic::to_json))
    }

    /// The same, as a client that comes again when it is told to: a busy machine sheds calls, whatever they ask, and one that is
    /// starved takes longer to let anybody into its database than its services hold that it is there, or hears of revocations
    /// too late to say that a token is good. What is still so after a minute is the answer.
    pub async fn insist(&self, method: &str, request: Value) -> Result<Value, Refused> {
        patiently(|| self.try_call(method, request.clone()), is_shed).await
    }

    /// Whether a stream begins, which may have no end. Insists.
    pub async fn try_begin(&self, method: &str, request: Value) -> Result<(), Refused> {
        patiently(|| self.client.begin(method, &self.headers, request.clone()), is_shed).await
    }

    /// Every message of a stream. Insists.
    pub async fn try_all(&self, method: &str, request: Value) -> Result<Vec<Value>, Refused> {
        let answers = patiently(|| self.client.call(method, &self.headers, request.clone()), is_shed).await?;
        Ok(answers.iter().map(dynamic::to_json).collect())
    }

    /// Sends a stream of requests, and gives the one answer. Insists.
    pub async fn try_stream(&self, method: &str, requests: Vec<Value>) -> Result<Value, Refused> {
        let answers = patiently(|| self.client.call_all(method, &self.headers, requests.clone()), is_shed).await?;
        Ok(answers.first().map_or(Value::Null, dynamic::to_json))
    }

    /// Whoever asks with this token is refused, a second from now at the latest.
    pub async fn is_out_within_a_second(&self) {
        self.is_out_within_a_second_of(Instant::now()).await;
    }

    pub async fn is_out_within_a_second_of(&self, since: Instant) {
        let good = async || self.insist("AuthenticationService/WhoAmI", json!({})).await.ok();
        ends_within(since, SECOND, "the token is good", good).await;
    }

    /// A call that must be answered, in the end: see [`Caller::insist`].
    #[track_caller]
    pub fn call(&self, method: &str, request: Value) -> impl Future<Output = Value> {
        let place = std::panic::Location::caller();
        async move {
            match self.insist(method, request.clone()).await {
                Ok(answer) => answer,
                Err(refused) => panic!("{place}: {method} {request} was refused: {refused:?}"),
            }
        }
    }

    /// A call that must be refused with this code and reason; for another reason than that nobody is there to ask, in the end.
    #[track_caller]
    pub fn refused(&self, method: &str, request: Value, code: Code, reason: &str) -> impl Future<Output = Refused> {
        let place = std::panic::Location::caller();
        async move {
            let outcome = match SHED.contains(&reason) {
                true => self.try_call(method, request.clone()).await,
                false => self.insist(method, request.clone()).await,
            };
            match outcome {
                Ok(answer) => panic!("{place}: {method} {request} was answered: {answer}"),
                Err(refused) => {
                    assert_eq!(
                        (refused.code, refused.reason.as_str()),
                        (code, reason),
                        "{place}: {method} {request}: {refused:?}"
                    );
                    assert_eq!(refused.domain, "guildhall.dev", "{place}");
                    refused
                }
            }
        }
    }
}

/// Text of a JSON field, by a dotted path.
#[track_caller]
pub fn text(value: &Value, path: &str) -> String {
    let found = path.split('.').fold(value, |value, key| match key.parse::<usize>() {
        Ok(at) => &value[at],
        Err(_) => &value[key],
    });
    found.as_str().unwrap_or_else(|| panic!("no text at {path} in {value}")).to_owned()
}

/// A signed-in person's tokens.
#[derive(Clone, Debug)]
pub struct Tokens {
    pub access: String,
    pub refresh: String,
}

impl Cluster {
    /// Somebody without a credential.
    pub fn anyone(&self) -> Caller {
        Caller::new(self.access().gateway, None)
    }

    /// The bearer of a token.
    pub fn bearer(&self, token: &str) -> Caller {
        Caller::new(self.access().gateway, Some(token))
    }

    /// The same at another door than the gateway's.
    pub fn bearer_at(&self, address: impl std::fmt::Display, token: Option<&str>) -> Caller {
        Caller::new(address, token)
    }

    /// A service of this installation calling another, with its own key and no caller behind it.
    pub fn workload(&self, caller: &str, called: &str) -> Caller {
        Caller::new(self.door(called), Some(&self.workload_token(caller, called)))
    }

    /// What it proves itself with.
    pub fn workload_token(&self, caller: &str, called: &str) -> String {
        let key = self.directory().join("keys").join(format!("{caller}.pem"));
        let pem = std::fs::read_to_string(&key).unwrap_or_else(|error| panic!("no {}: {error}", key.display()));
        let key = SigningKey::from_pem(&pem).unwrap_or_else(|| panic!("{} holds no single key", key.display()));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        let claims = WorkloadClaims {
            iss: caller.to_owned(),
            sub: caller.to_owned(),
            aud: called.to_owned(),
            exp: now + 60,
            iat: now,
            nbf: now,
            obo: None,
            act: None,
        };
        key.sign("wl+jwt", &claims).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Where a service listens.
    pub fn door(&self, service: &str) -> SocketAddr {
        let access = self.access();
        match service {
            "org-service" => access.org,
            "member-service" => access.member,
            "authz-service" => access.authz,
            "gateway" => access.gateway,
            other => panic!("no service is called {other}"),
        }
    }

    /// A token by client_credentials, or what `/oauth2/token` answered instead.
    pub async fn client_credentials(&self, id: &str, secret: &str) -> Result<String, (u16, Value)> {
        let form = [("grant_type", "client_credentials"), ("client_id", id), ("client_secret", secret)];
        let ask = || crate::http::post_form(self.access().gateway, "/oauth2/token", &form);
        let (status, body) = patiently(ask, |(status, _)| *status == 503).await;
        if status == 200 { Ok(text(&body, "access_token")) } else { Err((status, body)) }
    }

    /// What a program is told whose secret opens nothing any more. It has a second to hear of it; no token that it gets until then is good
    /// after it.
    pub async fn shut_out(&self, id: &str, secret: &str) -> (u16, Value) {
        let begun = Instant::now();
        let (mut late, mut refused) = (Vec::new(), (0, Value::Null));
        ends_within(begun, SECOND, "it gets tokens", async || match self.client_credentials(id, secret).await {
            Ok(token) => {
                late.push(token);
                Some("a token")
            }
            Err(told) => {
                refused = told;
                None
            }
        })
        .await;
        for token in late {
            self.bearer(&token).is_out_within_a_second_of(begun).await;
        }
        refused
    }

    pub async fn operator(&self) -> Caller {
        let access = self.access();
        let token = self
            .client_credentials(&access.operator_client_id, &access.operator_client_secret)
            .await
            .unwrap_or_else(|refused| panic!("the operator got no token: {refused:?}"));
        self.bearer(&token)
    }

    /// A project of its own for a test, with its first service account.
    pub async fn project(&self) -> Project<'_> {
        let operator = self.operator().await;
        let name = unique("project");
        let project = operator.call("ProjectService/CreateProject", json!({"project": {"display_name": name}})).await;
        let id = text(&project, "project_id");
        let account = operator
            .call(
                "ServiceAccountService/CreateProjectServiceAccount",
                json!({"project_id": id, "service_account": {"display_name": "backend"}}),
            )
            .await;
        let token = self
            .client_credentials(&text(&account, "client_id"), &text(&account, "client_secret"))
            .await
            .unwrap_or_else(|refused| panic!("the new account got no token: {refused:?}"));
        Project { cluster: self, id, account: self.bearer(&token), token }
    }
}

/// A project, and its own service account as the caller.
#[derive(Clone, Debug)]
pub struct Project<'c> {
    pub cluster: &'c Cluster,
    pub id: String,
    pub account: Caller,
    pub token: String,
}

impl<'c> Project<'c> {
    /// Somebody without a credential who means this project.
    pub fn anyone(&self) -> Caller {
        self.cluster.anyone().with("guildhall-project-id", &self.id)
    }

    /// An organization with an owner who is signed in.
    pub async fn organization(&self, name: &str) -> Organization<'c> {
        let slug = unique(name);
        let made = self
            .account
            .call(
                "OrganizationService/CreateOrganization",
                json!({"organization": {"display_name": name, "slug": slug}}),
            )
            .await;
        let id = text(&made, "organization_id");
        let mut organization = Organization { project: self.clone(), id, slug, owner: None };
        organization.owner = Some(organization.join("owner", &["owner"]).await);
        organization
    }
}

/// An organization of a test.
#[derive(Clone, Debug)]
pub struct Organization<'c> {
    pub project: Project<'c>,
    pub id: String,
    pub slug: String,
    owner: Option<Member>,
}

/// A member who is signed in.
#[derive(Clone, Debug)]
pub struct Member {
    pub id: String,
    pub email: String,
    pub password: String,
    pub caller: Caller,
    pub tokens: Tokens,
}

impl Organization<'_> {
    pub fn owner(&self) -> &Member {
        self.owner.as_ref().unwrap_or_else(|| panic!("{} has no owner yet", self.slug))
    }

    /// A new member with these roles, a password, and a session.
    pub async fn join(&self, name: &str, roles: &[&str]) -> Member {
        let email = format!("{}@{}.test", unique(name), self.slug);
        let member = self
            .project
            .account
            .call(
                "MemberService/CreateMember",
                json!({"organization_id": self.id, "member": {"email_address": email, "display_name": name}, "roles": roles}),
            )
            .await;
        let id = text(&member, "member_id");
        let password = format!("{} and a long battery", unique("horse"));
        self.project
            .account
            .call(
                "CredentialService/SetPassword",
                json!({"organization_id": self.id, "member_id": id, "password": password}),
            )
            .await;
        let tokens = self
            .sign_in(&email, &password)
            .await
            .unwrap_or_else(|refused| panic!("{email} could not sign in: {refused:?}"));
        Member { caller: self.project.cluster.bearer(&tokens.access), id, email, password, tokens }
    }

    /// The same member, signed in anew: whose roles have changed is refused with the tokens from before.
    pub async fn again(&self, member: &Member) -> Member {
        let Member { id, email, password, .. } = member.clone();
        let tokens = self.sign_in(&email, &password).await;
        let tokens = tokens.unwrap_or_else(|refused| panic!("{email} could not sign in: {refused:?}"));
        Member { caller: self.project.cluster.bearer(&tokens.access), id, email, password, tokens }
    }

    pub async fn sign_in(&self, email: &str, password: &str) -> Result<Tokens, Refused> {
        let answer = self
            .project
            .anyone()
            .try_call(
                "AuthenticationService/SignInWithPassword",
                json!({"email_address": email, "password": password, "organization_slug": self.slug}),
            )
            .await?;
        Ok(Tokens { access: text(&answer, "access_token"), refresh: text(&answer, "refresh_token") })
    }

    /// An invitation by the owner, and the secret that was mailed.
    pub async fn invite(&self, email: &str, roles: &[&str]) -> String {
        self.owner()
            .caller
            .call(
                "InvitationService/CreateInvitation",
                json!({"organization_id": self.id, "invitation": {"email_address": email}, "roles": roles}),
            )
            .await;
        let mails = self.project.cluster.mailbox(email).await;
        mails.last().unwrap_or_else(|| panic!("no mail to {email}")).token()
    }
}
