//! What the engine says of a decision, in the names of the file.

use engine::{BindingStep, Derivation, Missing, Verdict};

use super::world::World;
use crate::render::Tree;

/// A line, and what led there.
pub fn tree(headline: String, derivation: &Derivation, world: &World) -> Tree {
    let step = |step: &BindingStep| of_step(step, world);
    let below = match &derivation.verdict {
        Verdict::Granted { grants } => grants.iter().map(step).collect(),
        Verdict::DeniedBy { denials, .. } => denials.iter().map(step).collect(),
        Verdict::Conditional { denials, grants, .. } => denials.iter().chain(grants).map(step).collect(),
        Verdict::NotGranted { nearest, granting_roles } => {
            let near = nearest.iter().map(|near| {
                let why = match near.missing {
                    Missing::ConditionFalse => "nearest, but its condition is false",
                    Missing::ConditionFailed => "nearest, but its condition fails",
                    Missing::NotYetOpen => "nearest, but its not_before is ahead",
                    Missing::Expired => "nearest, but it has expired",
                    Missing::BoundElsewhere => "nearest, but it is at another resource",
                    Missing::RoleLacksPermission => "nearest, but its role does not permit it",
                };
                Tree::new(why, vec![of_step(&near.step, world)])
            });
            let roles: Vec<&str> = granting_roles.iter().map(|role| world.key(*role)).collect();
            let roles = (!roles.is_empty()).then(|| Tree::leaf(format!("roles that permit it: {}", roles.join(", "))));
            near.chain(roles).collect()
        }
        Verdict::UnknownPermission => vec![Tree::leaf("the catalog does not know the permission")],
        Verdict::OrganizationInactive => vec![Tree::leaf("the organization is not active")],
        Verdict::SubjectInactive { .. } => vec![Tree::leaf("the subject is suspended")],
        Verdict::ResourceMisplaced => vec![Tree::leaf("what the resource lies in cannot be told")],
    };
    Tree::new(headline, below)
}

fn of_step(step: &BindingStep, world: &World) -> Tree {
    let effect = match step.effect {
        engine::Effect::Allow => "allow",
        engine::Effect::Deny => "deny",
    };
    let who: Vec<&str> = step.subject_path.iter().map(|subject| world.name(*subject)).collect();
    let roles: Vec<&str> = step.role_path.iter().map(|role| world.key(*role)).collect();
    let pattern = step.pattern.as_ref().map(|pattern| format!(", which permits {pattern}")).unwrap_or_default();
    let places: Vec<String> = step.resource_path.iter().map(ToString::to_string).collect();
    let place = match (places.is_empty(), &step.bound_to) {
        (false, _) => places.join(" in "),
        (true, Some(elsewhere)) => elsewhere.to_string(),
        (true, None) => "the organization".to_owned(),
    };
    let condition = match &step.condition {
        None => None,
        Some(engine::Outcome::True) => Some("its condition is true".to_owned()),
        Some(engine::Outcome::False) => Some("its condition is false".to_owned()),
        Some(engine::Outcome::Missing(names)) => Some(format!("its condition lacks {}", names.join(", "))),
        Some(engine::Outcome::Failed(fault)) => Some(format!("its condition fails: {fault}")),
    };
    let when = condition.map(|text| Tree::leaf(format!("when   {text}")));
    let below = [
        Tree::leaf(format!("who    {}", who.join(" in "))),
        Tree::leaf(format!("role   {}{pattern}", roles.join(" includes "))),
        Tree::leaf(format!("where  {place}")),
    ];
    Tree::new(
        // Bindings are numbered as they stand in the file.
        format!("{effect}  bindings[{}]", step.binding.0.as_u128().saturating_sub(1)),
        below.into_iter().chain(when).collect(),
    )
}
