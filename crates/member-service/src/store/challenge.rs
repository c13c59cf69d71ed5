//! Emailed codes under way.

use access::Tenant;
use sqlx::PgConnection;
use tenancy::{
    ChallengeId, IdentityId, OrganizationId, ProjectId, ProjectScope, StoreError,
    secret::{Presented, SecretHash},
};
use time::OffsetDateTime;

use crate::model::{AddressTag, EmailAddress};

#[derive(Debug)]
pub struct NewChallenge {
    pub challenge_id: ChallengeId,
    pub address_tag: AddressTag,
    pub identity_id: Option<IdentityId>,
    /// None: nobody gets a mail.
    pub email_address: Option<EmailAddress>,
    /// At least one of the two.
    pub code_tag: Option<[u8; 32]>,
    pub link: Option<SecretHash>,
    pub expire_time: OffsetDateTime,
}

/// Ends the challenge that the address has under this tenant, and begins another.
pub async fn replace(connection: &mut PgConnection, tenant: Tenant, new: &NewChallenge) -> Result<(), StoreError> {
    sqlx::query!(
        "with ended as (delete from challenge where organization_id = $1 and address_tag = $4)
         insert into challenge (organization_id, project_id, challenge_id, address_tag, identity_id, email_address, code_tag,
             link_hash, expire_time)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        tenant.key().uuid(),
        tenant.project_id().uuid(),
        new.challenge_id.uuid(),
        &new.address_tag.0,
        new.identity_id.map(IdentityId::uuid),
        new.email_address.as_ref().map(EmailAddress::as_str),
        new.code_tag.as_ref().map(<[u8; 32]>::as_slice),
        new.link.as_ref().map(SecretHash::as_bytes),
        new.expire_time
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A challenge with one of its tries taken.
#[derive(Debug)]
pub struct Tried {
    /// The organization to be entered; the project's own key where none was named.
    pub tenant: OrganizationId,
    pub address_tag: AddressTag,
    pub identity_id: Option<IdentityId>,
    /// None: nobody got a mail.
    pub email_address: Option<EmailAddress>,
    /// None: the mail had no code.
    pub code_tag: Option<Vec<u8>>,
}

/// Takes one of the tries. The row stays locked until the transaction ends: of two right answers at once, one finds nothing left.
pub async fn take_try(
    connection: &mut PgConnection,
    project: ProjectScope,
    challenge: ChallengeId,
    most: i32,
) -> Result<Option<Tried>, StoreError> {
    let row = sqlx::query!(
        "update challenge set tries = tries + 1
         where project_id = $1 and challenge_id = $2 and tries < $3 and expire_time > now()
         returning organization_id, address_tag, identity_id, email_address, code_tag",
        project.project_id().uuid(),
        challenge.uuid(),
        most
    )
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Tried {
        tenant: OrganizationId::from_uuid(row.organization_id),
        address_tag: AddressTag(row.address_tag.try_into().map_err(|_| StoreError::Corrupt("challenge.address_tag"))?),
        identity_id: row.identity_id.map(IdentityId::from_uuid),
        email_address: row.email_address.map(EmailAddress::stored),
        code_tag: row.code_tag,
    }))
}

/// Uses up the challenge whose link it is: the one statement that decides who was first.
pub async fn follow(
    connection: &mut PgConnection,
    project: ProjectScope,
    presented: &Presented,
    most: i32,
) -> Result<Option<Tried>, StoreError> {
    let row = sqlx::query!(
        "delete from challenge
         where project_id = $1 and organization_id = $2 and challenge_id = $3 and link_hash = $4 and tries < $5 and expire_time > now()
         returning organization_id, address_tag, identity_id, email_address, code_tag",
        project.project_id().uuid(),
        presented.tenant,
        presented.id,
        presented.hash.as_bytes(),
        most
    )
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Tried {
        tenant: OrganizationId::from_uuid(row.organization_id),
        address_tag: AddressTag(row.address_tag.try_into().map_err(|_| StoreError::Corrupt("challenge.address_tag"))?),
        identity_id: row.identity_id.map(IdentityId::from_uuid),
        email_address: row.email_address.map(EmailAddress::stored),
        code_tag: row.code_tag,
    }))
}

pub async fn end(
    connection: &mut PgConnection,
    tenant: OrganizationId,
    challenge: ChallengeId,
) -> Result<(), StoreError> {
    sqlx::query!(
        "delete from challenge where organization_id = $1 and challenge_id = $2",
        tenant.uuid(),
        challenge.uuid()
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Ends what is under way for a person at an organization.
pub async fn end_of_identity(
    connection: &mut PgConnection,
    organization: OrganizationId,
    identity: IdentityId,
) -> Result<(), StoreError> {
    sqlx::query!(
        "delete from challenge where organization_id = $1 and identity_id = $2",
        organization.uuid(),
        identity.uuid()
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Ends what is under way for a person anywhere that the transaction's scope shows.
pub async fn end_everywhere(
    connection: &mut PgConnection,
    project: ProjectId,
    identity: IdentityId,
) -> Result<(), StoreError> {
    sqlx::query!("delete from challenge where project_id = $1 and identity_id = $2", project.uuid(), identity.uuid())
        .execute(connection)
        .await?;
    Ok(())
}
