//! Questions of the authorization service: one of them is the hottest path of all, so nothing is built for an error that is not
//! there.

use api::authz::v1 as proto;
use engine::{Permission, ResourceRef, Snapshot};
use prost::Message;
use prost_types::{Struct, Value, value::Kind};
use runtime::Violations;
use tenancy::Sealer;
use tonic::Status;

use super::{
    convert::{resource, subject},
    refusal::{invalid_revision, refused},
};
use crate::{
    model::{Revision, Subject},
    ops::{Refused, explain::Question},
    snapshots::Consistency,
};

const CONTEXT_BYTES: usize = 16 * 1024;
const CONTEXT_DEPTH: usize = 8;

/// What is wrong with a question: a field of it, and why.
type Fault = (&'static str, String);

/// Who, where, and the inputs of conditions: what every question has.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    pub subject: Option<&'a proto::Subject>,
    pub resource: Option<&'a proto::Resource>,
    pub context: Option<&'a Struct>,
}

/// Subject and resource; faults are added.
pub fn parts(parts: Parts<'_>, faults: &mut Vec<Fault>) -> Option<(Subject, Option<ResourceRef>)> {
    let subject = subject::one(parts.subject).map_err(|fault| faults.push(("subject", fault))).ok();
    let resource = match parts.resource.map(resource::reference).transpose() {
        Ok(resource) => Some(resource),
        Err((field, fault)) => {
            faults.push((if field == "id" { "resource.id" } else { "resource.type" }, fault));
            None
        }
    };
    if let Some(context) = parts.context
        && (context.encoded_len() > CONTEXT_BYTES || !shallow(context, CONTEXT_DEPTH))
    {
        faults.push(("context", "must be at most 16 KiB and 8 levels deep".to_owned()));
    }
    Some((subject?, resource?))
}

pub fn question(asked: Parts<'_>, permission: &str, faults: &mut Vec<Fault>) -> Option<Question> {
    let parts = parts(asked, faults);
    let permission =
        permission.parse::<Permission>().map_err(|error| faults.push(("permission", error.to_string()))).ok();
    let ((subject, resource), permission) = (parts?, permission?);
    Some(Question { subject, permission, resource })
}

fn shallow(context: &Struct, depth: usize) -> bool {
    fn fits(value: &Value, depth: usize) -> bool {
        match &value.kind {
            Some(Kind::StructValue(inner)) => shallow(inner, depth),
            Some(Kind::ListValue(list)) => depth > 0 && list.values.iter().all(|value| fits(value, depth - 1)),
            _ => true,
        }
    }
    depth > 0 && context.fields.values().all(|value| fits(value, depth - 1))
}

/// The question, unless something is wrong with it or with what belongs to the whole request.
pub fn settle<T>(value: Option<T>, faults: Vec<Fault>, contextual_bindings: &[proto::Binding]) -> Result<T, Status> {
    match value {
        Some(value) if faults.is_empty() && contextual_bindings.is_empty() => Ok(value),
        value => {
            let mut violations = Violations::default();
            faults.into_iter().for_each(|(field, fault)| violations.add(field, fault));
            contextual(&mut violations, contextual_bindings);
            violations.all((value,)).map(|(value,)| value)
        }
    }
}

/// A binding for one question only is refused rather than passed over.
pub fn contextual(violations: &mut Violations, bindings: &[proto::Binding]) {
    violations.require(bindings.is_empty(), "contextual_bindings", "contextual bindings are not served yet");
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

    fn nested(depth: usize) -> Struct {
        let leaf = Value { kind: Some(Kind::NumberValue(1.0)) };
        (0..depth).fold(Struct { fields: [("x".to_owned(), leaf)].into() }, |inner, _| Struct {
            fields: [("x".to_owned(), Value { kind: Some(Kind::StructValue(inner)) })].into(),
        })
    }

    #[test]
    fn a_context_is_at_most_eight_levels_deep() {
        assert!(shallow(&Struct::default(), 8) && shallow(&nested(7), 8));
        assert!(!shallow(&nested(8), 8));
    }

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
