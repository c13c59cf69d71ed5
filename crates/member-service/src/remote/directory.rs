//! What org-service says of an organization.

use std::collections::BTreeMap;

use access::Service;
use api::org::v1::{
    EmailInvitesPolicy, EmailJitProvisioningPolicy, OrganizationKind, OrganizationSettings, PromoteOrganizationRequest,
    ResolveOrganizationRequest,
};
use tenancy::{OrganizationId, OrganizationScope};

use super::{Asker, Remote, RemoteError, found};
use crate::model::{Brand, EmailInvites, Limits, Policy};

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
        let Some(entry) = found(self.directory.clone().resolve_organization(request).await)? else { return Ok(None) };
        let (limits, branding) = (entry.limits.unwrap_or_default(), entry.branding.clone().unwrap_or_default());
        Ok(Some(OrganizationEntry {
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
        }))
    }

    /// Has a PERSONAL organization become a TEAM.
    pub async fn promote(&self, asker: Asker<'_>, scope: OrganizationScope) -> Result<(), RemoteError> {
        let message = PromoteOrganizationRequest {
            organization_id: scope.organization_id().to_string(),
            project_id: scope.project_id().to_string(),
        };
        let request = self.to(asker, Service::Org, message)?;
        Ok(self.directory.clone().promote_organization(request).await.map(drop)?)
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
        email_jit_provisioning: settings.email_jit_provisioning() == EmailJitProvisioningPolicy::Restricted,
        allowed_email_domains: settings.allowed_email_domains,
        jit_roles: settings.jit_role_ids,
        domain_roles,
    }
}
