//! Invitations.

use sqlx::PgConnection;
use tenancy::{
    InvitationId, MemberId, OrganizationId, OrganizationScope, RoleId, StoreError, constraint,
    page::{Listed, Page},
    secret::SecretHash,
};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::model::{EmailAddress, Invitation, InvitationMessage, InvitationState};

struct Row {
    organization_id: Uuid,
    invitation_id: Uuid,
    email_address: String,
    role_ids: Vec<Uuid>,
    inviter: String,
    inviter_is_project: bool,
    state: String,
    expire_time: OffsetDateTime,
    message: String,
    member_id: Option<Uuid>,
    sends: i32,
    send_time: OffsetDateTime,
    revision: i64,
    create_time: OffsetDateTime,
    update_time: OffsetDateTime,
}

impl TryFrom<Row> for Invitation {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            invitation_id: InvitationId::from_uuid(row.invitation_id),
            organization_id: OrganizationId::from_uuid(row.organization_id),
            email_address: EmailAddress::stored(row.email_address),
            role_ids: row.role_ids.into_iter().map(RoleId::from_uuid).collect(),
            inviter: row.inviter,
            inviter_is_project: row.inviter_is_project,
            state: InvitationState::from_word(&row.state).ok_or(StoreError::Corrupt("invitation.state"))?,
            expire_time: row.expire_time,
            message: InvitationMessage::stored(row.message),
            member_id: row.member_id.map(MemberId::from_uuid),
            sends: row.sends,
            send_time: row.send_time,
            revision: row.revision,
            create_time: row.create_time,
            update_time: row.update_time,
        })
    }
}

pub async fn find(
    connection: &mut PgConnection,
    organization: OrganizationId,
    invitation: InvitationId,
) -> Result<Option<Invitation>, StoreError> {
    sqlx::query_as!(
        Row,
        "select organization_id, invitation_id, email_address, role_ids, inviter, inviter_is_project, state, expire_time, message,
             member_id, sends, send_time, revision, create_time, update_time
         from invitation where organization_id = $1 and invitation_id = $2",
        organization.uuid(),
        invitation.uuid()
    )
    .fetch_optional(connection)
    .await?
    .map(Invitation::try_from)
    .transpose()
}

/// The invitation, if this is its secret.
pub async fn open(
    connection: &mut PgConnection,
    organization: OrganizationId,
    invitation: InvitationId,
    secret: &SecretHash,
) -> Result<Option<Invitation>, StoreError> {
    let stored = sqlx::query_scalar!(
        "select secret_hash from invitation where organization_id = $1 and invitation_id = $2",
        organization.uuid(),
        invitation.uuid()
    )
    .fetch_optional(&mut *connection)
    .await?;
    match stored {
        Some(hash) if secret.matches(&hash) => find(connection, organization, invitation).await,
        _ => Ok(None),
    }
}

/// The one that waits for an address.
pub async fn pending_for(
    connection: &mut PgConnection,
    organization: OrganizationId,
    address: &EmailAddress,
) -> Result<Option<Invitation>, StoreError> {
    sqlx::query_as!(
        Row,
        "select organization_id, invitation_id, email_address, role_ids, inviter, inviter_is_project, state, expire_time, message,
             member_id, sends, send_time, revision, create_time, update_time
         from invitation where organization_id = $1 and email_address = $2 and state = 'PENDING' and expire_time > now()",
        organization.uuid(),
        address.as_str()
    )
    .fetch_optional(connection)
    .await?
    .map(Invitation::try_from)
    .transpose()
}

/// As the contract's states go: expiry is told from the clock.
pub async fn list(
    connection: &mut PgConnection,
    organization: OrganizationId,
    state: Option<InvitationState>,
    page: &Page<InvitationId>,
) -> Result<Listed<Invitation, InvitationId>, StoreError> {
    let rows = sqlx::query_as!(
        Row,
        "select organization_id, invitation_id, email_address, role_ids, inviter, inviter_is_project, state, expire_time, message,
             member_id, sends, send_time, revision, create_time, update_time
         from invitation
         where organization_id = $1 and ($2::uuid is null or invitation_id > $2)
             and ($3::text is null
                 or $3 = case when state = 'PENDING' and expire_time <= now() then 'EXPIRED' else state end)
         order by invitation_id limit $4",
        organization.uuid(),
        page.after.map(InvitationId::uuid),
        state.map(InvitationState::as_str),
        page.size + 1
    )
    .fetch_all(connection)
    .await?;
    let invitations = rows.into_iter().map(Invitation::try_from).collect::<Result<Vec<_>, _>>()?;
    Ok(Listed::from_rows(invitations, page.size, |invitation| invitation.invitation_id))
}

/// Writes down what the clock has told of an address: an invitation that has expired holds its place no longer.
async fn lapse(
    connection: &mut PgConnection,
    organization: OrganizationId,
    address: &EmailAddress,
) -> Result<(), StoreError> {
    sqlx::query!(
        "update invitation set state = 'EXPIRED'
         where organization_id = $1 and email_address = $2 and state = 'PENDING' and expire_time <= now()",
        organization.uuid(),
        address.as_str()
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// False where a pending invitation for the address exists. One that has expired makes room.
pub async fn insert(
    connection: &mut PgConnection,
    scope: OrganizationScope,
    invitation: &Invitation,
    secret: &SecretHash,
) -> Result<bool, StoreError> {
    let organization = scope.organization_id().uuid();
    lapse(&mut *connection, scope.organization_id(), &invitation.email_address).await?;
    let inserted = sqlx::query!(
        "insert into invitation (organization_id, project_id, invitation_id, email_address, role_ids, inviter, inviter_is_project,
             expire_time, message, secret_hash, sends, send_time, revision, create_time, update_time)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
        organization,
        scope.project_id().uuid(),
        invitation.invitation_id.uuid(),
        invitation.email_address.as_str(),
        &invitation.role_ids.iter().map(|id| id.uuid()).collect::<Vec<_>>(),
        invitation.inviter,
        invitation.inviter_is_project,
        invitation.expire_time,
        invitation.message.as_str(),
        secret.as_bytes(),
        invitation.sends,
        invitation.send_time,
        invitation.revision,
        invitation.create_time,
        invitation.update_time
    )
    .execute(connection)
    .await;
    match inserted {
        Ok(_) => Ok(true),
        Err(error) if constraint(&error) == Some("invitation_pending_key") => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Those that wait for any of the addresses.
pub async fn pending_of(
    connection: &mut PgConnection,
    organization: OrganizationId,
    addresses: &[&EmailAddress],
) -> Result<Vec<Invitation>, StoreError> {
    let rows = sqlx::query_as!(
        Row,
        "select organization_id, invitation_id, email_address, role_ids, inviter, inviter_is_project, state, expire_time, message,
             member_id, sends, send_time, revision, create_time, update_time
         from invitation
         where organization_id = $1 and email_address = any ($2) and state = 'PENDING' and expire_time > now()",
        organization.uuid(),
        &addresses.iter().map(|address| address.as_str().to_owned()).collect::<Vec<_>>()
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(Invitation::try_from).collect()
}

/// Makes it pending again with another secret: the old one opens nothing any more. False where a newer invitation for the address is
/// pending.
pub async fn renew(
    connection: &mut PgConnection,
    invitation: &Invitation,
    secret: &SecretHash,
) -> Result<bool, StoreError> {
    lapse(&mut *connection, invitation.organization_id, &invitation.email_address).await?;
    let renewed = sqlx::query!(
        "update invitation set state = 'PENDING', expire_time = $3, secret_hash = $4, sends = $5, send_time = $6, revision = $7,
             update_time = $8
         where organization_id = $1 and invitation_id = $2",
        invitation.organization_id.uuid(),
        invitation.invitation_id.uuid(),
        invitation.expire_time,
        secret.as_bytes(),
        invitation.sends,
        invitation.send_time,
        invitation.revision,
        invitation.update_time
    )
    .execute(connection)
    .await;
    match renewed {
        Ok(_) => Ok(true),
        Err(error) if constraint(&error) == Some("invitation_pending_key") => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Leaves PENDING for another state: the one statement that decides who was first. None where it is pending no more, or by another
/// secret than was presented.
pub async fn settle(
    connection: &mut PgConnection,
    invitation: &Invitation,
    presented: Option<&SecretHash>,
    state: InvitationState,
    member: Option<MemberId>,
    revision: i64,
    now: OffsetDateTime,
) -> Result<Option<Invitation>, StoreError> {
    sqlx::query_as!(
        Row,
        "update invitation set state = $3, member_id = $4, revision = $5, update_time = $6
         where organization_id = $1 and invitation_id = $2 and state = 'PENDING' and expire_time > now()
             and ($7::bytea is null or secret_hash = $7)
         returning organization_id, invitation_id, email_address, role_ids, inviter, inviter_is_project, state, expire_time, message,
             member_id, sends, send_time, revision, create_time, update_time",
        invitation.organization_id.uuid(),
        invitation.invitation_id.uuid(),
        state.as_str(),
        member.map(MemberId::uuid),
        revision,
        now,
        presented.map(SecretHash::as_bytes)
    )
    .fetch_optional(connection)
    .await?
    .map(Invitation::try_from)
    .transpose()
}
