//! Questions of the authorization service: one of them is the hottest path of all, so nothing is built for an error that is not
//! there.

use api::authz::v1 as proto;
use engine::{Context, Decision, Meter, Permission, ResourceRef, Snapshot};
use prost_types::Struct;
use runtime::{Refusal, Violations};
use tenancy::Sealer;
use tonic::Status;

use super::{
    convert::{binding, context, resource, subject},
    refusal::{invalid_revision, refused},
};
use crate::{
    model::{Revision, Subject},
    ops::{Refused, binding::NewBinding, explain::Question},
    snapshots::Consistency,
};

/// What is wrong with a question: a field of it, and why.
type Fault = (&'static str, String);

/// Who, where, and the inputs of conditions: what every question has.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    pub subject: Option<&'a proto::Subject>,
    pub resource: Option<&'a proto::Resource>,
    pub context: Option<&'a Struct>,
}

/// The same, read.
#[derive(Debug)]
pub struct Asked {
    pub subject: Subject,
    pub resource: Option<ResourceRef>,
    pub context: Option<Context>,
}

/// Subject, resource and context; faults are added.
pub fn parts(parts: Parts<'_>, faults: &mut Vec<Fault>) -> Option<Asked> {
    let subject = subject::one(parts.subject).map_err(|fault| faults.push(("subject", fault))).ok();
    let resource = match parts.resource.map(resource::reference).transpose() {
        Ok(resource) => Some(resource),
        Err((field, fault)) => {
            faults.push((if field == "id" { "resource.id" } else { "resource.type" }, fault));
            None
        }
    };
    let context = parts.context.filter(|context| !context.fields.is_empty());
    let context = context.map(context::read).transpose().map_err(|fault| faults.push(("context", fault.to_string())));
    let (subject, resource) = (subject?, resource?);
    Some(Asked { subject, resource, context: context.ok()? })
}

pub fn question(asked: Parts<'_>, permission: &str, faults: &mut Vec<Fault>) -> Option<Question> {
    let parts = parts(asked, faults);
    let permission =
        permission.parse::<Permission>().map_err(|error| faults.push(("permission", error.to_string()))).ok();
    let (Asked { subject, resource, context }, permission) = (parts?, permission?);
    Some(Question { subject, permission, resource, context })
}

/// The decision as it is told.
pub fn decision(decision: &Decision) -> proto::Decision {
    match decision {
        Decision::Allowed => proto::Decision::Allowed,
        Decision::Denied => proto::Decision::Denied,
        Decision::Conditional { .. } => proto::Decision::Conditional,
    }
}

/// The inputs that a decision lacks.
pub fn missing(decision: Decision) -> Vec<String> {
    match decision {
        Decision::Conditional { missing } => missing,
        Decision::Allowed | Decision::Denied => Vec::new(),
    }
}

/// Answers whose conditions ran out of steps are not given: some would be no where another call hears yes.
pub fn within(meter: &Meter) -> Result<(), Status> {
    if !meter.is_exhausted() {
        return Ok(());
    }
    let steps = i64::try_from(Meter::STEPS).unwrap_or(i64::MAX);
    Err(Refusal::limit_reached("condition_steps", steps, steps).into())
}

/// The question and the bindings for it alone, unless something is wrong with it or with what belongs to the whole request.
pub fn settle<T>(
    value: Option<T>,
    faults: Vec<Fault>,
    contextual_bindings: &[proto::Binding],
) -> Result<(T, Vec<NewBinding>), Status> {
    match value {
        Some(value) if faults.is_empty() && contextual_bindings.is_empty() => Ok((value, Vec::new())),
        value => {
            let mut violations = Violations::default();
            faults.into_iter().for_each(|(field, fault)| violations.add(field, fault));
            let bindings = binding::contextual(&mut violations, contextual_bindings);
            violations.all((value,)).map(|(value,)| (value, bindings))
        }
    }
}

pub fn consistency(sealer: &Sealer, asked: Option<&proto::Consistency>) -> Result<Consistency, Status> {
    use proto::consistency::Requirement;
    match asked.and_then(|asked| asked.requirement.as_ref()) {
        None | Some(Requirement::MinimizeLatency(true)) => Ok(Consistency::MinimizeLatency),
        Some(Requirement::FullyConsistent(true)) => Ok(Consistency::FullyConsistent),
        Some(Requirement::AtLeastAsFresh(token)) => {
            let revision =
                Revision::parse(sealer, token).map_err(|_| invalid_revision("consistency.at_least_as_fresh"))?;
            Ok(Consistency::AtLeastAsFresh(revision))
        }
        Some(Requirement::MinimizeLatency(false)) => {
            Err(access::invalid_field("consistency.minimize_latency", "is always true when set"))
        }
        Some(Requirement::FullyConsistent(false)) => {
            Err(access::invalid_field("consistency.fully_consistent", "is always true when set"))
        }
    }
}

/// A name that the catalogue does not declare is a mistake of the caller's, not a denial.
pub fn declared<'a>(
    snapshot: &Snapshot,
    questions: impl IntoIterator<Item = (Option<&'a Permission>, Option<&'a ResourceRef>)>,
) -> Result<(), Status> {
    let catalog = snapshot.catalog();
    let mut unknown: Vec<String> = Vec::new();
    for (permission, resource) in questions {
        if let Some(permission) = permission.filter(|permission| !catalog.knows(permission)) {
            unknown.push(permission.to_string());
        }
        if let Some(resource) = resource.filter(|resource| !catalog.knows_type(resource.type_name())) {
            unknown.push(resource.type_name().to_owned());
        }
    }
    if unknown.is_empty() {
        return Ok(());
    }
    unknown.sort_unstable();
    unknown.dedup();
    Err(refused(Refused::UnknownPermission(unknown)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_of_a_question_is_named() {
        let asked = proto::Resource { r#type: "document".to_owned(), id: String::new() };
        let group = proto::Subject { subject: Some(proto::subject::Subject::AllMembers(true)) };
        let mut faults = Vec::new();
        let parts = Parts { subject: Some(&group), resource: Some(&asked), context: None };
        assert!(question(parts, "document:*", &mut faults).is_none());
        let fields: Vec<&str> = faults.iter().map(|(field, _)| *field).collect();
        assert_eq!(fields, ["subject", "resource.id", "permission"]);
    }
}
