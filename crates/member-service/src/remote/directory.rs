//! What org-service says of an organization.

use std::collections::BTreeMap;

use access::Service;
use api::{
    access::v1::ErrorReason,
    org::v1::{
        AuthMethod, AuthMethodsPolicy, EmailInvitesPolicy, EmailJitProvisioningPolicy, FoundOrganizationRequest,
        MfaMethod, MfaPolicy, OrganizationKind, OrganizationSettings, OrganizationState, PromoteOrganizationRequest,
        ResolveEmailDomainRequest, ResolveOrganizationRequest, SsoJitProvisioningPolicy,
    },
};
use futures::FutureExt as _;
use tenancy::{OrganizationId, OrganizationScope, ProjectId};
use time::Duration;
use tonic::Status;
use tonic_types::{FieldViolation, StatusExt};

use super::{Asker, Remote, RemoteError, found};
use crate::model::{
    Brand, EmailAddress, EmailInvites, FoundedKind, Founding, Limits, Policy, SecondFactor, SessionLimits,
    SignInMethod, SignInPolicy, SsoJitProvisioning,
};

/// An organization, as org-service says now.
#[derive(Debug, Clone)]
pub struct OrganizationEntry {
    pub slug: String,
    pub brand: Brand,
    pub is_personal: bool,
    /// What is in force, wherever it comes from.
    pub policy: Policy,
    pub limits: Limits,
}

impl Remote {
    pub async fn organization(
        &self,
        asker: Asker<'_>,
        organization: OrganizationId,
    ) -> Result<Option<OrganizationEntry>, RemoteError> {
        let message = ResolveOrganizationRequest { organization_id: organization.to_string() };
        let request = self.to(asker, Service::Org, message)?;
        Ok(found(self.directory.clone().resolve_organization(request).boxed().await)?.map(entry))
    }

    /// How long sessions of an organization last. As of a moment ago at most: a refresh asks, and there are many of them.
    pub async fn session_limits(
        &self,
        asker: Asker<'_>,
        organization: OrganizationId,
    ) -> Result<Option<SessionLimits>, RemoteError> {
        if let Some(limits) = self.session_limits.get(&organization) {
            return Ok(Some(limits));
        }
        let Some(entry) = self.organization(asker, organization).await? else { return Ok(None) };
        self.session_limits.insert(organization, entry.policy.session);
        Ok(Some(entry.policy.session))
    }

    /// The active organization of a project that has verified the domain of an address, with what it says.
    pub async fn owner_of_domain(
        &self,
        asker: Asker<'_>,
        project: ProjectId,
        address: &EmailAddress,
    ) -> Result<Option<(OrganizationId, OrganizationEntry)>, RemoteError> {
        let message =
            ResolveEmailDomainRequest { project_id: project.to_string(), domain: address.domain().to_owned() };
        let request = self.to(asker, Service::Org, message)?;
        let owner = match found(self.directory.clone().resolve_email_domain(request).boxed().await) {
            Ok(owner) => owner,
            // Such as a single label or a name too long: no domain that anybody could verify.
            Err(error) if error.has(ErrorReason::InvalidFields) => None,
            Err(error) => return Err(error),
        };
        let Some(owner) = owner.filter(|entry| entry.state() == OrganizationState::Active) else { return Ok(None) };
        let id = owner.organization_id.parse();
        let id = id.map_err(|_| RemoteError::inconsistent("org-service named no organization"))?;
        Ok(Some((id, entry(owner))))
    }

    /// Makes the organization of somebody who signs up, or finds it made.
    pub async fn found(
        &self,
        asker: Asker<'_>,
        project: ProjectId,
        founding: &Founding,
    ) -> Result<OrganizationEntry, RemoteError> {
        let kind = match founding.plan.kind {
            None => OrganizationKind::Unspecified,
            Some(FoundedKind::Personal) => OrganizationKind::Personal,
            Some(FoundedKind::Team) => OrganizationKind::Team,
        };
        let message = FoundOrganizationRequest {
            organization_id: founding.organization_id.to_string(),
            project_id: project.to_string(),
            display_name: founding.plan.display_name.clone(),
            slug: founding.plan.slug.clone(),
            kind: kind.into(),
            person_name: founding.called(),
        };
        let request = self.to(asker, Service::Org, message)?;
        let founded = self.directory.clone().found_organization(request).boxed().await.map_err(of_founding)?;
        Ok(entry(founded.into_inner()))
    }

    /// Has a PERSONAL organization become a TEAM.
    pub async fn promote(&self, asker: Asker<'_>, scope: OrganizationScope) -> Result<(), RemoteError> {
        let message = PromoteOrganizationRequest {
            organization_id: scope.organization_id().to_string(),
            project_id: scope.project_id().to_string(),
        };
        let request = self.to(asker, Service::Org, message)?;
        Ok(self.directory.clone().promote_organization(request).boxed().await.map(drop)?)
    }
}

/// A refusal of a founding, its fields named as in the sign-up.
fn of_founding(status: Status) -> RemoteError {
    let mut details = status.get_error_details();
    let Some(bad) = details.bad_request().cloned() else { return status.into() };
    let renamed = bad.field_violations.into_iter().map(|violation| {
        let field = match violation.field.as_str() {
            "display_name" | "slug" | "kind" => format!("organization_{}", violation.field),
            "person_name" => "display_name".to_owned(),
            _ => violation.field,
        };
        FieldViolation { field, ..violation }
    });
    details.set_bad_request(renamed.collect::<Vec<_>>());
    Status::with_error_details(status.code(), status.message(), details).into()
}

fn entry(entry: api::org::v1::OrganizationEntry) -> OrganizationEntry {
    let (limits, branding) = (entry.limits.unwrap_or_default(), entry.branding.clone().unwrap_or_default());
    OrganizationEntry {
        is_personal: entry.kind() == OrganizationKind::Personal,
        slug: entry.slug,
        brand: Brand {
            organization: entry.display_name,
            sender_name: branding.sender_name,
            logo_uri: branding.logo_uri,
            primary_color: branding.primary_color,
        },
        policy: policy(entry.settings.unwrap_or_default()),
        limits: Limits {
            max_members: limits.max_members.map(i64::from),
            max_pending_invitations: limits.max_pending_invitations.map(i64::from),
            max_service_accounts: limits.max_service_accounts.map(i64::from),
        },
    }
}

fn policy(settings: OrganizationSettings) -> Policy {
    let email_invites = match settings.email_invites() {
        EmailInvitesPolicy::Unspecified | EmailInvitesPolicy::AllAllowed => EmailInvites::AllAllowed,
        EmailInvitesPolicy::Restricted => EmailInvites::Restricted,
        EmailInvitesPolicy::NotAllowed => EmailInvites::NotAllowed,
    };
    let domain_roles: BTreeMap<String, Vec<String>> =
        settings.domain_role_ids.iter().map(|(domain, roles)| (domain.clone(), roles.role_ids.clone())).collect();
    Policy {
        email_invites,
        sign_in: sign_in_policy(&settings),
        session: session_limits(&settings),
        email_jit_provisioning: settings.email_jit_provisioning() == EmailJitProvisioningPolicy::Restricted,
        sso_jit_provisioning: match settings.sso_jit_provisioning() {
            SsoJitProvisioningPolicy::AllAllowed => SsoJitProvisioning::AllAllowed,
            SsoJitProvisioningPolicy::Restricted => SsoJitProvisioning::Restricted,
            SsoJitProvisioningPolicy::Unspecified | SsoJitProvisioningPolicy::NotAllowed => {
                SsoJitProvisioning::NotAllowed
            }
        },
        allowed_email_domains: settings.allowed_email_domains,
        jit_roles: settings.jit_role_ids,
        domain_roles,
    }
}

/// Whole seconds, within bounds that org-service keeps.
fn session_limits(settings: &OrganizationSettings) -> SessionLimits {
    let usual = SessionLimits::default();
    let seconds = |given: &Option<prost_types::Duration>, usual| {
        given.as_ref().filter(|given| given.seconds > 0).map_or(usual, |given| Duration::seconds(given.seconds))
    };
    let lifetime = seconds(&settings.session_lifetime, usual.lifetime);
    SessionLimits { lifetime, idle_timeout: seconds(&settings.session_idle_timeout, usual.idle_timeout).min(lifetime) }
}

fn sign_in_policy(settings: &OrganizationSettings) -> SignInPolicy {
    let allowed = settings.allowed_auth_methods().filter_map(|method| match method {
        AuthMethod::Unspecified => None,
        AuthMethod::Password => Some(SignInMethod::Password),
        AuthMethod::EmailCode => Some(SignInMethod::EmailCode),
        AuthMethod::MagicLink => Some(SignInMethod::MagicLink),
        AuthMethod::Sso => Some(SignInMethod::Sso),
        AuthMethod::Social => Some(SignInMethod::Social),
        AuthMethod::Passkey => Some(SignInMethod::Passkey),
    });
    let second_factors = settings.allowed_mfa_methods().filter_map(|method| match method {
        MfaMethod::Unspecified => None,
        MfaMethod::Totp => Some(SecondFactor::Totp),
        MfaMethod::Passkey => Some(SecondFactor::Passkey),
    });
    SignInPolicy {
        allowed: (settings.auth_methods() == AuthMethodsPolicy::Restricted).then(|| allowed.collect()),
        needs_second_factor: settings.mfa_policy() == MfaPolicy::RequiredForAll,
        second_factors: second_factors.collect(),
    }
}
