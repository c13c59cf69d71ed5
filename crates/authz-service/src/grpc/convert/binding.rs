use api::authz::v1 as proto;
use runtime::Violations;
use tenancy::{RoleId, mask};
use tonic::Status;

use super::{resource, subject, time, tokens::Tokens};
use crate::{
    model::{Binding, Effect, RoleName, RoleSource, Window},
    ops::edit::NewBinding,
    store::binding::BindingFilter,
};

pub fn new(binding: Option<proto::Binding>) -> Result<NewBinding, Status> {
    let mut violations = Violations::default();
    let new = parse(&mut violations, "binding", &binding.unwrap_or_default());
    violations.all((new,)).map(|(new,)| new)
}

/// A binding to be made, faults under `field`.
pub fn parse(violations: &mut Violations, field: &str, binding: &proto::Binding) -> Option<NewBinding> {
    let effect = match binding.effect() {
        proto::BindingEffect::Deny => Effect::Deny,
        proto::BindingEffect::Allow | proto::BindingEffect::Unspecified => Effect::Allow,
    };
    violations.require(
        proto::BindingEffect::try_from(binding.effect).is_ok(),
        format!("{field}.effect"),
        "must be BINDING_EFFECT_ALLOW or BINDING_EFFECT_DENY",
    );
    violations.require(binding.condition.is_empty(), format!("{field}.condition"), "conditions are not served yet");
    let holder = violations.check(format!("{field}.subject"), subject::any(binding.subject.as_ref()));
    let role = violations.check(format!("{field}.role_id"), binding.role_id.parse::<RoleName>());
    let at =
        binding.resource.as_ref().and_then(|at| resource::from_proto(violations, &format!("{field}.resource"), at));
    let mut end = |field: String, timestamp: &Option<prost_types::Timestamp>| {
        timestamp.as_ref().and_then(|timestamp| violations.check(field, time::from_proto(timestamp)))
    };
    let not_before = end(format!("{field}.not_before"), &binding.not_before);
    let expire_time = end(format!("{field}.expire_time"), &binding.expire_time);
    let in_order = not_before.zip(expire_time).is_none_or(|(from, until)| from < until);
    violations.require(in_order, format!("{field}.expire_time"), "must be later than not_before");
    Some(NewBinding {
        id: None,
        subject: holder?,
        role: role?,
        resource: at,
        effect,
        window: Window { not_before, expire_time },
        source: RoleSource::Direct,
        ahead: false,
    })
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

pub fn to_proto(binding: Binding, tokens: &Tokens<'_>) -> proto::Binding {
    let effect = match binding.effect {
        Effect::Allow => proto::BindingEffect::Allow,
        Effect::Deny => proto::BindingEffect::Deny,
    };
    proto::Binding {
        binding_id: binding.binding_id.to_string(),
        organization_id: binding.organization_id.to_string(),
        subject: Some(subject::to_proto(binding.subject)),
        role_id: binding.role_id.to_string(),
        resource: binding.resource.map(resource::to_proto),
        effect: effect.into(),
        condition: String::new(),
        not_before: binding.window.not_before.map(time::to_proto),
        expire_time: binding.window.expire_time.map(time::to_proto),
        source: subject::source_to_proto(Some(binding.source)).into(),
        create_time: Some(time::to_proto(binding.create_time)),
        update_time: Some(time::to_proto(binding.update_time)),
        etag: mask::etag(binding.revision),
        revision: tokens.own(binding.revision),
    }
}
