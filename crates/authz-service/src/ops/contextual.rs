//! Bindings that count for one question only.

use std::borrow::Cow;

use engine::{BindingId, Change, RoleId, Snapshot, SubjectId};
use uuid::Uuid;

use super::{Refused, edit::NewBinding};
use crate::{
    model::{Resource, RoleName},
    snapshots::State,
};

/// What decides when these bindings are there too. Nothing is stored, and nothing of it is seen by another question.
pub fn with<'s>(state: &'s State, bindings: &[NewBinding]) -> Result<Cow<'s, Snapshot>, Refused> {
    if bindings.is_empty() {
        return Ok(Cow::Borrowed(&state.engine));
    }
    let catalog = state.engine.catalog();
    let types = bindings.iter().filter_map(|binding| binding.resource.as_ref());
    let unknown: Vec<String> = types.map(|at| at.type_name.clone()).filter(|name| !catalog.knows_type(name)).collect();
    if !unknown.is_empty() {
        return Err(Refused::UnknownPermission(unknown));
    }
    let changes: Vec<Change> = bindings
        .iter()
        .enumerate()
        .map(|(at, binding)| Ok(Change::PutBinding(for_engine(state, at, binding)?)))
        .collect::<Result<_, Refused>>()?;
    Ok(Cow::Owned(state.engine.apply(&changes)))
}

/// The id that the engine knows the binding by: none that a stored one has, for those are UUIDv7, chosen ones too.
pub fn id(at: usize) -> BindingId {
    BindingId(Uuid::from_u128(at as u128))
}

/// Which contextual binding it is, if it is one.
pub fn position(id: BindingId) -> Option<usize> {
    usize::try_from(id.0.as_u128()).ok()
}

fn for_engine(state: &State, at: usize, binding: &NewBinding) -> Result<engine::Binding, Refused> {
    let role = match &binding.role {
        RoleName::Id(id) => Some(RoleId::from(id.uuid())).filter(|id| state.knows_role(*id)),
        RoleName::Key(key) => state.role(key.as_str()),
    };
    Ok(engine::Binding {
        id: id(at),
        subject: SubjectId::from(binding.subject),
        role: role.ok_or(Refused::NotFound("role"))?,
        resource: binding.resource.as_ref().and_then(Resource::reference),
        effect: binding.effect.into(),
        condition: binding.condition.clone(),
        not_before: binding.window.not_before,
        expire_time: binding.window.expire_time,
    })
}
