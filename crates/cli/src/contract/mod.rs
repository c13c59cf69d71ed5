//! The contracts as the commands see them: methods and their messages by name, with the comments that document them.

mod documentation;
mod wire;

use std::sync::LazyLock;

use prost_reflect::{DescriptorPool, DynamicMessage, EnumDescriptor, FieldDescriptor, MethodDescriptor};

pub use documentation::documentation;
pub use wire::Wire;

/// What the ids of fields and methods begin with, and nobody needs to type.
const PACKAGE: &str = "guildhall.";

static POOL: LazyLock<Option<DescriptorPool>> =
    LazyLock::new(|| DescriptorPool::decode(api::DOCUMENTED_FILE_DESCRIPTOR_SET).ok());

/// A method by `org.v1.OrganizationService/GetOrganization`, `guildhall.` before it or not; or by `OrganizationService/GetOrganization`
/// where one service alone is called so.
pub fn method(name: &str) -> Option<MethodDescriptor> {
    let (service, method) = name.trim_start_matches('/').rsplit_once('/')?;
    let pool = POOL.as_ref()?;
    let full = if service.starts_with(PACKAGE) { service.to_owned() } else { format!("{PACKAGE}{service}") };
    let found = pool.get_service_by_name(&full).or_else(|| {
        let mut named = pool.services().filter(|known| known.name() == service);
        named.next().filter(|_| named.next().is_none())
    })?;
    found.methods().find(|known| known.name() == method)
}

/// Every method that the outside may call, as [`method`] takes it.
pub fn methods() -> impl Iterator<Item = String> {
    let public = api::METHODS.iter().filter(|method| method.audience != api::Audience::Workload);
    public.map(|method| method.path.trim_start_matches('/').trim_start_matches(PACKAGE).to_owned())
}

/// `/guildhall.org.v1.OrganizationService/GetOrganization`.
pub fn path(method: &MethodDescriptor) -> String {
    format!("/{}/{}", method.parent_service().full_name(), method.name())
}

/// What a caller needs no credential for.
pub fn is_for_anyone(method: &MethodDescriptor) -> bool {
    api::method(&path(method)).is_some_and(|method| method.audience == api::Audience::Anyone)
}

/// The values of an enum as people write them: `team` for `ORGANIZATION_KIND_TEAM`; without the unspecified one.
pub fn words(kind: &EnumDescriptor) -> Vec<(String, String)> {
    let unspecified = kind.default_value();
    let prefix = unspecified.name().strip_suffix("UNSPECIFIED").unwrap_or_default();
    let values = kind.values().filter(|value| value.number() != unspecified.number());
    values.map(|value| (word(value.name(), prefix), value.name().to_owned())).collect()
}

fn word(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_ascii_lowercase().replace('_', "-")
}

/// The resource that a request carries, whose fields are the command's own: what has an etag.
pub fn resource(method: &MethodDescriptor) -> Option<FieldDescriptor> {
    method.input().fields().find(|field| {
        let message = field.kind();
        let message = message.as_message();
        !field.is_list() && !field.is_map() && message.is_some_and(|m| m.get_field_by_name("etag").is_some())
    })
}

/// The repeated field that a page holds, of a method that answers in pages.
pub fn page(method: &MethodDescriptor) -> Option<FieldDescriptor> {
    let answer = method.output();
    answer.get_field_by_name("next_page_token")?;
    answer.fields().find(FieldDescriptor::is_list)
}

/// As proto3 JSON.
pub fn to_json(message: &DynamicMessage) -> serde_json::Value {
    serde_json::to_value(message).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_have_short_names_where_they_are_clear() {
        for name in [
            "org.v1.OrganizationService/GetOrganization",
            "guildhall.org.v1.OrganizationService/GetOrganization",
            "/guildhall.org.v1.OrganizationService/GetOrganization",
            "OrganizationService/GetOrganization",
        ] {
            assert_eq!(method(name).unwrap().full_name(), "guildhall.org.v1.OrganizationService.GetOrganization");
        }
        for none in ["OrganizationService", "OrganizationService/Nothing", "Nothing/GetOrganization", "", "/"] {
            assert!(method(none).is_none(), "{none}");
        }
        for name in methods() {
            assert!(method(&name).is_some(), "{name}");
        }
    }

    #[test]
    fn a_method_has_a_resource_and_a_page_where_it_carries_them() {
        let of = |name| resource(&method(name).unwrap()).map(|field| field.name().to_owned());
        assert_eq!(of("MemberService/CreateMember").as_deref(), Some("member"));
        assert_eq!(of("ConnectionService/UpdateConnection").as_deref(), Some("connection"));
        assert_eq!(of("AuthorizationService/Check"), None);
        let page = page(&method("MemberService/ListMembers").unwrap()).unwrap();
        assert_eq!(page.name(), "members");
    }

    #[test]
    fn values_are_words() {
        let kind = method("OrganizationService/ListOrganizations").unwrap().input().get_field_by_name("kind").unwrap();
        let words: Vec<_> = words(kind.kind().as_enum().unwrap()).into_iter().map(|(word, _)| word).collect();
        assert_eq!(words, ["personal", "team"]);
    }
}
