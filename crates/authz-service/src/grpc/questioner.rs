use std::sync::Arc;

use access::Granted;
use api::{
    Addressed,
    authz::v1::{BatchCheckRequest, CheckRequest, Consistency, ListPermissionsRequest, consistency::Requirement},
};
use tenancy::OrganizationScope;
use tonic::{Request, Status};

use super::{Server, refusal::snapshot};
use crate::snapshots::{Consistency as Freshness, State};

impl Server {
    /// Whoever asks a question that may be answered from memory: what the organization is may then come from there too. The right of a
    /// caller who needs one is decided as of now in any case.
    pub(super) async fn questioner<T: Asks>(&self, request: &Request<T>) -> Result<Questioner<'_>, Status> {
        let asked = request.get_ref();
        let fresh = matches!(
            asked.consistency().and_then(|asked| asked.requirement.as_ref()),
            Some(Requirement::FullyConsistent(_))
        );
        let organization = asked.organization_id().filter(|_| !fresh);
        let at_hand = match organization {
            Some(organization) => self.snapshots.at_hand(organization).await,
            None => None,
        };
        let (at_hand, known) = at_hand.map_or((None, None), |(state, known)| (Some(state), known));
        let granted = self.access.organization_known(request, known).await?;
        Ok(Questioner { server: self, granted, at_hand })
    }
}

/// One who may ask, with the snapshot that their organization was found in.
#[derive(Debug)]
pub struct Questioner<'s> {
    server: &'s Server,
    granted: Granted<OrganizationScope>,
    at_hand: Option<Arc<State>>,
}

impl Questioner<'_> {
    /// What answers them, as fresh as they asked for.
    pub async fn state(self, freshness: Freshness) -> Result<Arc<State>, Status> {
        let Self { server, granted, at_hand } = self;
        server.snapshots.no_older(at_hand, granted.scope, freshness).await.map_err(snapshot)
    }
}

/// A question with a consistency.
pub trait Asks: Addressed {
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
