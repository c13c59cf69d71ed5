//! The payloads of this service's events, from their stored form to the contract's.

use api::event::v1::{
    ApiKeyChange, IdentityChange, InvitationChange, MemberChange, ProviderAccountChange, ServiceAccountChange,
    SessionChange, event::Payload,
};
use serde::de::DeserializeOwned;
use tenancy::Change;

use super::convert;
use crate::model;

/// None for a kind that is not ours, or a payload that no longer reads.
pub fn payload(kind: &str, json: &str) -> Option<Payload> {
    match kind.split('.').next()? {
        "identity" => {
            let (before, after) = change(json, convert::identity)?;
            Some(Payload::Identity(IdentityChange { before, after }))
        }
        "member" => {
            let (before, after) = change(json, convert::member_alone)?;
            Some(Payload::Member(MemberChange { before, after }))
        }
        "invitation" => {
            let (before, after) = change(json, convert::stored_invitation)?;
            Some(Payload::Invitation(InvitationChange { before, after }))
        }
        "session" => {
            let change: model::SessionChange = serde_json::from_str(json).ok()?;
            Some(Payload::Session(SessionChange {
                before: change.before.as_ref().map(convert::session),
                after: change.after.as_ref().map(convert::session),
                end_reason: change.end_reason.map(convert::end_reason).unwrap_or_default().into(),
            }))
        }
        "service_account" => {
            let (before, after) = change(json, convert::service_account)?;
            Some(Payload::ServiceAccount(ServiceAccountChange { before, after }))
        }
        "provider_account" => {
            let (before, after) = change(json, convert::provider_account)?;
            Some(Payload::ProviderAccount(ProviderAccountChange { before, after }))
        }
        "api_key" => {
            let (before, after) = change(json, convert::api_key)?;
            Some(Payload::ApiKey(ApiKeyChange { before, after }))
        }
        "access_token" => {
            let revocation: model::TokenRevocation = serde_json::from_str(json).ok()?;
            Some(Payload::AccessTokenRevocation(convert::token_revocation(&revocation)))
        }
        _ => None,
    }
}

fn change<M: DeserializeOwned, T>(json: &str, convert: impl Fn(&M) -> T) -> Option<(Option<T>, Option<T>)> {
    let change: Change<M> = serde_json::from_str(json).ok()?;
    Some((change.before.as_ref().map(&convert), change.after.as_ref().map(&convert)))
}
