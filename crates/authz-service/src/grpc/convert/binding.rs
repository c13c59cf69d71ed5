use api::authz::v1 as proto;
use engine::{Condition, InvalidCondition};
use runtime::Violations;
use tenancy::{
    BindingId, RoleId,
    mask::{self, Mask},
};
use tonic::Status;

use super::{resource, subject, text, time, tokens::Tokens};
use crate::{
    model::{Binding, Effect, RoleName, Window},
    ops::binding::{BindingPatch, NewBinding},
    store::binding::BindingFilter,
};

const MAX_CONTEXTUAL: usize = 100;
/// What of conditions is compiled for a single question.
const MAX_CONTEXTUAL_CONDITIONS: usize = 16 * 1024;

pub fn new(binding: Option<proto::Binding>) -> Result<NewBinding, Status> {
    let mut violations = Violations::default();
    let new = read(&mut violations, "binding", &binding.unwrap_or_default());
    violations.all((new,)).map(|(new,)| new)
}

/// The bindings that count for one question only.
pub fn contextual(violations: &mut Violations, bindings: &[proto::Binding]) -> Vec<NewBinding> {
    text::count(violations, "contextual_bindings", bindings.len(), 0, MAX_CONTEXTUAL);
    let conditions: usize = bindings.iter().map(|binding| binding.condition.len()).sum();
    violations.require(
        conditions <= MAX_CONTEXTUAL_CONDITIONS,
        "contextual_bindings",
        "their conditions must have at most 16 KiB together",
    );
    if !violations.is_empty() {
        return Vec::new();
    }
    let bindings = bindings.iter().enumerate();
    bindings.filter_map(|(at, binding)| read(violations, &format!("contextual_bindings[{at}]"), binding)).collect()
}

/// What of a binding a caller chooses; every fault is named. Output-only fields are passed over.
fn read(violations: &mut Violations, path: &str, binding: &proto::Binding) -> Option<NewBinding> {
    let field = |name: &str| format!("{path}.{name}");
    let effect = match binding.effect() {
        proto::BindingEffect::Deny => Effect::Deny,
        proto::BindingEffect::Allow | proto::BindingEffect::Unspecified => Effect::Allow,
    };
    violations.require(
        proto::BindingEffect::try_from(binding.effect).is_ok(),
        field("effect"),
        "must be BINDING_EFFECT_ALLOW or BINDING_EFFECT_DENY",
    );
    let holder = violations.check(field("subject"), subject::any(binding.subject.as_ref()));
    let role = violations.check(field("role_id"), binding.role_id.parse::<RoleName>());
    let at = binding.resource.as_ref().and_then(|at| resource::from_proto(violations, &field("resource"), at));
    let mut end = |name: &str, timestamp: &Option<prost_types::Timestamp>| {
        timestamp.as_ref().and_then(|timestamp| violations.check(field(name), time::from_proto(timestamp)))
    };
    let not_before = end("not_before", &binding.not_before);
    let expire_time = end("expire_time", &binding.expire_time);
    let in_order = not_before.zip(expire_time).is_none_or(|(from, until)| from < until);
    violations.require(in_order, field("expire_time"), "must be later than not_before");
    let condition = condition(violations, &field("condition"), &binding.condition);
    let window = Window { not_before, expire_time };
    Some(NewBinding { subject: holder?, role: role?, resource: at, effect, condition, window })
}

/// The condition, compiled; None for the empty text. Each fault of it is named with its place.
fn condition(violations: &mut Violations, field: &str, source: &str) -> Option<Condition> {
    if source.is_empty() {
        return None;
    }
    match Condition::new(source) {
        Ok(condition) => Some(condition),
        Err(InvalidCondition(faults)) => {
            faults.into_iter().for_each(|fault| violations.add(field, fault.to_string()));
            None
        }
    }
}

const FIELDS: &[&str] = &["condition", "not_before", "expire_time"];

pub fn patch(
    binding: Option<proto::Binding>,
    update_mask: Option<prost_types::FieldMask>,
) -> Result<BindingPatch, Status> {
    let binding = binding.unwrap_or_default();
    let mut violations = Violations::default();
    let paths = update_mask.map(|mask| mask.paths).filter(|paths| !paths.is_empty()).unwrap_or_else(|| {
        let filled = [!binding.condition.is_empty(), binding.not_before.is_some(), binding.expire_time.is_some()];
        FIELDS.iter().zip(filled).filter(|(_, filled)| *filled).map(|(path, _)| (*path).to_owned()).collect()
    });
    let binding_id = violations.check("binding.binding_id", binding.binding_id.parse::<BindingId>());
    let mask = violations.check("update_mask", Mask::parse(&paths, FIELDS));
    let named = |path: &str| mask.as_ref().is_some_and(|mask| mask.has(path));
    let condition = named("condition").then(|| condition(&mut violations, "binding.condition", &binding.condition));
    let mut end = |path: &str, field: &str, timestamp: &Option<prost_types::Timestamp>| {
        named(path).then(|| timestamp.as_ref().and_then(|at| violations.check(field, time::from_proto(at))))
    };
    let not_before = end("not_before", "binding.not_before", &binding.not_before);
    let expire_time = end("expire_time", "binding.expire_time", &binding.expire_time);
    let (binding_id,) = violations.all((binding_id,))?;
    Ok(BindingPatch { binding_id, etag: binding.etag, condition, not_before, expire_time })
}

pub fn filter(request: &proto::ListBindingsRequest) -> Result<BindingFilter, Status> {
    let mut violations = Violations::default();
    violations.require(request.page_size >= 0, "page_size", "must not be negative");
    let holder = request.subject.as_ref().and_then(|named| violations.check("subject", subject::any(Some(named))));
    let role =
        (!request.role_id.is_empty()).then(|| violations.check("role_id", request.role_id.parse::<RoleId>())).flatten();
    let at = request.resource.as_ref().and_then(|at| resource::from_proto(&mut violations, "resource", at));
    violations.finish()?;
    Ok(BindingFilter { subject: holder, role, resource: at })
}

fn effect_to_proto(effect: Effect) -> proto::BindingEffect {
    match effect {
        Effect::Allow => proto::BindingEffect::Allow,
        Effect::Deny => proto::BindingEffect::Deny,
    }
}

/// One that counts for a question only: as it was given, with the role's id for its key.
pub fn contextual_to_proto(binding: &NewBinding, role: impl Fn(&str) -> Option<engine::RoleId>) -> proto::Binding {
    let role_id = match &binding.role {
        RoleName::Id(id) => Some(*id),
        RoleName::Key(key) => role(key.as_str()).map(|id| RoleId::from_uuid(id.0)),
    };
    proto::Binding {
        subject: Some(subject::to_proto(binding.subject)),
        role_id: role_id.map(|id| id.to_string()).unwrap_or_default(),
        resource: binding.resource.clone().map(resource::to_proto),
        effect: effect_to_proto(binding.effect).into(),
        condition: binding.condition.as_ref().map(|condition| condition.source().to_owned()).unwrap_or_default(),
        not_before: binding.window.not_before.map(time::to_proto),
        expire_time: binding.window.expire_time.map(time::to_proto),
        ..proto::Binding::default()
    }
}

pub fn to_proto(binding: Binding, tokens: &Tokens<'_>) -> proto::Binding {
    proto::Binding {
        binding_id: binding.binding_id.to_string(),
        organization_id: binding.organization_id.to_string(),
        subject: Some(subject::to_proto(binding.subject)),
        role_id: binding.role_id.to_string(),
        resource: binding.resource.map(resource::to_proto),
        effect: effect_to_proto(binding.effect).into(),
        condition: binding.condition.unwrap_or_default(),
        not_before: binding.window.not_before.map(time::to_proto),
        expire_time: binding.window.expire_time.map(time::to_proto),
        source: subject::source_to_proto(Some(binding.source)).into(),
        create_time: Some(time::to_proto(binding.create_time)),
        update_time: Some(time::to_proto(binding.update_time)),
        etag: mask::etag(binding.revision),
        revision: tokens.own(binding.revision),
    }
}
