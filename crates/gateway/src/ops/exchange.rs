//! A token for a token (RFC 8693): for less, for another organization of the same person, or to act as a member.
//!
//! Only a token that is good at Guildhall itself is exchanged: one for a resource server would let that server become more than it was
//! told. One in which somebody acts as a member is exchanged for nothing, so acting does not nest and does not outlive itself. And one
//! that is good for some permissions only stays so, and where it is.

use std::sync::Arc;

use access::{Caller, Invalidations, Verified, Verifier};
use api::member::v1::{ExchangeSessionRequest, ImpersonateMemberRequest, SessionGrant};
use prost_types::Timestamp;
use tenancy::{MemberId, OrganizationId, ProjectId};
use tokens::{AccessClaims, ActClaims};

use super::{
    clients::{Account, Clients},
    grants::{Given, Wish, Wishes, not_held},
    projects::{self, Projects},
    refused::{OauthCode, Refused},
    sessions::Visitor,
};
use crate::{
    mint::{LIFETIME, Mint, Terms, now},
    refusal,
    remote::Remote,
};

/// Whom the new token is about.
#[derive(Clone)]
pub enum Subject {
    /// An access token or API key.
    Token(String),
    /// A member of whom there is no token.
    Member(MemberId),
}

impl std::fmt::Debug for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Token(_) => f.write_str("Token"),
            Self::Member(id) => f.debug_tuple("Member").field(id).finish(),
        }
    }
}

/// What is asked for.
#[derive(Debug)]
pub struct Exchange {
    pub subject: Subject,
    /// Of the one who will act as the subject.
    pub actor_token: Option<ActorToken>,
    pub organization: Option<OrganizationId>,
    pub wish: Wish,
}

pub struct ActorToken(pub String);

impl std::fmt::Debug for ActorToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ActorToken")
    }
}

/// A token that may be exchanged.
struct Good {
    verified: Arc<Verified>,
    claims: AccessClaims,
}

impl Good {
    fn project(&self) -> Option<ProjectId> {
        match self.verified.caller {
            Caller::Member { project, .. } | Caller::ServiceAccount { project, .. } => Some(project),
            Caller::Operator | Caller::Anonymous | Caller::Workload { .. } => None,
        }
    }

    fn is_limited(&self) -> bool {
        !self.claims.permissions.is_empty()
    }
}

#[derive(Debug)]
pub struct Exchanges {
    pub remote: Remote,
    pub verifier: Arc<Verifier>,
    pub invalidations: Arc<Invalidations>,
    pub projects: Arc<Projects>,
    pub clients: Arc<Clients>,
    pub wishes: Arc<Wishes>,
    pub mint: Arc<Mint>,
}

impl Exchanges {
    /// `client`: who asks, if it proved who it is. It asks in its own project.
    pub async fn exchange(
        &self,
        visitor: &Visitor,
        client: Option<Account>,
        asked: Exchange,
    ) -> Result<Given, Refused> {
        match asked.actor_token {
            Some(actor) => {
                self.impersonate(visitor, client, asked.subject, &actor.0, asked.organization, asked.wish).await
            }
            None => match asked.subject {
                Subject::Token(token) => self.own(visitor, client, token, asked.organization, asked.wish).await,
                Subject::Member(_) => {
                    let missing = access::invalid_field("actor_token", "is required with subject_member_id");
                    Err(missing.into())
                }
            },
        }
    }

    /// A token that is good now, and may be exchanged.
    fn good(&self, token: &str) -> Result<Good, Refused> {
        // RFC 8693, section 2.2.2: whatever is wrong with either token is `invalid_request`.
        let refused = Refused::of(OauthCode::InvalidRequest);
        let verified = self.verifier.verify(token).map_err(|_| refused(access::unauthenticated()))?;
        self.invalidations.check(&verified).map_err(&refused)?;
        let claims = verified.claims.clone().filter(|claims| claims.act.is_none());
        let claims = claims.ok_or_else(|| refused(access::unauthenticated()))?;
        Ok(Good { verified, claims })
    }

    /// The subject acts for itself.
    async fn own(
        &self,
        visitor: &Visitor,
        client: Option<Account>,
        token: String,
        target: Option<OrganizationId>,
        wish: Wish,
    ) -> Result<Given, Refused> {
        let call = &visitor.call;
        if !token.contains('.') {
            let account = self.clients.by_key(call, token).await;
            let account = account.map_err(|status| match refusal::reason(&status) {
                Some(api::access::v1::ErrorReason::SignInFailed) => {
                    Refused::new(OauthCode::InvalidRequest, access::unauthenticated())
                }
                _ => status.into(),
            })?;
            in_project(client, account.project)?;
            elsewhere(target, account.organization)?;
            return self.clients.token_for(call, account, wish).await;
        }
        let good = self.good(&token)?;
        let project = good.project().ok_or_else(unexchangeable)?;
        in_project(client, project)?;
        let client_id = client.map_or(good.claims.client_id.clone(), |client| client.id.to_string());
        match good.verified.caller {
            Caller::Member { organization, session, .. } if target.is_some_and(|target| target != organization) => {
                // One that is good for some permissions here is good for nothing elsewhere.
                let target = target.filter(|_| !good.is_limited()).ok_or_else(no_such_target)?;
                let request = ExchangeSessionRequest {
                    organization_id: target.to_string(),
                    project_id: project.to_string(),
                    source_organization_id: organization.to_string(),
                    source_session_id: session.to_string(),
                    user_agent: visitor.user_agent.clone(),
                    ip_address: visitor.address.to_string(),
                    intermediate_session_token: String::new(),
                    end_time: Some(time(good.claims.exp)),
                };
                let grant = self.remote.exchange_session(call, &good.verified.caller, request).await;
                let grant = grant.map_err(|status| match refusal::reason(&status) {
                    // They are signed in: nothing is to be hidden but what every other organization is to them.
                    Some(api::access::v1::ErrorReason::SignInFailed) => no_such_target(),
                    _ => Refused::of(OauthCode::InvalidRequest)(status),
                })?;
                self.of_grant(visitor, &grant, good.claims.exp, None, wish).await
            }
            Caller::Member { organization, .. } => {
                elsewhere(target, Some(organization))?;
                self.narrowed(visitor, &good, &token, project, client_id, wish).await
            }
            Caller::ServiceAccount { organization, .. } => {
                elsewhere(target, organization)?;
                self.narrowed(visitor, &good, &token, project, client_id, wish).await
            }
            Caller::Operator | Caller::Anonymous | Caller::Workload { .. } => Err(unexchangeable()),
        }
    }

    async fn narrowed(
        &self,
        visitor: &Visitor,
        good: &Good,
        token: &str,
        project: ProjectId,
        client_id: String,
        wish: Wish,
    ) -> Result<Given, Refused> {
        let wish = within(&good.claims.permissions, wish)?;
        let terms = self.wishes.granted(&visitor.call, &good.verified.caller, wish).await?;
        let custom = self.projects.claims_of(&visitor.call, project, &projects::payload(token)).await?;
        let permissions = terms.permissions.clone();
        let minted = self.mint.narrowed(&good.claims, client_id, Terms { custom, ..terms })?;
        Ok(Given::of(minted, permissions))
    }

    /// Somebody acts as a member.
    async fn impersonate(
        &self,
        visitor: &Visitor,
        client: Option<Account>,
        subject: Subject,
        actor_token: &str,
        target: Option<OrganizationId>,
        wish: Wish,
    ) -> Result<Given, Refused> {
        let actor = self.good(actor_token)?;
        // What it is good for is chosen, and acting as somebody is not among it.
        let project = actor.project().filter(|_| !actor.is_limited()).ok_or_else(unexchangeable)?;
        in_project(client, project)?;
        let (own_organization, by_project) = match actor.verified.caller {
            Caller::Member { organization, .. } => (Some(organization), false),
            Caller::ServiceAccount { organization, .. } => (organization, organization.is_none()),
            Caller::Operator | Caller::Anonymous | Caller::Workload { .. } => return Err(unexchangeable()),
        };
        let (member, organization, ends, permissions) = match subject {
            Subject::Token(token) => {
                let good = self.good(&token)?;
                let Caller::Member { project: of, organization, member, .. } = good.verified.caller else {
                    return Err(unexchangeable());
                };
                elsewhere(target, Some(organization))?;
                // Another project's token is no token here.
                if of != project {
                    return Err(unexchangeable());
                }
                (member, organization, good.claims.exp.min(actor.claims.exp), good.claims.permissions)
            }
            Subject::Member(member) => {
                let organization = target.or(own_organization).ok_or_else(|| {
                    access::invalid_field("organization_id", "must name the organization that the member is in")
                })?;
                (member, organization, actor.claims.exp, Vec::new())
            }
        };
        if own_organization.is_some_and(|own| own != organization) {
            return Err(no_such_target());
        }
        let ends = ends.min(now() + LIFETIME.as_secs());
        let request = ImpersonateMemberRequest {
            organization_id: organization.to_string(),
            project_id: project.to_string(),
            member_id: member.to_string(),
            impersonator_is_project: by_project,
            end_time: Some(time(ends)),
            user_agent: visitor.user_agent.clone(),
            ip_address: visitor.address.to_string(),
        };
        let grant = self.remote.impersonate_member(&visitor.call, &actor.verified.caller, request).await;
        let grant = grant.map_err(Refused::of(OauthCode::InvalidRequest))?;
        let of = match actor.verified.caller {
            Caller::ServiceAccount { organization, .. } => organization.map(|organization| organization.to_string()),
            _ => None,
        };
        let act = ActClaims { sub: actor.claims.sub, sid: actor.claims.sid.unwrap_or_default(), org_id: of };
        let wish = within(&permissions, wish)?;
        self.of_grant(visitor, &grant, ends, Some(act), wish).await
    }

    /// The token of a session that was just begun for it, and that nobody can refresh.
    async fn of_grant(
        &self,
        visitor: &Visitor,
        grant: &SessionGrant,
        ends: u64,
        act: Option<ActClaims>,
        wish: Wish,
    ) -> Result<Given, Refused> {
        // Asked for where somebody can give it: a token exchange has nobody to ask.
        if grant.second_factor_required.is_some() {
            return Err(Refused::of(OauthCode::InvalidRequest)(refusal::second_factor_missing()));
        }
        let caller = caller_of(grant).ok_or_else(|| refusal::incomplete("a session's grant"))?;
        let terms = self.wishes.granted(&visitor.call, &caller, wish).await?;
        let custom = self.projects.claims(&visitor.call, grant).await?;
        let permissions = terms.permissions.clone();
        let terms = Terms { not_after: Some(ends), act, custom, ..terms };
        Ok(Given::of(self.mint.member(grant, terms)?, permissions))
    }
}

fn caller_of(grant: &SessionGrant) -> Option<Caller> {
    let session = grant.session.as_ref()?;
    Some(Caller::Member {
        project: grant.project_id.parse().ok()?,
        organization: session.organization_id.parse().ok()?,
        member: session.member_id.parse().ok()?,
        session: session.session_id.parse().ok()?,
        impersonator: None,
    })
}

/// What a token that is good for some permissions can be exchanged for: some of them, all of them where none are named.
fn within(held: &[String], wish: Wish) -> Result<Wish, Refused> {
    if held.is_empty() {
        return Ok(wish);
    }
    if let Some(more) = wish.permissions.iter().find(|asked| !held.contains(asked)) {
        return Err(Refused::new(OauthCode::InvalidScope, not_held(more)));
    }
    let permissions = if wish.permissions.is_empty() { held.to_vec() } else { wish.permissions };
    Ok(Wish { permissions, ..wish })
}

/// A client asks in its own project: what belongs to another is nothing to it.
fn in_project(client: Option<Account>, project: ProjectId) -> Result<(), Refused> {
    if client.is_some_and(|client| client.project != project) { Err(unexchangeable()) } else { Ok(()) }
}

fn elsewhere(target: Option<OrganizationId>, own: Option<OrganizationId>) -> Result<(), Refused> {
    if target.is_some() && target != own { Err(no_such_target()) } else { Ok(()) }
}

fn unexchangeable() -> Refused {
    Refused::new(OauthCode::InvalidRequest, access::unauthenticated())
}

fn no_such_target() -> Refused {
    Refused::new(OauthCode::InvalidTarget, refusal::no_such_organization())
}

fn time(seconds: u64) -> Timestamp {
    Timestamp { seconds: seconds.try_into().unwrap_or(i64::MAX), nanos: 0 }
}
