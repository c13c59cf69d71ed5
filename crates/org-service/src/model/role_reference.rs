//! How settings name a role: by its id or by its key. Roles belong to authz-service, so whether there is one is not known here.

use tenancy::RoleId;

use super::{Fault, text};

const KEY: usize = 64;

text! {
    /// `role_..`, or a key such as `member`.
    RoleReference;
}

impl RoleReference {
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let is_id = text.parse::<RoleId>().is_ok();
        let is_key = (1..=KEY).contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'));
        if is_id || (is_key && !text.starts_with("role_")) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Fault("must be a role's id or its key"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_keys_are_let_in() {
        assert!(RoleReference::parse(&RoleId::new().to_string()).is_ok());
        assert!(RoleReference::parse("billing-admin_2").is_ok());
        for bad in ["", "Owner", "1st", "role_xyz", "a b"] {
            assert!(RoleReference::parse(bad).is_err(), "{bad}");
        }
    }
}
