//! Policy tests: many questions with the answers that are expected.

use api::authz::v1::{
    Assertion, AssertionResult, CheckQuestion, CheckResult, Decision, RunAssertionsRequest, RunAssertionsResponse,
};
use engine::Meter;
use runtime::Violations;
use tonic::{Request, Response, Status};

use super::{
    Server,
    authorization::decide,
    convert::{binding, text},
    question::{Parts, consistency, decision, declared, missing, question, within},
    refusal::{refused, snapshot},
};
use crate::ops::{contextual, explain::Question};

const MAX_ASSERTIONS: usize = 1_000;

/// A case that has no fault.
struct Case {
    name: String,
    question: Question,
    expected: Decision,
}

/// The case, or nothing and its faults under their paths.
fn case(at: usize, assertion: &Assertion, violations: &mut Violations) -> Option<Case> {
    let mut faults = Vec::new();
    let empty = CheckQuestion::default();
    let asked = assertion.check.as_ref().unwrap_or(&empty);
    let parts =
        Parts { subject: asked.subject.as_ref(), resource: asked.resource.as_ref(), context: asked.context.as_ref() };
    let question = question(parts, &asked.permission, &mut faults);
    for (field, fault) in faults {
        violations.add(format!("assertions[{at}].check.{field}"), fault);
    }
    let expected = match assertion.expected() {
        Decision::Unspecified => {
            violations.add(format!("assertions[{at}].expected"), "must be ALLOWED, DENIED or CONDITIONAL");
            None
        }
        decision => Some(decision),
    };
    let fits = assertion.name.chars().count() <= 200 && !assertion.name.chars().any(char::is_control);
    violations.require(fits, format!("assertions[{at}].name"), "must be at most 200 characters on one line");
    Some(Case { name: assertion.name.clone(), question: question?, expected: expected? })
}

impl Server {
    pub(super) async fn assertions(
        &self,
        request: Request<RunAssertionsRequest>,
    ) -> Result<Response<RunAssertionsResponse>, Status> {
        let granted = self.access.organization(&request).await?;
        let asked = request.get_ref();
        let mut violations = Violations::default();
        text::count(&mut violations, "assertions", asked.assertions.len(), 1, MAX_ASSERTIONS);
        let extra = binding::contextual(&mut violations, &asked.contextual_bindings);
        let each = asked.assertions.iter().take(MAX_ASSERTIONS).enumerate();
        let cases: Vec<Case> = each.filter_map(|(at, assertion)| case(at, assertion, &mut violations)).collect();
        violations.finish()?;
        let consistency = consistency(self.sealer(), asked.consistency.as_ref())?;
        let state = self.snapshots.at(granted.scope, consistency).await.map_err(snapshot)?;
        let named = cases.iter().map(|case| (Some(&case.question.permission), case.question.resource.as_ref()));
        declared(&state.engine, named)?;
        let engine = contextual::with(&state, &extra).map_err(refused)?;
        let (now, meter) = (tenancy::event::now(), Meter::default());
        let results: Vec<AssertionResult> = cases
            .into_iter()
            .map(|Case { name, question, expected }| {
                let decided = decide(&engine, &question, now, &meter);
                let (decision, allowed) = (decision(&decided), decided.is_allowed());
                let actual = CheckResult { decision: decision.into(), allowed, missing_context: missing(decided) };
                AssertionResult { name, passed: decision == expected, actual: Some(actual) }
            })
            .collect();
        within(&meter)?;
        let passed = results.iter().all(|result| result.passed);
        Ok(Response::new(RunAssertionsResponse { results, passed, revision: state.token().to_owned() }))
    }
}
