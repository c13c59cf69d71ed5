//! Claims of a project's own in its members' access tokens: a name, and where in the metadata the value is. No code, and nothing that a
//! verifier could take for what somebody else says.

use super::Fault;

/// As many as a project may declare.
pub const MAX_CUSTOM_CLAIMS: usize = 16;
const MAX_NAME: usize = 64;
const MAX_KEYS: usize = 4;

/// Our own claims, and those of the IANA registry "JSON Web Token Claims" that say who somebody is, how that was proven, what they may
/// do, or how the token is to be verified: whoever reads one of these takes it for its registered meaning.
const TAKEN: [&str; 85] = [
    // RFC 7519, 8693, 7800, 9068, 8417, 8055, 8225 and Guildhall's.
    "iss",
    "sub",
    "aud",
    "exp",
    "nbf",
    "iat",
    "jti",
    "act",
    "may_act",
    "scope",
    "client_id",
    "cnf",
    "roles",
    "groups",
    "entitlements",
    "events",
    "toe",
    "txn",
    "sid",
    "org_id",
    "org_slug",
    "project_id",
    "epoch",
    "project_epoch",
    "permissions",
    "token_type",
    "username",
    "active",
    "typ",
    "alg",
    "kid",
    "sub_id",
    "sub_jwk",
    "authorization_details",
    "resource",
    "vot",
    "vtm",
    "attest",
    "orig",
    "dest",
    "mky",
    "opt",
    "rph",
    "rcd",
    // OpenID Connect.
    "name",
    "given_name",
    "family_name",
    "middle_name",
    "nickname",
    "preferred_username",
    "profile",
    "picture",
    "website",
    "email",
    "email_verified",
    "gender",
    "birthdate",
    "zoneinfo",
    "locale",
    "phone_number",
    "phone_number_verified",
    "address",
    "updated_at",
    "azp",
    "nonce",
    "auth_time",
    "at_hash",
    "c_hash",
    "s_hash",
    "acr",
    "amr",
    "sub_ids",
    "_claim_names",
    "_claim_sources",
    "verified_claims",
    "place_of_birth",
    "nationalities",
    "birth_family_name",
    "birth_given_name",
    "birth_middle_name",
    "salutation",
    "title",
    "msisdn",
    "also_known_as",
    "trust_framework",
];

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct CustomClaim {
    pub name: String,
    pub source: String,
}

impl CustomClaim {
    pub fn parse(name: &str, source: &str) -> Result<Self, Fault> {
        let letters = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:/".contains(&byte);
        if !(1..=MAX_NAME).contains(&name.len()) || !name.bytes().all(letters) {
            return Err(Fault("its name must be 1 to 64 of ASCII letters, digits, `_`, `-`, `.`, `:` and `/`"));
        }
        // However it is written: some readers of JSON make no difference.
        if TAKEN.iter().any(|taken| taken.eq_ignore_ascii_case(name)) {
            return Err(Fault("its name is a registered claim's, or one of Guildhall's own"));
        }
        let keys = ["member.trusted_metadata.", "organization.trusted_metadata."]
            .iter()
            .find_map(|root| source.strip_prefix(root))
            .ok_or(Fault("its source must be below `member.trusted_metadata` or `organization.trusted_metadata`"))?;
        let key = |key: &str| {
            (1..=MAX_NAME).contains(&key.len())
                && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
        };
        if keys.split('.').count() > MAX_KEYS || !keys.split('.').all(key) {
            return Err(Fault("its source must name 1 to 4 keys, each of 1 to 64 ASCII letters, digits, `_` and `-`"));
        }
        Ok(Self { name: name.to_owned(), source: source.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_a_name_of_its_own_and_a_path_into_trusted_metadata() {
        assert!(CustomClaim::parse("https://acme.test/plan", "member.trusted_metadata.plan.tier").is_ok());
        assert!(CustomClaim::parse("seat", "organization.trusted_metadata.seat").is_ok());
        for name in ["", "sub", "SUB", "act", "permissions", "org_id", "email", "a b", "é", &"x".repeat(65)] {
            assert!(CustomClaim::parse(name, "member.trusted_metadata.x").is_err(), "{name}");
        }
        for source in [
            "",
            "member",
            "member.trusted_metadata",
            "member.trusted_metadata.",
            "member.trusted_metadata..x",
            "member.untrusted_metadata.x",
            "member.email_address",
            "identity.trusted_metadata.x",
            "member.trusted_metadata.a.b.c.d.e",
            "member.trusted_metadata.a b",
        ] {
            assert!(CustomClaim::parse("x", source).is_err(), "{source}");
        }
    }
}
