use api::member::v1 as proto;

use super::timestamp;
use crate::model::ProviderAccount;

pub fn provider_account(account: &ProviderAccount) -> proto::ProviderAccount {
    let organization = (!account.tenant_is_project).then(|| account.tenant.to_string());
    proto::ProviderAccount {
        connection_id: account.connection_id.to_string(),
        organization_id: organization.unwrap_or_default(),
        issuer: account.issuer.clone(),
        subject: account.subject.clone(),
        identity_id: account.identity_id.to_string(),
        create_time: Some(timestamp(account.create_time)),
    }
}
