//! An invoices API as a product on Guildhall would have it: who calls is told from the token alone, what they may is asked at every call,
//! and whatever is stored stands under the organization that the token was verified for.

mod book;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use book::{Book, Draft, Invoice};
use clap::{Parser, ValueEnum};
use client::{
    Checks, Client,
    embedded::{EngineOptions, Permission, Unanswered},
    offline::{
        OfflineOptions, OfflineVerifier, WhenUnknown,
        layer::{Member, Refusal},
    },
};
use serde_json::{Value, json};
use uuid::Uuid;

const MAX_BODY_BYTES: usize = 16 * 1024;
/// How long the start waits for the gateway. Then it serves, and refuses or accepts as it was told to.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Parser)]
struct Options {
    #[arg(long, env = "INVOICES_LISTEN", default_value = "127.0.0.1:7300")]
    listen: SocketAddr,
    /// Where the gateway is.
    #[arg(long, env = "GUILDHALL_URL", default_value = "http://127.0.0.1:8080")]
    guildhall: String,
    /// The issuer that tokens name. The gateway's address unless told.
    #[arg(long, env = "GUILDHALL_ISSUER")]
    issuer: Option<String>,
    #[arg(long, env = "GUILDHALL_PROJECT_ID")]
    project_id: String,
    /// A service account of the project.
    #[arg(long, env = "GUILDHALL_CLIENT_ID")]
    client_id: String,
    #[arg(long, env = "GUILDHALL_CLIENT_SECRET", hide_env_values = true)]
    client_secret: String,
    /// What happens to tokens while it is not known what was revoked.
    #[arg(long, env = "INVOICES_WHEN_UNKNOWN", value_enum, default_value_t = Choice::Refuse)]
    when_unknown: Choice,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Choice {
    Refuse,
    AcceptUntilExpiry,
}

struct App {
    verifier: OfflineVerifier,
    checks: Checks,
    book: Book,
    read: Permission,
    create: Permission,
}

/// Why there is no invoice in the answer.
enum Fault {
    Refused(Refusal),
    /// Nobody knows whether they may.
    Unanswered,
    Missing,
    Invalid(&'static str),
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Unanswered> for Fault {
    fn from(_: Unanswered) -> Self {
        Self::Unanswered
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let (status, message) = match self {
            Self::Refused(refusal) => return refusal.into_response(),
            Self::Unanswered => (StatusCode::SERVICE_UNAVAILABLE, "it cannot be told at present what you may do"),
            Self::Missing => (StatusCode::NOT_FOUND, "there is no such invoice"),
            Self::Invalid(why) => (StatusCode::BAD_REQUEST, why),
        };
        (status, Json(json!({"message": message}))).into_response()
    }
}

impl App {
    async fn allowed(&self, member: &Member, permission: &Permission) -> Result<(), Fault> {
        match self.checks.allows(&member.0, permission, None).await? {
            true => Ok(()),
            false => Err(Refusal::PermissionMissing.into()),
        }
    }
}

async fn list(State(app): State<Arc<App>>, member: Member) -> Result<Json<Vec<Invoice>>, Fault> {
    app.allowed(&member, &app.read).await?;
    Ok(Json(app.book.list(&member.0.organization_id)))
}

async fn create(
    State(app): State<Arc<App>>,
    member: Member,
    Json(draft): Json<Draft>,
) -> Result<(StatusCode, Json<Invoice>), Fault> {
    app.allowed(&member, &app.create).await?;
    let invoice = app.book.add(&member.0.organization_id, &member.0.member_id, draft).map_err(Fault::Invalid)?;
    Ok((StatusCode::CREATED, Json(invoice)))
}

/// Another organization's invoice is none.
async fn one(State(app): State<Arc<App>>, member: Member, Path(id): Path<Uuid>) -> Result<Json<Invoice>, Fault> {
    app.allowed(&member, &app.read).await?;
    app.book.get(&member.0.organization_id, id).map(Json).ok_or(Fault::Missing)
}

/// What the token says. Nothing is asked of anybody.
async fn who_am_i(Member(member): Member) -> Json<Value> {
    Json(json!({
        "member_id": member.member_id,
        "organization_id": member.organization_id,
        "organization_slug": member.organization_slug,
        "roles": member.roles,
        "amr": member.amr,
    }))
}

/// For who runs it: whether revocations are known, and for how long a revoked token may be believed.
async fn freshness(State(app): State<Arc<App>>) -> Json<Value> {
    let worst_case = app.verifier.worst_case().as_secs();
    Json(json!({"live": app.verifier.is_live(), "worst_case_seconds": worst_case}))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = Options::parse();
    let guildhall = Client::new(&options.guildhall, Default::default())?
        .with_service_account(&options.client_id, options.client_secret.into());
    let issuer = options.issuer.as_deref().unwrap_or(&options.guildhall);
    let verifier = guildhall.offline_verifier(OfflineOptions {
        when_unknown: match options.when_unknown {
            Choice::Refuse => WhenUnknown::Refuse,
            Choice::AcceptUntilExpiry => WhenUnknown::AcceptUntilExpiry,
        },
        ..OfflineOptions::new(issuer, &options.project_id)
    });
    let _ = tokio::time::timeout(PATIENCE, verifier.ready()).await;
    let app = Arc::new(App {
        checks: guildhall.checks(EngineOptions::default()),
        book: Book::default(),
        read: "invoice:read".parse()?,
        create: "invoice:create".parse()?,
        verifier: verifier.clone(),
    });
    let routes = Router::new()
        .route("/invoices", get(list).post(create))
        .route("/invoices/{id}", get(one))
        .route("/whoami", get(who_am_i))
        .layer(verifier.layer())
        .route("/freshness", get(freshness))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(app);
    let listener = tokio::net::TcpListener::bind(options.listen).await?;
    axum::serve(listener, routes).await?;
    Ok(())
}
