//! Where a person may go in a project, in the order of the organizations' creation.

use sqlx::PgConnection;
use tenancy::{IdentityId, InvitationId, MemberId, OrganizationId, ProjectId, StoreError};
use uuid::Uuid;

use crate::model::{EmailAddress, Entrance};

/// Where they are an active member.
pub async fn of_member(
    connection: &mut PgConnection,
    project: ProjectId,
    identity: IdentityId,
    after: Option<OrganizationId>,
    limit: i64,
) -> Result<Vec<Entrance>, StoreError> {
    let rows = sqlx::query!(
        "select m.organization_id, m.member_id
         from member m join head h on h.organization_id = m.organization_id
         where m.project_id = $1 and m.identity_id = $2 and ($3::uuid is null or m.organization_id > $3)
             and m.state = 'ACTIVE' and h.state = 'ACTIVE'
         order by m.organization_id limit $4",
        project.uuid(),
        identity.uuid(),
        after.map(OrganizationId::uuid),
        limit
    )
    .fetch_all(connection)
    .await?;
    let entrance = |organization: Uuid, member: Uuid| {
        Entrance::Member(OrganizationId::from_uuid(organization), MemberId::from_uuid(member))
    };
    Ok(rows.into_iter().map(|row| entrance(row.organization_id, row.member_id)).collect())
}

/// Where an invitation waits for the address, and the person is no member, active or not.
pub async fn of_invited(
    connection: &mut PgConnection,
    project: ProjectId,
    address: &EmailAddress,
    after: Option<OrganizationId>,
    limit: i64,
) -> Result<Vec<Entrance>, StoreError> {
    let rows = sqlx::query!(
        "select i.organization_id, i.invitation_id
         from invitation i join head h on h.organization_id = i.organization_id
         where i.project_id = $1 and i.email_address = $2 and ($3::uuid is null or i.organization_id > $3)
             and i.state = 'PENDING' and i.expire_time > now() and h.state = 'ACTIVE'
             and not exists (select 1 from member m where m.organization_id = i.organization_id and m.email_address = $2)
         order by i.organization_id limit $4",
        project.uuid(),
        address.as_str(),
        after.map(OrganizationId::uuid),
        limit
    )
    .fetch_all(connection)
    .await?;
    let entrance = |organization: Uuid, invitation: Uuid| {
        Entrance::Invited(OrganizationId::from_uuid(organization), InvitationId::from_uuid(invitation))
    };
    Ok(rows.into_iter().map(|row| entrance(row.organization_id, row.invitation_id)).collect())
}
