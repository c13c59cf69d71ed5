//! What has happened to an organization since a revision: for whoever carries its state along in memory.

use std::collections::{HashMap, hash_map::Entry};

use tokio::time::timeout;
use uuid::Uuid;

use crate::{AsOf, Database, Head, Moment, OrganizationId, OrganizationScope, StoreError, head::HeadRow, page};

/// One event, without what only a log needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    pub revision: i64,
    pub ordinal: i32,
    pub kind: String,
    /// None once it was erased.
    pub payload: Option<String>,
}

/// One tenant's part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    pub head: Head,
    /// All events after the revision that was asked about, in their order and up to the head. None: more than were asked for.
    pub facts: Option<Vec<Fact>>,
}

/// Both parts of an organization, as of one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Since {
    pub as_of: AsOf,
    pub organization: News,
    /// None while its project has written nothing.
    pub project: Option<News>,
}

/// The heads of an organization and of its project, with the events that came after `own` in the one and after `template` in the other, no
/// more than `most` of each and no more than a page's bytes. One statement, and so one moment: the events end where the heads stand. None
/// where there is no such organization.
pub async fn since(
    database: &Database,
    scope: OrganizationScope,
    own: i64,
    template: i64,
    most: i64,
) -> Result<Option<Since>, StoreError> {
    let moment = Moment::now();
    match timeout(database.patience(), read(database, scope, [own, template], most)).await {
        Ok(found) => {
            let Some((time, mut tenants)) = found? else { return Ok(None) };
            let as_of = AsOf { moment, time };
            let organization = tenants.remove(&scope.organization_id().uuid());
            let project = tenants.remove(&scope.project_id().uuid());
            Ok(organization.map(|organization| Since { as_of, organization, project }))
        }
        Err(_) => Err(StoreError::silent()),
    }
}

type Tenants = (time::OffsetDateTime, HashMap<Uuid, News>);

/// As in `heads`, the statement opens the wall for itself: an organization's own scope does not see its project's events.
async fn read(
    database: &Database,
    scope: OrganizationScope,
    after: [i64; 2],
    most: i64,
) -> Result<Option<Tenants>, StoreError> {
    let ids = [scope.organization_id(), scope.project_id().into()].map(OrganizationId::uuid);
    let rows = sqlx::query!(
        r#"select h.organization_id as "organization_id!", h.project_id as "project_id!", h.state as "state!",
               h.project_state, h.state_revision as "state_revision!", h.head_revision as "head_revision!", h.incarnation as "incarnation!",
               h.event_hash as "event_hash!", transaction_timestamp() as "time!",
               e.revision as "revision?", e.ordinal as "ordinal?", e.kind as "kind?", e.payload as "payload?",
               e.found as "found?", e.bytes_before as "bytes_before?"
           from (select set_config('guildhall.scope', 'cluster', true) as scope offset 0) as opened
           cross join lateral (
               select organization_id, project_id, state,
                   (select p.state from head p where p.organization_id = head.project_id) as project_state,
                   state_revision, revision as head_revision, incarnation, event_hash, asked.after
               from unnest($1::uuid[], $2::bigint[]) as asked (id, after)
                   join head on head.organization_id = asked.id
               where opened.scope = 'cluster' offset 0
           ) as h
           left join lateral (
               select revision, ordinal, kind, payload, count(*) over () as found,
                   sum(octet_length(coalesce(payload, ''))) over (order by revision, ordinal)
                       - octet_length(coalesce(payload, '')) as bytes_before
               from (
                   select revision, ordinal, kind, payload from event
                   where organization_id = h.organization_id and revision > h.after and opened.scope = 'cluster'
                   order by revision, ordinal
                   limit $3
               ) as next
           ) as e on e.bytes_before < $4
           order by h.organization_id, e.revision, e.ordinal"#,
        &ids[..],
        &after[..],
        most + 1,
        page::MAX_BYTES as i64
    )
    .fetch_all(&mut *database.pool().acquire().await?)
    .await?;
    let Some(time) = rows.first().map(|row| row.time) else { return Ok(None) };
    let mut tenants: HashMap<Uuid, (News, i64)> = HashMap::new();
    for row in rows {
        let id = row.organization_id;
        let (news, _) = match tenants.entry(id) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let head = Head::try_from(HeadRow {
                    organization_id: id,
                    project_id: row.project_id,
                    state: row.state,
                    project_state: row.project_state,
                    state_revision: row.state_revision,
                    revision: row.head_revision,
                    incarnation: row.incarnation,
                    event_hash: row.event_hash,
                })?;
                new.insert((News { head, facts: Some(Vec::new()) }, row.found.unwrap_or(0)))
            }
        };
        if let Some(facts) = &mut news.facts
            && let (Some(revision), Some(ordinal), Some(kind)) = (row.revision, row.ordinal, row.kind)
        {
            facts.push(Fact { revision, ordinal, kind, payload: row.payload });
        }
    }
    let whole = |(mut news, found): (News, i64)| {
        let told = news.facts.as_ref().map_or(0, Vec::len);
        if found > most || i64::try_from(told).is_ok_and(|told| told < found) {
            news.facts = None;
        }
        news
    };
    Ok(Some((time, tenants.into_iter().map(|(id, found)| (id, whole(found))).collect())))
}
