use api::org::v1 as proto;
use runtime::Violations;
use tonic::Status;

use super::{choices::Choice, required, time::timestamp};
use crate::{
    model::{AskedName, Domain, DomainName, DomainPurpose, HostBase},
    ops::domain::Filter,
};

pub fn domain(domain: &Domain) -> proto::Domain {
    proto::Domain {
        domain_id: domain.domain_id.to_string(),
        organization_id: domain.organization_id.to_string(),
        name: domain.name.as_str().to_owned(),
        purpose: domain.purpose.number(),
        state: domain.state.number(),
        challenge: Some(proto::DomainChallenge {
            record_name: domain.record_name(),
            record_value: domain.record_value.as_str().to_owned(),
        }),
        verify_time: domain.verify_time.map(timestamp),
        create_time: Some(timestamp(domain.create_time)),
        update_time: Some(timestamp(domain.update_time)),
        etag: tenancy::mask::etag(domain.revision),
    }
}

pub fn read_create(
    request: proto::CreateDomainRequest,
    vanity_base: Option<&HostBase>,
) -> Result<(DomainName, DomainPurpose), Status> {
    let from = required("domain", request.domain)?;
    let mut violations = Violations::default();
    let name = violations.check("domain.name", DomainName::parse(&from.name));
    if let (Some(name), Some(base)) = (&name, vanity_base) {
        violations.require(!name.is_within(base), "domain.name", "must not be within the installation's own base");
    }
    let purpose = violations.check("domain.purpose", Choice::read_element(&from.purpose));
    violations.all((name, purpose))
}

pub fn filter(request: &proto::ListDomainsRequest, violations: &mut Violations) -> Option<Filter> {
    let purpose = violations.check("purpose", Choice::read(request.purpose));
    let state = violations.check("state", Choice::read(request.state));
    Some(Filter { purpose: purpose?, state: state? })
}

/// A name that is asked for, alone in its request.
pub fn one_name(field: &'static str, text: &str) -> Result<AskedName, Status> {
    AskedName::parse(text).map_err(|fault| access::invalid_field(field, fault))
}
