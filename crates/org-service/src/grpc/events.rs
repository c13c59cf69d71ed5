//! The payloads of this service's events, from their stored form to the contract's.

use api::event::v1::{ConnectionChange, DomainChange, OrganizationChange, ProjectChange, event::Payload};
use tenancy::Change;

use super::convert;
use crate::model;

/// None for a kind that is not ours, or a payload that no longer reads.
pub fn payload(kind: &str, json: &str) -> Option<Payload> {
    match kind.split('.').next()? {
        "project" => {
            let change: model::ProjectChange = serde_json::from_str(json).ok()?;
            Some(Payload::Project(ProjectChange {
                before: change.before.as_ref().map(convert::project),
                after: change.after.as_ref().map(convert::project),
                reason: change.reason,
            }))
        }
        // Nothing is told of what was erased.
        "organization" if kind == "organization.purged" => None,
        "organization" => {
            let change: model::OrganizationChange = serde_json::from_str(json).ok()?;
            Some(Payload::Organization(OrganizationChange {
                before: change.before.as_ref().map(convert::organization_alone),
                after: change.after.as_ref().map(convert::organization_alone),
                reason: change.reason,
            }))
        }
        "domain" => {
            let change: Change<model::Domain> = serde_json::from_str(json).ok()?;
            Some(Payload::Domain(DomainChange {
                before: change.before.as_ref().map(convert::domain::domain),
                after: change.after.as_ref().map(convert::domain::domain),
            }))
        }
        "connection" => {
            let change: model::ConnectionChange = serde_json::from_str(json).ok()?;
            Some(Payload::Connection(ConnectionChange {
                before: change.before.as_ref().map(convert::connection::connection),
                after: change.after.as_ref().map(convert::connection::connection),
                reason: change.reason,
            }))
        }
        _ => None,
    }
}
