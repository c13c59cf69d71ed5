//! Many small organizations, as a platform has them: ten members each, and three bindings of each member.

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use sqlx::PgConnection;
use uuid::Uuid;

use super::copy::{Copy, NULL};
use super::{crowd, id};
use crate::Failure;

pub const MEMBERS: usize = 10;
/// What the bindings are at.
pub const TYPE: &str = "document";
const BINDINGS: usize = 3;
/// Written in one transaction of each table.
const AT_ONCE: usize = 20_000;
const NOW: &str = "2026-01-01 00:00:00+00";

/// What is there of one of them, made up anew whenever it is asked for.
#[derive(Debug, Clone, Copy)]
pub struct House {
    seed: u64,
    number: usize,
    pub organization: Uuid,
}

#[derive(Clone, Copy)]
enum Kind {
    Identity = 1,
    Member,
    Role,
    Binding,
}

impl House {
    fn thing(&self, kind: Kind, of: usize, at: usize) -> Uuid {
        let n = self.number * of + at;
        let mut rng = StdRng::seed_from_u64(self.seed ^ (kind as u64) << 56 ^ n as u64);
        id::nth(&mut rng, n)
    }

    pub fn member(&self, at: usize) -> Uuid {
        self.thing(Kind::Member, MEMBERS, at)
    }

    fn identity(&self, at: usize) -> Uuid {
        self.thing(Kind::Identity, MEMBERS, at)
    }

    pub fn role(&self) -> Uuid {
        self.thing(Kind::Role, 1, 0)
    }

    fn binding(&self, member: usize, at: usize) -> Uuid {
        self.thing(Kind::Binding, MEMBERS * BINDINGS, member * BINDINGS + at)
    }

    /// What the member may read, by its id.
    pub fn document(member: usize, at: usize) -> String {
        format!("document-{member}-{at}")
    }

    fn address(&self, at: usize) -> String {
        format!("person-{:07}-{at}@town-{}.test", self.number, self.seed)
    }
}

/// Builds so many houses, and says what they are. No two of one project may have the same seed.
pub async fn build(
    database: &mut PgConnection,
    project: Uuid,
    seed: u64,
    count: usize,
    mut progress: impl FnMut(usize),
) -> Result<Vec<House>, Failure> {
    let ids = crowd::organizations(database, project, seed, count).await?;
    let houses: Vec<House> =
        ids.into_iter().enumerate().map(|(number, organization)| House { seed, number, organization }).collect();
    for begin in (0..count).step_by(AT_ONCE) {
        progress(begin);
        some(database, project, &houses[begin..count.min(begin + AT_ONCE)]).await?;
    }
    Ok(houses)
}

async fn some(database: &mut PgConnection, project: Uuid, houses: &[House]) -> Result<(), Failure> {
    let everybody = || houses.iter().flat_map(|house| (0..MEMBERS).map(move |at| (house, at)));
    let columns =
        "(organization_id, project_id, identity_id, email_address, display_name, revision, create_time, update_time)";
    let mut rows = Copy::into(database, &format!("member.identity {columns}")).await?;
    for (house, at) in everybody() {
        rows.row(&[&project, &project, &house.identity(at), &house.address(at), &"Somebody", &0, &NOW, &NOW]).await?;
    }
    rows.finish().await?;

    let columns = "(organization_id, project_id, member_id, identity_id, email_address, display_name, external_id, revision, \
         create_time, update_time)";
    let mut rows = Copy::into(database, &format!("member.member {columns}")).await?;
    for (house, at) in everybody() {
        let (member, identity) = (house.member(at), house.identity(at));
        let address = house.address(at);
        rows.row(&[&house.organization, &project, &member, &identity, &address, &"Somebody", &NULL, &0, &NOW, &NOW])
            .await?;
    }
    rows.finish().await?;

    let columns = "(organization_id, project_id, subject_kind, subject_id, status, member_revision, create_time, update_time, revision)";
    let mut rows = Copy::into(database, &format!("authz.subject_state {columns}")).await?;
    for (house, at) in everybody() {
        rows.row(&[&house.organization, &project, &"MEMBER", &house.member(at), &"ACTIVE", &0, &NOW, &NOW, &0]).await?;
    }
    rows.finish().await?;

    let columns = "(organization_id, project_id, role_id, key, display_name, description, permissions, included_role_ids, \
         create_time, update_time, revision)";
    let mut rows = Copy::into(database, &format!("authz.role {columns}")).await?;
    for house in houses {
        let permissions = "{\"document:read\"}";
        rows.row(&[
            &house.organization,
            &project,
            &house.role(),
            &"reader",
            &"Reader",
            &"",
            &permissions,
            &"{}",
            &NOW,
            &NOW,
            &0,
        ])
        .await?;
    }
    rows.finish().await?;

    let columns = "(organization_id, project_id, binding_id, subject_kind, subject_id, role_id, resource_type, resource_id, effect, \
         source, create_time, update_time, revision)";
    let mut rows = Copy::into(database, &format!("authz.binding {columns}")).await?;
    for (house, member) in everybody() {
        for at in 0..BINDINGS {
            rows.row(&[
                &house.organization,
                &project,
                &house.binding(member, at),
                &"MEMBER",
                &house.member(member),
                &house.role(),
                &TYPE,
                &House::document(member, at),
                &"ALLOW",
                &"DIRECT",
                &NOW,
                &NOW,
                &0,
            ])
            .await?;
        }
    }
    rows.finish().await?;
    Ok(())
}

/// As many as are wanted, evenly out of all.
pub fn pick(houses: &[House], most: usize) -> Vec<House> {
    houses.iter().step_by((houses.len() / most).max(1)).take(most).copied().collect()
}
