use std::collections::BTreeMap;

use api::org::v1 as proto;

use super::{Reading, choices::Choice};
use crate::model::{Fault, LimitInForce, LimitSource, LimitValues, LimitsInForce, Plan, ProjectLimits, Usage};

const PLANS: usize = 64;

pub fn in_force(limits: &LimitsInForce) -> proto::OrganizationLimits {
    in_force_and_use(limits, Usage::default())
}

pub fn in_force_and_use(limits: &LimitsInForce, usage: Usage) -> proto::OrganizationLimits {
    let limit = |limit: Option<LimitInForce>, used: Option<i32>| {
        Some(proto::Limit {
            value: limit.map(|limit| limit.value),
            source: limit.map_or(0, |limit| limit.source.number()),
            used,
        })
    };
    proto::OrganizationLimits {
        max_members: limit(limits.max_members, usage.members),
        max_pending_invitations: limit(limits.max_pending_invitations, usage.pending_invitations),
        max_custom_roles: limit(limits.max_custom_roles, usage.custom_roles),
        max_service_accounts: limit(limits.max_service_accounts, usage.service_accounts),
    }
}

/// An organization's own values, as they stand in events: what it inherited at the time is not among them.
pub fn own(limits: &LimitValues) -> proto::OrganizationLimits {
    let limit = |value: Option<i32>| {
        value.map(|value| proto::Limit { value: Some(value), source: LimitSource::Organization.number(), used: None })
    };
    proto::OrganizationLimits {
        max_members: limit(limits.max_members),
        max_pending_invitations: limit(limits.max_pending_invitations),
        max_custom_roles: limit(limits.max_custom_roles),
        max_service_accounts: limit(limits.max_service_accounts),
    }
}

pub fn of_project(limits: &ProjectLimits) -> Option<proto::ProjectLimits> {
    (*limits != ProjectLimits::default()).then(|| proto::ProjectLimits {
        max_organizations: limits.max_organizations,
        organization: (limits.organization != LimitValues::default()).then(|| values(&limits.organization)),
        plans: limits.plans.iter().map(|(plan, limits)| (plan.as_str().to_owned(), values(limits))).collect(),
    })
}

pub fn values(limits: &LimitValues) -> proto::LimitValues {
    proto::LimitValues {
        max_members: limits.max_members,
        max_pending_invitations: limits.max_pending_invitations,
        max_custom_roles: limits.max_custom_roles,
        max_service_accounts: limits.max_service_accounts,
    }
}

fn read_value(value: i32) -> Result<i32, Fault> {
    if value >= 0 { Ok(value) } else { Err(Fault("must be 0 to 2,147,483,647")) }
}

fn read_optional(reading: &mut Reading<'_>, path: &str, value: Option<i32>) -> Option<i32> {
    value.and_then(|value| reading.read(path, || read_value(value)))
}

/// An organization's own values.
pub fn read(reading: &mut Reading<'_>, limits: Option<proto::OrganizationLimits>) -> LimitValues {
    let limits = limits.unwrap_or_default();
    let value = |limit: Option<proto::Limit>| limit.and_then(|limit| limit.value);
    LimitValues {
        max_members: read_optional(reading, "limits.max_members", value(limits.max_members)),
        max_pending_invitations: read_optional(
            reading,
            "limits.max_pending_invitations",
            value(limits.max_pending_invitations),
        ),
        max_custom_roles: read_optional(reading, "limits.max_custom_roles", value(limits.max_custom_roles)),
        max_service_accounts: read_optional(reading, "limits.max_service_accounts", value(limits.max_service_accounts)),
    }
}

pub fn read_of_project(reading: &mut Reading<'_>, limits: Option<proto::ProjectLimits>) -> ProjectLimits {
    let limits = limits.unwrap_or_default();
    let mut plans = BTreeMap::new();
    if limits.plans.len() > PLANS {
        reading.read("limits.plans", || Err::<(), _>(Fault("must hold at most 64 plans")));
    } else {
        for (name, values) in limits.plans {
            let Some(plan) = reading.read("limits.plans", || Plan::parse(&name).map_err(|_| PLAN_NAME)) else {
                continue;
            };
            let path = format!("limits.plans.{}", plan.as_str());
            plans.insert(plan, read_values(reading, &path, &values));
        }
    }
    ProjectLimits {
        max_organizations: read_optional(reading, "limits.max_organizations", limits.max_organizations),
        organization: read_values(reading, "limits.organization", &limits.organization.unwrap_or_default()),
        plans,
    }
}

const PLAN_NAME: Fault = Fault("the name of a plan must be 1 to 64 of a-z, 0-9, _ and -");

fn read_values(reading: &mut Reading<'_>, path: &str, values: &proto::LimitValues) -> LimitValues {
    let mut read = |field: &str, value| read_optional(reading, &format!("{path}.{field}"), value);
    LimitValues {
        max_members: read("max_members", values.max_members),
        max_pending_invitations: read("max_pending_invitations", values.max_pending_invitations),
        max_custom_roles: read("max_custom_roles", values.max_custom_roles),
        max_service_accounts: read("max_service_accounts", values.max_service_accounts),
    }
}
