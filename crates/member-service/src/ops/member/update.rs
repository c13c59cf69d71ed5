//! Changing what may be written of a member.

use access::Granted;
use tenancy::{Change, MemberId, NewEvent, OrganizationScope, StoreError, event::now, mask::etag_matches};

use super::read::{ReadError, get};
use crate::{
    model::{Changes, Member, MemberWithRoles},
    ops::{Context, NotActive, active},
    remote::RemoteError,
    store::member::{self, Key, WriteError},
};

#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    #[error("no such member")]
    Unknown,
    #[error("the member changed since the etag was read")]
    EtagMismatch,
    #[error("a member of the organization has this external_id")]
    ExternalIdTaken,
    #[error(transparent)]
    NotActive(#[from] NotActive),
    #[error(transparent)]
    Remote(#[from] RemoteError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<ReadError> for UpdateError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Unknown => Self::Unknown,
            ReadError::Remote(error) => Self::Remote(error),
            ReadError::Store(error) => Self::Store(error),
        }
    }
}

pub async fn update(
    context: &Context,
    granted: &Granted<OrganizationScope>,
    id: MemberId,
    etag: &str,
    changes: Changes,
) -> Result<MemberWithRoles, UpdateError> {
    let organization = granted.scope.organization_id();
    let found = get(context, granted, &Key::Id(id)).await?;
    let mut tx = context.database.write(granted.scope, &granted.origin(), None).await?;
    active(tx.head().state)?;
    let before = member::find(tx.connection(), organization, &Key::Id(id)).await?.ok_or(UpdateError::Unknown)?;
    if !etag_matches(etag, before.revision) {
        return Err(UpdateError::EtagMismatch);
    }
    let mut member = before.clone();
    changes.apply(&mut member);
    if member == before {
        // Nothing is written, and the etag stays.
        return Ok(tx.commit(MemberWithRoles { member, ..found }).await?);
    }
    let member = Member { revision: tx.revision(), update_time: now(), ..member };
    member::update(tx.connection(), &member).await.map_err(|error| match error {
        // The address is not written here.
        WriteError::EmailTaken | WriteError::AddressMoved => {
            UpdateError::Store(StoreError::Corrupt("member_email_key"))
        }
        WriteError::ExternalIdTaken => UpdateError::ExternalIdTaken,
        WriteError::Store(error) => UpdateError::Store(error),
    })?;
    let ids = vec![member.member_id.to_string(), member.identity_id.to_string()];
    tx.append(NewEvent::new("member.updated", ids, &Change::updated(before, member.clone())));
    Ok(tx.commit(MemberWithRoles { member, ..found }).await?)
}
