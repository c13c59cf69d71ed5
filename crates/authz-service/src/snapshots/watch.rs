//! What decides in an organization, told to somebody who keeps it: all of it first, then what each revision changed.

use std::{collections::HashMap, sync::Arc};

use engine::{Change, OrganizationData, SubjectId, SubjectState};
use tenancy::{OrganizationScope, StoreError, since};
use time::OffsetDateTime;

use super::{Consistency, MAX_FACTS, SnapshotError, Snapshots, told};
use crate::model::Revision;

/// What was told, and the revision that it makes up.
#[derive(Debug)]
pub struct Told {
    pub changes: Vec<Change>,
    pub revision: Revision,
    /// Everything that was committed before, by the database's clock, is in it.
    pub proven_time: OffsetDateTime,
}

/// What comes after a revision.
#[derive(Debug)]
pub enum News {
    Changes(Told),
    /// It cannot be told: all of it has to be told anew.
    Unknown,
}

impl Snapshots {
    /// All that decides, with everything committed before the call.
    pub async fn whole(&self, scope: OrganizationScope) -> Result<Told, SnapshotError> {
        let state = self.at(scope, Consistency::FullyConsistent).await?;
        let (revision, proven_time) = (state.revision(), state.proven_time());
        Ok(Told { changes: facts(state.engine.data()), revision, proven_time })
    }

    /// What has happened since a revision that was told.
    pub async fn news(&self, scope: OrganizationScope, after: Revision) -> Result<News, SnapshotError> {
        let since = since::since(self.database(), scope, after.own, after.template, MAX_FACTS).await?;
        let since = since.ok_or(StoreError::TenantUnknown)?;
        let project = since.project.as_ref().map(|news| &news.head);
        let revision = Revision::of_heads(&since.organization.head, project);
        Ok(match told(&since, after) {
            Ok(delta) if revision.incarnation == after.incarnation => {
                News::Changes(Told { changes: delta.changes, revision, proven_time: since.as_of.time })
            }
            _ => News::Unknown,
        })
    }
}

/// The data, one fact at a time: applied to an empty organization they make it up.
fn facts(data: OrganizationData) -> Vec<Change> {
    let OrganizationData { catalog, active, roles, groups, bindings, resources, inactive_subjects, members } = data;
    let mut facts = vec![Change::Catalog(Arc::clone(&catalog)), Change::Organization { active }];
    facts.extend(roles.into_iter().map(Change::PutRole));
    facts.extend(groups.iter().map(|group| Change::PutGroup(group.id)));
    for group in groups {
        facts.extend(group.members.into_iter().map(|member| Change::PutMembership { group: group.id, member }));
    }
    facts.extend(bindings.into_iter().map(Change::PutBinding));
    facts.extend(resources.into_iter().map(Change::PutResource));
    let mut states: HashMap<SubjectId, SubjectState> = inactive_subjects.into_iter().collect();
    for member in members.into_iter().map(SubjectId::Member) {
        facts.push(Change::Subject(member, states.remove(&member)));
    }
    facts.extend(states.into_iter().map(|(subject, state)| Change::Subject(subject, Some(state))));
    facts
}
