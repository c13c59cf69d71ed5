//! An organization's whole authorization, out of it and into another.

use std::time::Duration;

use api::authz::v1::{
    AuthorizationRecord, ExportOrganizationRequest, ExportOrganizationResponse, authorization_record::Record as Proto,
};
use tonic::{Request, Response, Status, codegen::BoxStream};

use super::{
    Server,
    convert::{self, tokens::Tokens},
    outlet::{self, WAITING},
    question::consistency,
    refusal::snapshot,
};
use crate::ops::export::{Export, Record};

/// An export holds a transaction: whoever takes nothing for so long loses it. The database would end it soon after.
const PATIENCE: Duration = Duration::from_secs(8);

fn to_proto(record: Record, tokens: &Tokens<'_>) -> AuthorizationRecord {
    let record = match record {
        Record::Role(role) => Proto::Role(convert::role::to_proto(role, tokens)),
        Record::Group(group) => Proto::Group(convert::group::to_proto(group, tokens)),
        Record::Membership(membership) => Proto::Membership(convert::group::membership(membership, tokens)),
        Record::Resource(resource) => Proto::Resource(convert::resource::registration(resource, tokens)),
        Record::Binding(binding) => Proto::Binding(convert::binding::to_proto(binding, tokens)),
    };
    AuthorizationRecord { record: Some(record) }
}

impl Server {
    pub(super) async fn export(
        &self,
        request: Request<ExportOrganizationRequest>,
    ) -> Result<Response<BoxStream<ExportOrganizationResponse>>, Status> {
        let granted = self.access.organization(&request).await?;
        let consistency = consistency(self.sealer(), request.get_ref().consistency.as_ref())?;
        let place = self.exports.enter(granted.scope.organization_id()).map_err(access::store)?;
        self.snapshots.reached(granted.scope, consistency).await.map_err(snapshot)?;
        let heads = self.heads(granted.scope).await?;
        let mut export = Export::open(self.database(), granted.scope).await.map_err(access::store)?;
        let server = self.clone();
        let right = outlet::right(&self.access, &granted, None);
        Ok(outlet::stream(&granted.call, WAITING, PATIENCE, right, |outlet| async move {
            let _place = place;
            let tokens = server.tokens(&heads);
            let revision = export.revision().token(server.sealer());
            loop {
                outlet.in_time()?;
                let records = export.next().await.map_err(access::store)?;
                if records.is_empty() {
                    break;
                }
                for record in records {
                    let record = Some(to_proto(record, &tokens));
                    outlet.send(ExportOrganizationResponse { record, revision: revision.clone() }).await?;
                }
            }
            export.finish();
            Ok(())
        }))
    }
}
