use api::authz::v1::{
    AccessDifference, BatchCheckRequest, BatchCheckResponse, CheckRequest, CheckResponse, CheckResult, Decision,
    ExplainRequest, ExplainResponse, ExportOrganizationRequest, ExportOrganizationResponse, ImportOrganizationRequest,
    ImportOrganizationResponse, ListPermissionsRequest, ListPermissionsResponse, ListResourcesRequest,
    ListResourcesResponse, ListSubjectsRequest, ListSubjectsResponse, RunAssertionsRequest, RunAssertionsResponse,
    SimulateRequest, SimulateResponse, authorization_service_server::AuthorizationService,
};
use runtime::Violations;
use tonic::{Request, Response, Status, Streaming, codegen::BoxStream};

use super::{
    Server, call,
    convert::{self, text, tokens::Tokens},
    question::{Parts, UNBOUNDED, bounded, consistency, contextual, declared, parts, question, settle},
    refusal::{rejected, snapshot},
};
use crate::ops::{
    self,
    explain::Question,
    simulate::{Difference, Trial, TrialError},
};

const MAX_CHECKS: usize = 10_000;
const MAX_SUBJECTS: usize = 1_000;

pub(super) fn decision(allowed: bool) -> i32 {
    i32::from(if allowed { Decision::Allowed } else { Decision::Denied })
}

#[tonic::async_trait]
impl AuthorizationService for Server {
    async fn check(&self, request: Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        let granted = self.access.organization(&request).await?;
        let asked = request.get_ref();
        let mut faults = Vec::new();
        let who = Parts {
            subject: asked.subject.as_ref(),
            resource: asked.resource.as_ref(),
            context: asked.context.as_ref(),
        };
        let question = question(who, &asked.permission, &mut faults);
        let Question { subject, permission, resource } = settle(question, faults, &asked.contextual_bindings)?;
        let consistency = consistency(self.sealer(), asked.consistency.as_ref())?;
        let state = self.snapshots.at(granted.scope, consistency).await.map_err(snapshot)?;
        declared(&state.engine, [(Some(&permission), resource.as_ref())])?;
        let now = tenancy::event::now();
        let allowed = state.engine.check(&subject.into(), &permission, resource.as_ref(), now).is_allowed();
        Ok(Response::new(CheckResponse {
            decision: decision(allowed),
            allowed,
            missing_context: Vec::new(),
            revision: state.token().to_owned(),
        }))
    }

    async fn batch_check(&self, request: Request<BatchCheckRequest>) -> Result<Response<BatchCheckResponse>, Status> {
        let granted = self.access.organization(&request).await?;
        let asked = request.get_ref();
        let mut violations = Violations::default();
        text::count(&mut violations, "checks", asked.checks.len(), 1, MAX_CHECKS);
        contextual(&mut violations, &asked.contextual_bindings);
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
        let state = self.snapshots.at(granted.scope, consistency).await.map_err(snapshot)?;
        declared(&state.engine, questions.iter().map(|q| (Some(&q.permission), q.resource.as_ref())))?;
        let now = tenancy::event::now();
        let results = questions
            .into_iter()
            .map(|Question { subject, permission, resource }| {
                let allowed = state.engine.check(&subject.into(), &permission, resource.as_ref(), now).is_allowed();
                CheckResult { decision: decision(allowed), allowed, missing_context: Vec::new() }
            })
            .collect();
        Ok(Response::new(BatchCheckResponse { results, revision: state.token().to_owned() }))
    }

    async fn list_permissions(
        &self,
        request: Request<ListPermissionsRequest>,
    ) -> Result<Response<ListPermissionsResponse>, Status> {
        let granted = self.access.organization(&request).await?;
        let asked = request.get_ref();
        let mut faults = Vec::new();
        let who = Parts {
            subject: asked.subject.as_ref(),
            resource: asked.resource.as_ref(),
            context: asked.context.as_ref(),
        };
        let (subject, resource) = settle(parts(who, &mut faults), faults, &asked.contextual_bindings)?;
        let consistency = consistency(self.sealer(), asked.consistency.as_ref())?;
        let state = self.snapshots.at(granted.scope, consistency).await.map_err(snapshot)?;
        declared(&state.engine, [(None, resource.as_ref())])?;
        let held = state.engine.list_permissions(&subject.into(), resource.as_ref(), tenancy::event::now());
        let about = |type_name: &str| resource.as_ref().is_none_or(|resource| resource.type_name() == type_name);
        let mut permissions: Vec<String> = held
            .into_iter()
            .filter(|permission| about(permission.type_name()))
            .map(|permission| permission.as_str().to_owned())
            .collect();
        permissions.sort_unstable();
        Ok(Response::new(ListPermissionsResponse {
            permissions,
            conditional_permissions: Vec::new(),
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
        let question = settle(question, faults, &asked.contextual_bindings)?;
        let consistency = consistency(self.sealer(), asked.consistency.as_ref())?;
        let explained =
            ops::explain::explain(&self.snapshots, granted.scope, consistency, &question).await.map_err(snapshot)?;
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
        if !asked.context.as_ref().is_none_or(bounded) {
            violations.add("context", UNBOUNDED);
        }
        violations.finish()?;
        let consistency = consistency(self.sealer(), asked.consistency.as_ref())?;
        let most_roles = self.most_roles_for(&granted, None, &edits).await?;
        let grantor = call(&granted, None)?.grantor;
        let trial = Trial { edits, grantor, most_roles, subjects };
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
        before: decision(!difference.gained),
        after: decision(difference.gained),
    }
}
