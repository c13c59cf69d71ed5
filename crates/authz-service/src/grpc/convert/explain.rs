use std::collections::HashMap;

use api::authz::v1::{self as proto, near_miss::Found};
use engine::{BindingId, BindingStep, Missing, NearMiss, Outcome, RoleId, Verdict};

use super::{binding, resource, subject, tokens::Tokens};
use crate::{
    grpc::question,
    model::Binding,
    ops::{binding::NewBinding, contextual, explain::Explained},
    snapshots::State,
};

const MAX_DERIVATIONS: usize = 100;
const MAX_NEAR_MISSES: usize = 10;

/// The rows and names that steps refer to.
struct Names<'a> {
    bindings: &'a HashMap<BindingId, Binding>,
    contextual: &'a [NewBinding],
    state: &'a State,
    tokens: &'a Tokens<'a>,
}

pub fn to_proto(explained: &Explained, tokens: &Tokens<'_>) -> proto::ExplainResponse {
    let Explained { derivation, bindings, contextual, state, meter: _ } = explained;
    let names = Names { bindings, contextual, state, tokens };
    let derived = |step: &BindingStep| names.derivation(step, outcome(step));
    let mut missing_context = Vec::new();
    let (cause, derivations, near_misses) = match &derivation.verdict {
        Verdict::Granted { grants } => (proto::Cause::Granted, grants.iter().map(derived).collect(), Vec::new()),
        Verdict::DeniedBy { denials, grants } => {
            (proto::Cause::Forbidden, denials.iter().chain(grants).map(derived).collect(), Vec::new())
        }
        Verdict::Conditional { denials, grants, missing } => {
            missing_context.clone_from(missing);
            (proto::Cause::MissingContext, denials.iter().chain(grants).map(derived).collect(), Vec::new())
        }
        Verdict::NotGranted { nearest, granting_roles } => {
            let near = nearest.iter().map(|near| names.near_miss(near, derivation.permission.as_str()));
            let roles = granting_roles.iter().map(|role| names.role_not_held(*role));
            (proto::Cause::NoGrant, Vec::new(), near.chain(roles).take(MAX_NEAR_MISSES).collect())
        }
        Verdict::UnknownPermission => (proto::Cause::NoGrant, Vec::new(), Vec::new()),
        Verdict::OrganizationInactive => (proto::Cause::OrganizationNotActive, Vec::new(), Vec::new()),
        Verdict::SubjectInactive { .. } => (proto::Cause::SubjectNotActive, Vec::new(), Vec::new()),
        Verdict::ResourceMisplaced => (proto::Cause::ResourceMisplaced, Vec::new(), Vec::new()),
    };
    let mut derivations: Vec<proto::Derivation> = derivations;
    derivations.extend(derivation.others.iter().map(derived));
    derivations.truncate(MAX_DERIVATIONS);
    let decision = derivation.decision();
    proto::ExplainResponse {
        decision: question::decision(&decision).into(),
        allowed: decision.is_allowed(),
        missing_context,
        revision: state.token().to_owned(),
        cause: cause.into(),
        derivations,
        near_misses,
    }
}

/// What the condition of a binding in its window says.
fn outcome(step: &BindingStep) -> proto::DerivationOutcome {
    match &step.condition {
        None | Some(Outcome::True) => proto::DerivationOutcome::Applies,
        Some(Outcome::False) => proto::DerivationOutcome::ConditionFalse,
        Some(Outcome::Failed(_)) => proto::DerivationOutcome::ConditionFailed,
        Some(Outcome::Missing(_)) => proto::DerivationOutcome::MissingContext,
    }
}

impl Names<'_> {
    fn binding(&self, id: BindingId) -> Option<proto::Binding> {
        if let Some(binding) = contextual::position(id).and_then(|at| self.contextual.get(at)) {
            return Some(binding::contextual_to_proto(binding, |key| self.state.role(key)));
        }
        self.bindings.get(&id).cloned().map(|found| binding::to_proto(found, self.tokens))
    }

    fn role(&self, role: RoleId) -> proto::RoleStep {
        let id = tenancy::RoleId::from_uuid(role.0);
        proto::RoleStep { role_id: id.to_string(), key: self.state.key(role).to_owned() }
    }

    fn derivation(&self, step: &BindingStep, outcome: proto::DerivationOutcome) -> proto::Derivation {
        let (missing_context, condition_error) = match &step.condition {
            Some(Outcome::Missing(names)) => (names.clone(), String::new()),
            Some(Outcome::Failed(error)) => (Vec::new(), error.clone()),
            Some(Outcome::True | Outcome::False) | None => (Vec::new(), String::new()),
        };
        proto::Derivation {
            binding: self.binding(step.binding),
            outcome: outcome.into(),
            subject_path: step.subject_path.iter().map(|at| subject::to_proto((*at).into())).collect(),
            role_path: step.role_path.iter().map(|role| self.role(*role)).collect(),
            matched_permission: step.pattern.as_ref().map(ToString::to_string).unwrap_or_default(),
            resource_path: step.resource_path.iter().map(resource::of_reference).collect(),
            missing_context,
            condition_error,
        }
    }

    fn near_miss(&self, near: &NearMiss, permission: &str) -> proto::NearMiss {
        let step = &near.step;
        let role = || self.role(step.role_path.first().copied().unwrap_or(RoleId(uuid::Uuid::nil())));
        let (found, suggestion) = match near.missing {
            Missing::ConditionFalse => (
                Found::Inactive(self.derivation(step, outcome(step))),
                "A binding would permit it, and its condition is false here.".to_owned(),
            ),
            Missing::ConditionFailed => (
                Found::Inactive(self.derivation(step, outcome(step))),
                "A binding would permit it, and its condition fails: see condition_error.".to_owned(),
            ),
            Missing::NotYetOpen => (
                Found::Inactive(self.derivation(step, proto::DerivationOutcome::NotYet)),
                "A binding that permits it is yet to begin: wait for its not_before.".to_owned(),
            ),
            Missing::Expired => (
                Found::Inactive(self.derivation(step, proto::DerivationOutcome::Expired)),
                "A binding that permitted it has expired: bind the role anew.".to_owned(),
            ),
            Missing::BoundElsewhere => {
                let place = step.bound_to.as_ref().map(ToString::to_string).unwrap_or_default();
                let text = format!("A binding permits it at {place}, which is not above what was asked about.");
                (Found::BindingElsewhere(self.binding(step.binding).unwrap_or_default()), text)
            }
            Missing::RoleLacksPermission => {
                let role = role();
                let text = format!("The role {} is held here, without {permission}: add it to the role.", role.key);
                (Found::RoleWithoutPermission(role), text)
            }
        };
        proto::NearMiss { found: Some(found), suggestion }
    }

    fn role_not_held(&self, role: RoleId) -> proto::NearMiss {
        let role = self.role(role);
        let suggestion = format!("The role {} permits it: bind it to the subject.", role.key);
        proto::NearMiss { found: Some(Found::RoleNotHeld(role)), suggestion }
    }
}
