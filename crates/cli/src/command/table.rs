//! Which commands there are. What each of them takes and answers, and its help, is read off its method.

/// A word that commands stand below: `member`.
pub struct Noun {
    pub name: &'static str,
    pub about: &'static str,
    pub verbs: &'static [Verb],
    pub nouns: &'static [Noun],
}

/// A command: `member get`.
pub struct Verb {
    pub name: &'static str,
    pub method: &'static str,
    /// The fields that are given by place, not by a flag; a dotted path leads into a message.
    pub places: &'static [&'static str],
}

const fn noun(name: &'static str, about: &'static str, verbs: &'static [Verb]) -> Noun {
    Noun { name, about, verbs, nouns: &[] }
}

const fn verb(name: &'static str, method: &'static str, places: &'static [&'static str]) -> Verb {
    Verb { name, method, places }
}

/// Commands of one word.
pub const VERBS: &[Verb] = &[
    verb("check", "authz.v1.AuthorizationService/Check", &["subject", "permission", "resource"]),
    verb("explain", "authz.v1.AuthorizationService/Explain", &["subject", "permission", "resource"]),
    verb("whoami", "gateway.v1.AuthenticationService/WhoAmI", &[]),
];

pub const NOUNS: &[Noun] = &[
    noun(
        "project",
        "Projects; for the operator's credential",
        &[
            verb("create", "org.v1.ProjectService/CreateProject", &[]),
            verb("get", "org.v1.ProjectService/GetProject", &["project_id"]),
            verb("list", "org.v1.ProjectService/ListProjects", &[]),
            verb("update", "org.v1.ProjectService/UpdateProject", &["project_id"]),
            verb("archive", "org.v1.ProjectService/ArchiveProject", &["project_id"]),
        ],
    ),
    noun(
        "org",
        "Organizations",
        &[
            verb("create", "org.v1.OrganizationService/CreateOrganization", &[]),
            verb("get", "org.v1.OrganizationService/GetOrganization", &["organization_id"]),
            verb("batch-get", "org.v1.OrganizationService/BatchGetOrganizations", &["organization_ids"]),
            verb("lookup", "org.v1.OrganizationService/LookupOrganization", &[]),
            verb("list", "org.v1.OrganizationService/ListOrganizations", &[]),
            verb("update", "org.v1.OrganizationService/UpdateOrganization", &["organization_id"]),
            verb("suspend", "org.v1.OrganizationService/SuspendOrganization", &["organization_id"]),
            verb("reactivate", "org.v1.OrganizationService/ReactivateOrganization", &["organization_id"]),
            verb("delete", "org.v1.OrganizationService/DeleteOrganization", &["organization_id"]),
            verb("undelete", "org.v1.OrganizationService/UndeleteOrganization", &["organization_id"]),
        ],
    ),
    noun(
        "domain",
        "An organization's email domains and host names",
        &[
            verb("create", "org.v1.DomainService/CreateDomain", &["domain.name"]),
            verb("get", "org.v1.DomainService/GetDomain", &["domain_id"]),
            verb("list", "org.v1.DomainService/ListDomains", &[]),
            verb("verify", "org.v1.DomainService/VerifyDomain", &["domain_id"]),
            verb("delete", "org.v1.DomainService/DeleteDomain", &["domain_id"]),
        ],
    ),
    noun(
        "connection",
        "An organization's SSO connections",
        &[
            verb("create", "org.v1.ConnectionService/CreateConnection", &[]),
            verb("get", "org.v1.ConnectionService/GetConnection", &["connection_id"]),
            verb("list", "org.v1.ConnectionService/ListConnections", &[]),
            verb("update", "org.v1.ConnectionService/UpdateConnection", &["connection_id"]),
            verb("delete", "org.v1.ConnectionService/DeleteConnection", &["connection_id"]),
            verb("test", "org.v1.ConnectionService/TestConnection", &["connection_id"]),
        ],
    ),
    noun(
        "member",
        "An organization's members",
        &[
            verb("create", "member.v1.MemberService/CreateMember", &["member.email_address"]),
            verb("get", "member.v1.MemberService/GetMember", &["member_id"]),
            verb("lookup", "member.v1.MemberService/LookupMember", &[]),
            verb("list", "member.v1.MemberService/ListMembers", &[]),
            verb("update", "member.v1.MemberService/UpdateMember", &["member.member_id"]),
            verb("suspend", "member.v1.MemberService/SuspendMember", &["member_id"]),
            verb("reactivate", "member.v1.MemberService/ReactivateMember", &["member_id"]),
            verb("remove", "member.v1.MemberService/RemoveMember", &["member_id"]),
            verb("set-password", "member.v1.CredentialService/SetPassword", &["member_id"]),
        ],
    ),
    noun(
        "invitation",
        "Invitations into an organization",
        &[
            verb("create", "member.v1.InvitationService/CreateInvitation", &["invitation.email_address"]),
            verb("get", "member.v1.InvitationService/GetInvitation", &["invitation_id"]),
            verb("list", "member.v1.InvitationService/ListInvitations", &[]),
            verb("resend", "member.v1.InvitationService/ResendInvitation", &["invitation_id"]),
            verb("revoke", "member.v1.InvitationService/RevokeInvitation", &["invitation_id"]),
            verb("accept", "member.v1.InvitationService/AcceptInvitation", &[]),
        ],
    ),
    noun(
        "identity",
        "The people behind the members",
        &[
            verb("get", "member.v1.IdentityService/GetIdentity", &["identity_id"]),
            verb("lookup", "member.v1.IdentityService/LookupIdentity", &["email_address"]),
            verb("update", "member.v1.IdentityService/UpdateIdentity", &["identity.identity_id"]),
            verb("memberships", "member.v1.IdentityService/ListMemberships", &["identity_id"]),
        ],
    ),
    noun(
        "session",
        "Who is signed in",
        &[
            verb("list", "member.v1.SessionService/ListSessions", &[]),
            verb("revoke", "member.v1.SessionService/RevokeSession", &["session_id"]),
            verb("revoke-member", "member.v1.SessionService/RevokeMemberSessions", &["member_id"]),
        ],
    ),
    Noun {
        name: "service-account",
        about: "Callers that are no persons, and their keys",
        verbs: &[
            verb("create", "member.v1.ServiceAccountService/CreateServiceAccount", &[]),
            verb("create-for-project", "member.v1.ServiceAccountService/CreateProjectServiceAccount", &["project_id"]),
            verb("get", "member.v1.ServiceAccountService/GetServiceAccount", &["service_account_id"]),
            verb("list", "member.v1.ServiceAccountService/ListServiceAccounts", &[]),
            verb(
                "update",
                "member.v1.ServiceAccountService/UpdateServiceAccount",
                &["service_account.service_account_id"],
            ),
            verb("delete", "member.v1.ServiceAccountService/DeleteServiceAccount", &["service_account_id"]),
        ],
        nouns: &[noun(
            "api-key",
            "The secrets of a service account",
            &[
                verb("create", "member.v1.ServiceAccountService/CreateApiKey", &["service_account_id"]),
                verb("list", "member.v1.ServiceAccountService/ListApiKeys", &["service_account_id"]),
                verb("revoke", "member.v1.ServiceAccountService/RevokeApiKey", &["service_account_id", "api_key_id"]),
            ],
        )],
    },
    noun(
        "catalog",
        "The resource types and verbs of a project's product",
        &[
            verb("get", "authz.v1.CatalogService/GetCatalog", &[]),
            verb("update", "authz.v1.CatalogService/UpdateCatalog", &[]),
        ],
    ),
    noun(
        "role",
        "Roles",
        &[
            verb("create", "authz.v1.RoleService/CreateRole", &["role.key"]),
            verb("get", "authz.v1.RoleService/GetRole", &["role_id"]),
            verb("list", "authz.v1.RoleService/ListRoles", &[]),
            verb("update", "authz.v1.RoleService/UpdateRole", &["role.role_id"]),
            verb("delete", "authz.v1.RoleService/DeleteRole", &["role_id"]),
        ],
    ),
    Noun {
        name: "group",
        about: "Groups of members",
        verbs: &[
            verb("create", "authz.v1.GroupService/CreateGroup", &[]),
            verb("get", "authz.v1.GroupService/GetGroup", &["group_id"]),
            verb("list", "authz.v1.GroupService/ListGroups", &[]),
            verb("update", "authz.v1.GroupService/UpdateGroup", &["group.group_id"]),
            verb("delete", "authz.v1.GroupService/DeleteGroup", &["group_id"]),
        ],
        nouns: &[noun(
            "member",
            "Who is in a group",
            &[
                verb("add", "authz.v1.GroupService/AddGroupMembers", &["group_id", "subjects"]),
                verb("remove", "authz.v1.GroupService/RemoveGroupMembers", &["group_id", "subjects"]),
                verb("list", "authz.v1.GroupService/ListGroupMembers", &["group_id"]),
            ],
        )],
    },
    noun(
        "binding",
        "Who has which role, and where",
        &[
            verb("create", "authz.v1.BindingService/CreateBinding", &["binding.subject", "binding.role_id"]),
            verb("get", "authz.v1.BindingService/GetBinding", &["binding_id"]),
            verb("list", "authz.v1.BindingService/ListBindings", &[]),
            verb("update", "authz.v1.BindingService/UpdateBinding", &["binding.binding_id"]),
            verb("delete", "authz.v1.BindingService/DeleteBinding", &["binding_id"]),
        ],
    ),
    noun(
        "resource",
        "The product's resources and what lies below what",
        &[
            verb("register", "authz.v1.ResourceService/RegisterResources", &[]),
            verb("move", "authz.v1.ResourceService/MoveResource", &["resource"]),
            verb("remove", "authz.v1.ResourceService/RemoveResources", &["resources"]),
            verb("children", "authz.v1.ResourceService/ListChildren", &["parent"]),
        ],
    ),
    noun(
        "event",
        "What happened, and that nobody has changed the record since",
        &[
            verb("list", "event.v1.EventService/ListEvents", &[]),
            verb("watch", "event.v1.EventService/WatchEvents", &[]),
            verb("verify", "event.v1.EventService/VerifyChain", &[]),
        ],
    ),
];

/// The verb that the words of a command line lead to.
pub fn find(words: &[&str]) -> Option<&'static Verb> {
    let (last, path) = words.split_last()?;
    let mut verbs = VERBS;
    let mut nouns = NOUNS;
    for word in path {
        let noun = nouns.iter().find(|noun| noun.name == *word)?;
        (verbs, nouns) = (noun.verbs, noun.nouns);
    }
    verbs.iter().find(|verb| verb.name == *last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract;

    fn each(nouns: &[Noun], check: &mut impl FnMut(&Verb)) {
        for noun in nouns {
            noun.verbs.iter().for_each(&mut *check);
            each(noun.nouns, check);
        }
    }

    #[test]
    fn every_row_names_a_method_and_its_fields() {
        let mut count = 0;
        let mut check = |verb: &Verb| {
            count += 1;
            let method = contract::method(verb.method).unwrap_or_else(|| panic!("no method {}", verb.method));
            for place in verb.places {
                let mut message = Some(method.input());
                for name in place.split('.') {
                    let field = message.and_then(|m| m.get_field_by_name(name));
                    let field = field.unwrap_or_else(|| panic!("{} has no field {place}", verb.method));
                    message = field.kind().as_message().cloned();
                }
            }
        };
        VERBS.iter().for_each(&mut check);
        each(NOUNS, &mut check);
        assert!(count > 70);
    }

    #[test]
    fn words_lead_to_a_verb() {
        let method = |words: &[&str]| find(words).map(|verb| verb.method);
        assert_eq!(method(&["check"]), Some("authz.v1.AuthorizationService/Check"));
        assert_eq!(method(&["member", "get"]), Some("member.v1.MemberService/GetMember"));
        assert_eq!(method(&["group", "member", "add"]), Some("authz.v1.GroupService/AddGroupMembers"));
        assert_eq!(method(&["group", "member"]), None);
        assert_eq!(method(&["dev"]), None);
    }
}
