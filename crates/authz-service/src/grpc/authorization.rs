use api::authz::v1::{
    self as proto, AccessDifference, BatchCheckRequest, BatchCheckResponse, CheckRequest, CheckResponse, CheckResult,
    ExplainRequest, ExplainResponse, ExportOrganizationRequest, ExportOrganizationResponse, ImportOrganizationRequest,
    ImportOrganizationResponse, ListPermissionsRequest, ListPermissionsResponse, ListResourcesRequest,
    ListResourcesResponse, ListSubjectsRequest, ListSubjectsResponse, RunAssertionsRequest, RunAssertionsResponse,
    SimulateRequest, SimulateResponse, WatchRevisionsRequest, WatchRevisionsResponse,
    authorization_service_server::AuthorizationService,
};
use engine::{Circumstances, Decision, Meter, Permission, Snapshot};
use runtime::Violations;
use time::OffsetDateTime;
use tonic::{Request, Response, Status, Streaming, codegen::BoxStream};

use super::{
    Server, call,
    convert::{self, text, tokens::Tokens},
    question::{Asked, Parts, consistency, decision, declared, missing, parts, question, settle, within},
    refusal::{refused, rejected, snapshot},
};
use crate::model::Revision;
use crate::ops::{
    self, contextual,
    explain::{Question, Unexplained},
    simulate::{Answer, Difference, Trial, TrialError},
};

const MAX_CHECKS: usize = 10_000;
const MAX_SUBJECTS: usize = 1_000;

pub(super) fn decide(engine: &Snapshot, question: &Question, now: OffsetDateTime, meter: &Meter) -> Decision {
    let (permission, resource) = (&question.permission, question.resource.as_ref());
    engine.check(&question.subject.into(), permission, resource, question.circumstances(now, meter))
}

fn unexplained(error: Unexplained) -> Status {
    match error {
        Unexplained::Snapshot(error) => snapshot(error),
        Unexplained::Refused(error) => refused(error),
    }
}

#[tonic::async_trait]
impl AuthorizationService for Server {
    async fn check(&self, request: Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        let questioner = self.questioner(&request).await?;
        let asked = request.get_ref();
        let mut faults = Vec::new();
        let who = Parts {
            subject: asked.subject.as_ref(),
            resource: asked.resource.as_ref(),
            context: asked.context.as_ref(),
        };
        let question = question(who, &asked.permission, &mut faults);
        let (question, extra) = settle(question, faults, &asked.contextual_bindings)?;
        let consistency = consistency(self.sealer(), asked.consistency.as_ref())?;
        let state = questioner.state(consistency).await?;
        declared(&state.engine, [(Some(&question.permission), question.resource.as_ref())])?;
        let engine = contextual::with(&state, &extra).map_err(refused)?;
        let meter = Meter::default();
        let decided = decide(&engine, &question, tenancy::event::now(), &meter);
        within(&meter)?;
        Ok(Response::new(CheckResponse {
            decision: decision(&decided).into(),
            allowed: decided.is_allowed(),
            missing_context: missing(decided),
            revision: state.token().to_owned(),
        }))
    }

    async fn batch_check(&self, request: Request<BatchCheckRequest>) -> Result<Response<BatchCheckResponse>, Status> {
        let questioner = self.questioner(&request).await?;
        let asked = request.get_ref();
        let mut violations = Violations::default();
        text::count(&mut violations, "checks", asked.checks.len(), 1, MAX_CHECKS);
        let extra = convert::binding::contextual(&mut violations, &asked.contextual_bindings);
        let mut questions = Vec::with_capacity(asked.checks.len().min(MAX_CHECKS));
        let mut faults = Vec::new();
        for (at, check) in asked.checks.iter().take(MAX_CHECKS).enumerate() {
            let who = Parts {
                subject: check.subject.as_ref(),
                resource: check.resource.as_ref(),
                context: check.context.as_ref(),
            };
            questions.extend(question(who, &check.permission, &mut faults));
            for (field, fault) in faults.drain(..) {
                violations.add(format!("checks[{at}].{field}"), fault);
            }
        }
        violations.finish()?;
        let consistency = consistency(self.sealer(), asked.consistency.as_ref())?;
        let state = questioner.state(consistency).await?;
        declared(&state.engine, questions.iter().map(|q| (Some(&q.permission), q.resource.as_ref())))?;
        let engine = contextual::with(&state, &extra).map_err(refused)?;
        let (now, meter) = (tenancy::event::now(), Meter::default());
        let results = questions
            .into_iter()
            .map(|question| {
                let decided = decide(&engine, &question, now, &meter);
                CheckResult {
                    decision: decision(&decided).into(),
                    allowed: decided.is_allowed(),
                    missing_context: missing(decided),
                }
            })
            .collect();
        within(&meter)?;
        let Revision { own: epoch, template: project_epoch, .. } = state.revision();
        Ok(Response::new(BatchCheckResponse { results, revision: state.token().to_owned(), epoch, project_epoch }))
    }

    async fn list_permissions(
        &self,
        request: Request<ListPermissionsRequest>,
    ) -> Result<Response<ListPermissionsResponse>, Status> {
        let questioner = self.questioner(&request).await?;
        let asked = request.get_ref();
        let mut faults = Vec::new();
        let who = Parts {
            subject: asked.subject.as_ref(),
            resource: asked.resource.as_ref(),
            context: asked.context.as_ref(),
        };
        let (read, extra) = settle(parts(who, &mut faults), faults, &asked.contextual_bindings)?;
        let Asked { subject, resource, context } = read;
        let consistency = consistency(self.sealer(), asked.consistency.as_ref())?;
        let state = questioner.state(consistency).await?;
        declared(&state.engine, [(None, resource.as_ref())])?;
        let engine = contextual::with(&state, &extra).map_err(refused)?;
        let meter = Meter::default();
        let given = Circumstances { now: tenancy::event::now(), context: context.as_ref(), meter: Some(&meter) };
        let subject = subject.into();
        let found = engine.permissions(&subject, resource.as_ref(), given);
        within(&meter)?;
        let about = |type_name: &str| resource.as_ref().is_none_or(|resource| resource.type_name() == type_name);
        let told = |found: Vec<&Permission>| {
            let about = found.into_iter().filter(|permission| about(permission.type_name()));
            let mut texts: Vec<String> = about.map(|permission| permission.as_str().to_owned()).collect();
            texts.sort_unstable();
            texts
        };
        Ok(Response::new(ListPermissionsResponse {
            permissions: told(found.allowed),
            conditional_permissions: told(found.conditional),
            revision: state.token().to_owned(),
        }))
    }

    async fn explain(&self, request: Request<ExplainRequest>) -> Result<Response<ExplainResponse>, Status> {
        let granted = self.access.organization(&request).await?;
        let asked = request.get_ref();
        let mut faults = Vec::new();
        let who = Parts {
            subject: asked.subject.as_ref(),
            resource: asked.resource.as_ref(),
            context: asked.context.as_ref(),
        };
        let question = question(who, &asked.permission, &mut faults);
        let (question, extra) = settle(question, faults, &asked.contextual_bindings)?;
        let consistency = consistency(self.sealer(), asked.consistency.as_ref())?;
        let explained = ops::explain::explain(&self.snapshots, granted.scope, consistency, &question, extra)
            .await
            .map_err(unexplained)?;
        within(&explained.meter)?;
        declared(&explained.state.engine, [(Some(&question.permission), question.resource.as_ref())])?;
        let tokens = Tokens::at(self.sealer(), explained.state.revision());
        Ok(Response::new(convert::explain::to_proto(&explained, &tokens)))
    }

    async fn list_resources(
        &self,
        request: Request<ListResourcesRequest>,
    ) -> Result<Response<BoxStream<ListResourcesResponse>>, Status> {
        self.resources(request).await
    }

    async fn list_subjects(
        &self,
        request: Request<ListSubjectsRequest>,
    ) -> Result<Response<BoxStream<ListSubjectsResponse>>, Status> {
        self.subjects(request).await
    }

    async fn export_organization(
        &self,
        request: Request<ExportOrganizationRequest>,
    ) -> Result<Response<BoxStream<ExportOrganizationResponse>>, Status> {
        self.export(request).await
    }

    async fn import_organization(
        &self,
        request: Request<Streaming<ImportOrganizationRequest>>,
    ) -> Result<Response<ImportOrganizationResponse>, Status> {
        self.import(request).await
    }

    async fn run_assertions(
        &self,
        request: Request<RunAssertionsRequest>,
    ) -> Result<Response<RunAssertionsResponse>, Status> {
        self.assertions(request).await
    }

    async fn watch_revisions(
        &self,
        request: Request<WatchRevisionsRequest>,
    ) -> Result<Response<BoxStream<WatchRevisionsResponse>>, Status> {
        let granted = self.access.organization(&request).await?;
        self.watch(granted, request.into_inner())
    }

    async fn simulate(&self, request: Request<SimulateRequest>) -> Result<Response<SimulateResponse>, Status> {
        let granted = self.access.organization(&request).await?;
        let asked = request.get_ref();
        let mut violations = Violations::default();
        let edits = convert::change::edits(&mut violations, &asked.changes);
        text::count(&mut violations, "subjects", asked.subjects.len(), 0, MAX_SUBJECTS);
        let mut subjects = Vec::new();
        for (at, named) in asked.subjects.iter().take(MAX_SUBJECTS).enumerate() {
            subjects.extend(violations.check(format!("subjects[{at}]"), convert::subject::one(Some(named))));
        }
        let context = asked.context.as_ref().filter(|context| !context.fields.is_empty());
        let context = context.and_then(|context| violations.check("context", convert::context::read(context)));
        violations.finish()?;
        let consistency = consistency(self.sealer(), asked.consistency.as_ref())?;
        let most_roles = self.most_roles_for(&granted, None, &edits).await?;
        let grantor = call(&granted, None)?.grantor;
        let trial = Trial { edits, grantor, most_roles, subjects, context };
        let simulated = ops::simulate::simulate(&self.snapshots, granted.scope, consistency, &trial).await;
        let simulated = simulated.map_err(|error| match error {
            TrialError::Snapshot(error) => snapshot(error),
            TrialError::Rejected(error) => rejected(error, &trial.edits),
        })?;
        Ok(Response::new(SimulateResponse {
            differences: simulated.differences.into_iter().map(difference).collect(),
            truncated: simulated.truncated,
            revision: simulated.state.token().to_owned(),
        }))
    }
}

fn difference(difference: Difference) -> AccessDifference {
    AccessDifference {
        subject: Some(convert::subject::to_proto(difference.subject)),
        permission: difference.permission,
        resource: difference.resource.map(convert::resource::to_proto),
        before: answer(difference.before).into(),
        after: answer(difference.after).into(),
    }
}

fn answer(answer: Answer) -> proto::Decision {
    match answer {
        Answer::Allowed => proto::Decision::Allowed,
        Answer::Denied => proto::Decision::Denied,
        Answer::Conditional => proto::Decision::Conditional,
    }
}
