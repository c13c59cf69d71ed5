//! Calls from one service to another: a workload token for the called service alone, 60 seconds long, naming whose call is being served.

use std::sync::Arc;

use runtime::CallContext;
use tenancy::Actor;
use tokens::{Algorithm, Ring, WORKLOAD_LIFE, WORKLOAD_TYPE, WorkloadClaims};
use tonic::{Request, Status, metadata::MetadataValue};

use crate::{
    caller::{Caller, Service},
    verify::now,
};

/// Signs this process's calls to the others.
#[derive(Debug, Clone)]
pub struct Onward {
    service: Service,
    keys: Arc<Ring>,
}

impl Onward {
    pub fn new(service: Service, keys: Arc<Ring>) -> Self {
        Self { service, keys }
    }

    pub fn service(&self) -> Service {
        self.service
    }

    /// `message` as a call to `target`, made for `caller` as part of `call`: it carries the remaining deadline, the trace and the
    /// request id with it.
    pub fn request<T>(
        &self,
        caller: &Caller,
        call: &CallContext,
        target: Service,
        message: T,
    ) -> Result<Request<T>, Status> {
        self.authorize(caller, target, call.request(message))
    }

    /// The same for a write that carries a `request_id`, so that it may be sent again.
    pub fn keyed_request<T>(
        &self,
        caller: &Caller,
        call: &CallContext,
        target: Service,
        message: T,
    ) -> Result<Request<T>, Status> {
        self.authorize(caller, target, call.keyed_request(message))
    }

    fn authorize<T>(&self, caller: &Caller, target: Service, mut request: Request<T>) -> Result<Request<T>, Status> {
        let now = now();
        let on_behalf_of = match caller.principal() {
            Actor::Anonymous => None,
            Actor::Workload(name) if name == self.service.name() => None,
            actor => Some(actor.to_string()),
        };
        let claims = WorkloadClaims {
            iss: self.service.name().to_owned(),
            sub: self.service.name().to_owned(),
            aud: target.name().to_owned(),
            exp: now + WORKLOAD_LIFE.as_secs(),
            iat: now,
            nbf: now,
            obo: on_behalf_of,
            act: caller.impersonator().map(|actor| actor.to_string()),
        };
        let key = Algorithm::ALL.into_iter().find_map(|algorithm| self.keys.signer(algorithm));
        let key = key.ok_or_else(|| runtime::internal(&NoKey))?;
        let token = key.sign(WORKLOAD_TYPE, &claims).map_err(|error| runtime::internal(&error))?;
        let value = MetadataValue::try_from(format!("Bearer {token}")).map_err(|error| runtime::internal(&error))?;
        request.metadata_mut().insert("authorization", value);
        Ok(request)
    }
}

#[derive(Debug, thiserror::Error)]
#[error("no key of this process may sign now")]
struct NoKey;
