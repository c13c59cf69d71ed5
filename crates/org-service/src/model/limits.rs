//! Limits: what is set where, and what holds.

use std::collections::BTreeMap;

use super::Plan;

/// What one place (a project, a plan, an organization) says of each limit. None: nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct LimitValues {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_members: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_pending_invitations: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_custom_roles: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_service_accounts: Option<i32>,
}

impl LimitValues {
    /// Takes over those fields of `from` that are named.
    pub fn take(&mut self, from: Self, named: impl Fn(&str) -> bool) {
        let mut take = |field: &str, into: fn(&mut Self) -> &mut Option<i32>, value| {
            if named(field) {
                *into(self) = value;
            }
        };
        take("max_members", |to| &mut to.max_members, from.max_members);
        take("max_pending_invitations", |to| &mut to.max_pending_invitations, from.max_pending_invitations);
        take("max_custom_roles", |to| &mut to.max_custom_roles, from.max_custom_roles);
        take("max_service_accounts", |to| &mut to.max_service_accounts, from.max_service_accounts);
    }
}

impl From<LimitsInForce> for LimitValues {
    fn from(limits: LimitsInForce) -> Self {
        let value = |limit: Option<LimitInForce>| limit.map(|limit| limit.value);
        Self {
            max_members: value(limits.max_members),
            max_pending_invitations: value(limits.max_pending_invitations),
            max_custom_roles: value(limits.max_custom_roles),
            max_service_accounts: value(limits.max_service_accounts),
        }
    }
}

/// The limits of a project, and what it gives to its organizations.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct ProjectLimits {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_organizations: Option<i32>,
    pub organization: LimitValues,
    pub plans: BTreeMap<Plan, LimitValues>,
}

impl ProjectLimits {
    /// Takes over those fields of `from` that are named. The plans are taken as a whole.
    pub fn take(&mut self, from: Self, named: impl Fn(&str) -> bool) {
        if named("max_organizations") {
            self.max_organizations = from.max_organizations;
        }
        let of_organizations = |field: &str| named("organization") || named(&format!("organization.{field}"));
        self.organization.take(from.organization, of_organizations);
        if named("plans") {
            self.plans = from.plans;
        }
    }
}

/// How much of each limit an organization uses. None: not known, as the service that counts could not be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    pub members: Option<i32>,
    pub pending_invitations: Option<i32>,
    pub custom_roles: Option<i32>,
    pub service_accounts: Option<i32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum LimitSource {
    Project,
    Plan,
    Organization,
}

/// A limit as it holds for one organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct LimitInForce {
    pub value: i32,
    pub source: LimitSource,
}

/// The limits as they hold for one organization. None: there is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct LimitsInForce {
    pub max_members: Option<LimitInForce>,
    pub max_pending_invitations: Option<LimitInForce>,
    pub max_custom_roles: Option<LimitInForce>,
    pub max_service_accounts: Option<LimitInForce>,
}

impl LimitsInForce {
    /// The nearest wins, for each limit by itself: the organization's own, its plan's, its project's.
    pub fn of(own: &LimitValues, plan: &LimitValues, project: &LimitValues) -> Self {
        let nearest = |field: fn(&LimitValues) -> Option<i32>| {
            [(own, LimitSource::Organization), (plan, LimitSource::Plan), (project, LimitSource::Project)]
                .into_iter()
                .find_map(|(values, source)| field(values).map(|value| LimitInForce { value, source }))
        };
        Self {
            max_members: nearest(|values| values.max_members),
            max_pending_invitations: nearest(|values| values.max_pending_invitations),
            max_custom_roles: nearest(|values| values.max_custom_roles),
            max_service_accounts: nearest(|values| values.max_service_accounts),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_value_holds_for_each_limit_by_itself() {
        let own = LimitValues { max_members: Some(0), ..LimitValues::default() };
        let plan = LimitValues { max_members: Some(10), max_custom_roles: Some(3), ..LimitValues::default() };
        let project =
            LimitValues { max_custom_roles: Some(9), max_service_accounts: Some(5), ..LimitValues::default() };
        let in_force = LimitsInForce::of(&own, &plan, &project);
        let limit = |value, source| Some(LimitInForce { value, source });
        assert_eq!(in_force.max_members, limit(0, LimitSource::Organization), "none at all is a limit too");
        assert_eq!(in_force.max_custom_roles, limit(3, LimitSource::Plan));
        assert_eq!(in_force.max_service_accounts, limit(5, LimitSource::Project));
        assert_eq!(in_force.max_pending_invitations, None);
    }
}
