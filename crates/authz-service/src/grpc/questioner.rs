use access::Granted;
use api::{
    Addressed,
    authz::v1::{BatchCheckRequest, CheckRequest, Consistency, ListPermissionsRequest, consistency::Requirement},
};
use tenancy::OrganizationScope;
use tonic::{Request, Status};

use super::Server;

impl Server {
    /// Whoever asks a question that may be answered from memory: what the organization is may then come from there too. The right of a
    /// caller who needs one is decided as of now in any case.
    pub(super) async fn questioner<T: Asks>(&self, request: &Request<T>) -> Result<Granted<OrganizationScope>, Status> {
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
