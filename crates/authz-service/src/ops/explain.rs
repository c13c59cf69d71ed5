use std::{collections::HashMap, sync::Arc};

use engine::{Circumstances, Context, Derivation, Meter, Permission, ResourceRef, Verdict};
use tenancy::{BindingId, OrganizationScope, StoreError};
use time::OffsetDateTime;

use super::{Refused, contextual, edit::NewBinding};
use crate::{
    model::{Binding, Subject},
    snapshots::{Consistency, SnapshotError, Snapshots, State},
    store,
};

/// A question.
#[derive(Debug, Clone)]
pub struct Question {
    pub subject: Subject,
    pub permission: Permission,
    pub resource: Option<ResourceRef>,
    /// The inputs of conditions. None: not one.
    pub context: Option<Context>,
}

impl Question {
    /// What is known when it is asked, and what its conditions may cost.
    pub fn circumstances<'a>(&'a self, now: OffsetDateTime, meter: &'a Meter) -> Circumstances<'a> {
        Circumstances { now, context: self.context.as_ref(), meter: Some(meter) }
    }
}

/// A decision, its reasons, and the bindings that they name, all as of one moment.
#[derive(Debug)]
pub struct Explained {
    pub derivation: Derivation,
    pub bindings: HashMap<engine::BindingId, Binding>,
    /// Those that count for this question only, by their position.
    pub contextual: Vec<NewBinding>,
    pub state: Arc<State>,
    /// What its conditions left.
    pub meter: Meter,
}

#[derive(Debug, thiserror::Error)]
pub enum Unexplained {
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    #[error(transparent)]
    Refused(#[from] Refused),
}

impl From<StoreError> for Unexplained {
    fn from(error: StoreError) -> Self {
        Self::Snapshot(error.into())
    }
}

/// The rows of the bindings are read in the transaction whose snapshot decides, so that they are the ones that decided.
pub async fn explain(
    snapshots: &Snapshots,
    scope: OrganizationScope,
    consistency: Consistency,
    question: &Question,
    contextual: Vec<NewBinding>,
) -> Result<Explained, Unexplained> {
    // Says whether the asked revision was reached; what is read next is at least as new.
    snapshots.at(scope, consistency).await?;
    let mut read = snapshots.database().read(scope).await?;
    let state = snapshots.of_read(&mut read, scope).await?;
    let subject = question.subject.into();
    let now = tenancy::event::now();
    let (permission, resource) = (&question.permission, question.resource.as_ref());
    let meter = Meter::default();
    let derivation = contextual::with(&state, &contextual)?.explain(
        &subject,
        permission,
        resource,
        question.circumstances(now, &meter),
    );
    let named = bindings_of(&derivation);
    let found = store::binding::find(read.connection(), scope.organization_id(), &named).await?;
    read.finish();
    let bindings = found.into_iter().map(|binding| (binding.binding_id.uuid().into(), binding)).collect();
    Ok(Explained { derivation, bindings, contextual, state, meter })
}

fn bindings_of(derivation: &Derivation) -> Vec<BindingId> {
    let steps: Vec<&engine::BindingStep> = match &derivation.verdict {
        Verdict::Granted { grants } => grants.iter().collect(),
        Verdict::DeniedBy { denials, grants } | Verdict::Conditional { denials, grants, .. } => {
            denials.iter().chain(grants).collect()
        }
        Verdict::NotGranted { nearest, .. } => nearest.iter().map(|near| &near.step).collect(),
        Verdict::UnknownPermission
        | Verdict::OrganizationInactive
        | Verdict::SubjectInactive { .. }
        | Verdict::ResourceMisplaced => Vec::new(),
    };
    steps.into_iter().chain(&derivation.others).map(|step| BindingId::from_uuid(step.binding.0)).collect()
}
