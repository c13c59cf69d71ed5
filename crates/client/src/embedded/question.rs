//! What is asked, and how fresh the answer must be.

use api::authz::v1::{self as proto, consistency::Requirement};
use engine::{
    Circumstances, Context, Decision, Input, InvalidContext, MAX_CONTEXT_DEPTH, Meter, Permission, ResourceRef,
};
use prost_types::{Struct, Value, value::Kind};
use time::OffsetDateTime;

use super::{Subject, Unanswered, held::View};

/// How fresh an answer must be: the modes of the service, see `guildhall.authz.v1.Consistency`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Consistency {
    /// It holds everything that was committed longer ago than the bound of the engine.
    #[default]
    MinimizeLatency,
    /// It holds everything up to this revision token.
    AtLeastAsFresh(String),
    /// It holds everything. Always a call.
    FullyConsistent,
}

impl Consistency {
    pub(super) fn to_proto(&self) -> proto::Consistency {
        let requirement = match self {
            Self::MinimizeLatency => Requirement::MinimizeLatency(true),
            Self::AtLeastAsFresh(token) => Requirement::AtLeastAsFresh(token.clone()),
            Self::FullyConsistent => Requirement::FullyConsistent(true),
        };
        proto::Consistency { requirement: Some(requirement) }
    }
}

/// Inputs of conditions, read once for any number of questions.
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    told: Struct,
    read: Context,
}

impl TryFrom<Struct> for Inputs {
    type Error = InvalidContext;

    fn try_from(told: Struct) -> Result<Self, InvalidContext> {
        let inputs = told.fields.iter().map(|(name, value)| Ok((name.clone(), input(value, MAX_CONTEXT_DEPTH - 1)?)));
        let read = Context::new(inputs.collect::<Result<Vec<_>, _>>()?)?;
        Ok(Self { told, read })
    }
}

fn input(value: &Value, levels: usize) -> Result<Input, InvalidContext> {
    let inner = || levels.checked_sub(1).ok_or(InvalidContext::TooDeep);
    Ok(match &value.kind {
        None | Some(Kind::NullValue(_)) => Input::Null,
        Some(Kind::BoolValue(value)) => Input::Bool(*value),
        Some(Kind::NumberValue(value)) => Input::Number(*value),
        Some(Kind::StringValue(text)) => Input::Text(text.clone()),
        Some(Kind::ListValue(list)) => {
            let levels = inner()?;
            Input::List(list.values.iter().map(|value| input(value, levels)).collect::<Result<_, _>>()?)
        }
        Some(Kind::StructValue(object)) => {
            let levels = inner()?;
            let field = |(name, value): (&String, &Value)| Ok((name.clone(), input(value, levels)?));
            Input::Object(object.fields.iter().map(field).collect::<Result<_, _>>()?)
        }
    })
}

/// Who, and where, and what is known then.
#[derive(Debug, Clone)]
pub struct Place {
    pub subject: Subject,
    /// None: at the organization. It need not be registered.
    pub resource: Option<ResourceRef>,
    pub context: Option<Inputs>,
}

/// May they? Read once, it may be asked any number of times.
#[derive(Debug, Clone)]
pub struct Question {
    pub place: Place,
    pub permission: Permission,
}

impl Place {
    /// At the organization, without inputs.
    pub fn new(subject: Subject) -> Self {
        Self { subject, resource: None, context: None }
    }

    #[must_use]
    pub fn at(self, resource: ResourceRef) -> Self {
        Self { resource: Some(resource), ..self }
    }

    #[must_use]
    pub fn with(self, context: Inputs) -> Self {
        Self { context: Some(context), ..self }
    }

    /// May they, at this place?
    pub fn asks(self, permission: Permission) -> Question {
        Question { place: self, permission }
    }

    fn parts(&self) -> (Option<proto::Subject>, Option<proto::Resource>, Option<Struct>) {
        let resource = self.resource.as_ref();
        let resource = resource.map(|at| proto::Resource { r#type: at.type_name().to_owned(), id: at.id().to_owned() });
        (Some(self.subject.to_proto()), resource, self.context.as_ref().map(|context| context.told.clone()))
    }

    fn is_declared(&self, view: &View) -> Result<(), Unanswered> {
        match &self.resource {
            Some(at) if !view.engine.catalog().knows_type(at.type_name()) => {
                Err(Unanswered::Undeclared(at.type_name().to_owned()))
            }
            _ => Ok(()),
        }
    }

    fn circumstances<'a>(&'a self, now: OffsetDateTime, meter: &'a Meter) -> Circumstances<'a> {
        Circumstances { now, context: self.context.as_ref().map(|context| &context.read), meter: Some(meter) }
    }

    /// What they may do here, and what they may if conditions hold; sorted.
    pub(super) fn permissions(&self, view: &View) -> Result<(Vec<String>, Vec<String>), Unanswered> {
        self.is_declared(view)?;
        let meter = Meter::default();
        let given = self.circumstances(now(), &meter);
        let found = view.engine.permissions(self.subject.id(), self.resource.as_ref(), given);
        within(&meter)?;
        let about = |type_name: &str| self.resource.as_ref().is_none_or(|at| at.type_name() == type_name);
        let told = |found: Vec<&Permission>| {
            let about = found.into_iter().filter(|permission| about(permission.type_name()));
            let mut texts: Vec<String> = about.map(|permission| permission.as_str().to_owned()).collect();
            texts.sort_unstable();
            texts
        };
        Ok((told(found.allowed), told(found.conditional)))
    }

    pub(super) fn to_list(&self, organization_id: &str, consistency: &Consistency) -> proto::ListPermissionsRequest {
        let (subject, resource, context) = self.parts();
        proto::ListPermissionsRequest {
            organization_id: organization_id.to_owned(),
            subject,
            resource,
            context,
            contextual_bindings: Vec::new(),
            consistency: Some(consistency.to_proto()),
        }
    }
}

impl Question {
    pub(super) fn decide(&self, view: &View, now: OffsetDateTime, meter: &Meter) -> Result<Decision, Unanswered> {
        let place = &self.place;
        if !view.engine.catalog().knows(&self.permission) {
            return Err(Unanswered::Undeclared(self.permission.to_string()));
        }
        place.is_declared(view)?;
        let given = place.circumstances(now, meter);
        let decision = view.engine.check(place.subject.id(), &self.permission, place.resource.as_ref(), given);
        within(meter)?;
        Ok(decision)
    }

    pub(super) fn to_check(&self, organization_id: &str, consistency: &Consistency) -> proto::CheckRequest {
        let (subject, resource, context) = self.place.parts();
        proto::CheckRequest {
            organization_id: organization_id.to_owned(),
            subject,
            permission: self.permission.to_string(),
            resource,
            context,
            contextual_bindings: Vec::new(),
            consistency: Some(consistency.to_proto()),
        }
    }

    pub(super) fn to_question(&self) -> proto::CheckQuestion {
        let (subject, resource, context) = self.place.parts();
        proto::CheckQuestion { subject, permission: self.permission.to_string(), resource, context }
    }
}

/// As the service takes it: in microseconds.
pub fn now() -> OffsetDateTime {
    let now = OffsetDateTime::now_utc();
    now.replace_nanosecond(now.microsecond() * 1000).unwrap_or(now)
}

/// Answers whose conditions ran out of steps are not given.
fn within(meter: &Meter) -> Result<(), Unanswered> {
    if meter.is_exhausted() { Err(Unanswered::TooCostly) } else { Ok(()) }
}
