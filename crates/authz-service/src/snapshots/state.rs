use std::collections::HashMap;

use engine::{BindingId, BuiltinRole, RoleId, Snapshot};
use tenancy::{Head, Sealer};

use super::build;
use crate::{
    model::{Revision, RoleSource},
    store::organization::Loaded,
};

/// About what a stored row takes in memory, closed and interned. Measured on organizations of bindings; others take less.
const BYTES_A_ROW: usize = 320;

/// One organization's authorization at one revision, with the names that answers use beside the engine's.
#[derive(Debug)]
pub struct State {
    pub engine: Snapshot,
    revision: Revision,
    /// The token of `revision`, made once: it is in every answer.
    token: String,
    state_revision: i64,
    keys: HashMap<RoleId, Box<str>>,
    sources: HashMap<BindingId, RoleSource>,
    rows: usize,
}

impl State {
    pub(super) async fn build(head: Head, loaded: Loaded, sealer: &Sealer) -> Self {
        let revision = Revision { template: loaded.template, ..Revision::of_heads(&head, None) };
        Self {
            engine: build(loaded.data, loaded.rows).await,
            revision,
            token: revision.token(sealer),
            state_revision: head.state_revision,
            keys: loaded.roles.into_iter().map(|role| (role.role_id.uuid().into(), role.key.into())).collect(),
            sources: loaded.sources.into_iter().map(|(id, source)| (id.into(), source)).collect(),
            rows: loaded.rows,
        }
    }

    pub fn revision(&self) -> Revision {
        self.revision
    }

    pub fn token(&self) -> &str {
        &self.token
    }

    pub(super) fn state_revision(&self) -> i64 {
        self.state_revision
    }

    pub(super) fn is_exactly(&self, head: &Head, template: i64) -> bool {
        self.revision == Revision { template, ..Revision::of_heads(head, None) }
            && self.state_revision == head.state_revision
    }

    /// The key of a role; empty where there is no such role any more.
    pub fn key(&self, role: RoleId) -> &str {
        match BuiltinRole::by_id(role) {
            Some(builtin) => builtin.key,
            None => self.keys.get(&role).map_or("", |key| key),
        }
    }

    /// The role of a key, builtin ones included.
    pub fn role(&self, key: &str) -> Option<RoleId> {
        match BuiltinRole::by_key(key) {
            Some(builtin) => Some(builtin.id),
            None => self.keys.iter().find(|(_, other)| ***other == *key).map(|(id, _)| *id),
        }
    }

    pub fn knows_role(&self, role: RoleId) -> bool {
        engine::is_builtin(role) || self.keys.contains_key(&role)
    }

    /// Why an allow binding at the organization exists.
    pub fn source(&self, binding: BindingId) -> RoleSource {
        self.sources.get(&binding).copied().unwrap_or(RoleSource::Direct)
    }

    pub(super) fn bytes(&self) -> u32 {
        u32::try_from(self.rows * BYTES_A_ROW + 4096).unwrap_or(u32::MAX)
    }
}
