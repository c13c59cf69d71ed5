use std::collections::BTreeMap;

use api::org::v1 as proto;

use super::{
    Reading,
    choices::{Choice, number},
    time::{duration, read_seconds},
};
use crate::model::{EmailDomain, Fault, RoleReference, Settings};

/// The fields of settings, behind the name of the field that holds them.
macro_rules! fields {
    ($under:literal) => {
        [
            $under,
            concat!($under, ".auth_methods"),
            concat!($under, ".allowed_auth_methods"),
            concat!($under, ".mfa_policy"),
            concat!($under, ".allowed_mfa_methods"),
            concat!($under, ".email_invites"),
            concat!($under, ".email_jit_provisioning"),
            concat!($under, ".sso_jit_provisioning"),
            concat!($under, ".allowed_email_domains"),
            concat!($under, ".jit_role_ids"),
            concat!($under, ".domain_role_ids"),
            concat!($under, ".session_lifetime"),
            concat!($under, ".session_idle_timeout"),
        ]
    };
}
pub(super) use fields;

const METHODS: usize = 16;
const DOMAINS: usize = 100;
const ROLES: usize = 20;
const SESSION: std::ops::RangeInclusive<i64> = 5 * 60..=365 * 24 * 60 * 60;
const SESSION_BOUNDS: &str = "must be 5 minutes to 365 days in whole seconds";

/// None where nothing is chosen.
pub fn settings(settings: &Settings) -> Option<proto::OrganizationSettings> {
    let roles = |roles: &[RoleReference]| roles.iter().map(|role| role.as_str().to_owned()).collect();
    (*settings != Settings::default()).then(|| proto::OrganizationSettings {
        auth_methods: number(settings.auth_methods),
        allowed_auth_methods: settings.allowed_auth_methods.iter().map(|method| method.number()).collect(),
        mfa_policy: number(settings.mfa_policy),
        allowed_mfa_methods: settings.allowed_mfa_methods.iter().map(|method| method.number()).collect(),
        email_invites: number(settings.email_invites),
        email_jit_provisioning: number(settings.email_jit_provisioning),
        sso_jit_provisioning: number(settings.sso_jit_provisioning),
        allowed_email_domains: settings.allowed_email_domains.iter().map(|domain| domain.as_str().to_owned()).collect(),
        jit_role_ids: roles(&settings.jit_role_ids),
        domain_role_ids: settings
            .domain_role_ids
            .iter()
            .map(|(domain, ids)| (domain.as_str().to_owned(), proto::RoleIdList { role_ids: roles(ids) }))
            .collect(),
        session_lifetime: settings.session_lifetime_seconds.map(duration),
        session_idle_timeout: settings.session_idle_timeout_seconds.map(duration),
    })
}

/// The settings in field `under` of the resource.
pub fn read(reading: &mut Reading<'_>, under: &str, settings: Option<proto::OrganizationSettings>) -> Settings {
    let from = settings.unwrap_or_default();
    let path = |field: &str| format!("{under}.{field}");
    let role = |text: &String| RoleReference::parse(text);
    Settings {
        auth_methods: choice(reading, &path("auth_methods"), from.auth_methods),
        allowed_auth_methods: reading.list(
            &path("allowed_auth_methods"),
            &from.allowed_auth_methods,
            METHODS,
            Choice::read_element,
        ),
        mfa_policy: choice(reading, &path("mfa_policy"), from.mfa_policy),
        allowed_mfa_methods: reading.list(
            &path("allowed_mfa_methods"),
            &from.allowed_mfa_methods,
            METHODS,
            Choice::read_element,
        ),
        email_invites: choice(reading, &path("email_invites"), from.email_invites),
        email_jit_provisioning: choice(reading, &path("email_jit_provisioning"), from.email_jit_provisioning),
        sso_jit_provisioning: choice(reading, &path("sso_jit_provisioning"), from.sso_jit_provisioning),
        allowed_email_domains: reading.list(
            &path("allowed_email_domains"),
            &from.allowed_email_domains,
            DOMAINS,
            |name| EmailDomain::parse(name),
        ),
        jit_role_ids: reading.list(&path("jit_role_ids"), &from.jit_role_ids, ROLES, role),
        domain_role_ids: domain_roles(reading, &path("domain_role_ids"), from.domain_role_ids),
        session_lifetime_seconds: from.session_lifetime.and_then(|lifetime| {
            reading.read(&path("session_lifetime"), || read_seconds(lifetime, SESSION, SESSION_BOUNDS))
        }),
        session_idle_timeout_seconds: from.session_idle_timeout.and_then(|timeout| {
            reading.read(&path("session_idle_timeout"), || read_seconds(timeout, SESSION, SESSION_BOUNDS))
        }),
    }
}

fn choice<C: Choice>(reading: &mut Reading<'_>, path: &str, number: i32) -> Option<C> {
    reading.read(path, || C::read(number)).flatten()
}

/// A name that is no domain is not repeated in the answer; the faults of a good name's roles are told under it.
fn domain_roles(
    reading: &mut Reading<'_>,
    path: &str,
    given: BTreeMap<String, proto::RoleIdList>,
) -> BTreeMap<EmailDomain, Vec<RoleReference>> {
    let mut roles = BTreeMap::new();
    if given.len() > DOMAINS {
        reading.read(path, || Err::<(), _>(Fault("must hold at most 100 domains")));
        return roles;
    }
    for (name, list) in given {
        let parsed = || {
            let domain = EmailDomain::parse(&name)
                .map_err(|_| Fault("a key must be a domain name such as acme.test, and no public mail provider's"))?;
            if roles.contains_key(&domain) { Err(Fault("a domain is there twice")) } else { Ok(domain) }
        };
        let Some(domain) = reading.read(path, parsed) else { continue };
        let at = format!("{path}.{}", domain.as_str());
        let ids = reading.list(&at, &list.role_ids, ROLES, |text| RoleReference::parse(text));
        roles.insert(domain, ids);
    }
    roles
}
