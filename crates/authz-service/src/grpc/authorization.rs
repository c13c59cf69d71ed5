use access::Granted;
use api::{
    Addressed,
    authz::v1::{
        BatchCheckRequest, BatchCheckResponse, CheckRequest, CheckResponse, CheckResult, Consistency, Decision,
        ExplainRequest, ExplainResponse, ListPermissionsRequest, ListPermissionsResponse, WatchRevisionsRequest,
        WatchRevisionsResponse, authorization_service_server::AuthorizationService, consistency::Requirement,
    },
};
use runtime::Violations;
use tenancy::OrganizationScope;
use tonic::{Request, Response, Status, codegen::BoxStream};

use super::{
    Server,
    convert::{self, text, tokens::Tokens},
    question::{Parts, consistency, contextual, declared, parts, question, settle},
    refusal::{invalid_revision, snapshot},
    watch::Watch,
};
use crate::{
    model::Revision,
    ops::{self, explain::Question},
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

const MAX_CHECKS: usize = 10_000;

fn decision(allowed: bool) -> i32 {
    i32::from(if allowed { Decision::Allowed } else { Decision::Denied })
}

impl Server {
    /// Whoever asks a question that may be answered from memory: what the organization is may then come from there too. The right of a
    /// caller who needs one is decided as of now in any case.
    async fn questioner<T: Asks>(&self, request: &Request<T>) -> Result<Granted<OrganizationScope>, Status> {
        let asked = request.get_ref();
        let fresh = matches!(
            asked.consistency().and_then(|asked| asked.requirement.as_ref()),
            Some(Requirement::FullyConsistent(_))
        );
        let organization = asked.organization_id().filter(|_| !fresh);
        let known = match organization {
            Some(organization) => self.snapshots.known(organization).await,
            None => None,
        };
        self.access.organization_known(request, known).await
    }
}

/// A question with a consistency.
trait Asks: Addressed {
    fn consistency(&self) -> Option<&Consistency>;
}

macro_rules! asks {
    ($($request:ty),*) => {
        $(impl Asks for $request {
            fn consistency(&self) -> Option<&Consistency> {
                self.consistency.as_ref()
            }
        })*
    };
}

asks!(CheckRequest, BatchCheckRequest, ListPermissionsRequest);

#[tonic::async_trait]
impl AuthorizationService for Server {
    async fn check(&self, request: Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        let granted = self.questioner(&request).await?;
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
        let granted = self.questioner(&request).await?;
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
        let granted = self.questioner(&request).await?;
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

    async fn watch_revisions(
        &self,
        request: Request<WatchRevisionsRequest>,
    ) -> Result<Response<BoxStream<WatchRevisionsResponse>>, Status> {
        let granted = self.access.organization(&request).await?;
        let asked = request.get_ref();
        let told = match asked.after_revision.as_str() {
            "" => None,
            token => Some(Revision::parse(self.sealer(), token).map_err(|_| invalid_revision("after_revision"))?),
        };
        // Without the changes the first message is the present revision; a token of anything else has nothing that goes on behind it.
        let of_it = |told: &Revision| told.tenant == granted.scope.organization_id();
        let told = told.filter(|told| asked.include_changes && of_it(told));
        let _stream = self.streams.open(granted.caller.principal())?;
        let watch = Watch { granted, include_changes: asked.include_changes, told, _stream };
        let (sender, receiver) = mpsc::channel(16);
        tokio::spawn(watch.run(self.clone(), sender));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}
