//! Hosts and addresses, by the rules of three services; and what they must agree on.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    org_service::fuzzing::host(input);
    member_service::fuzzing::email(input);
    gateway::fuzzing::address(input);
    let text = String::from_utf8_lossy(input);
    let Some(address) = member_service::fuzzing::normal(&text) else { return };
    // Attempts at one address are counted in one place, however it is spelled.
    assert_eq!(gateway::fuzzing::canonical(&text), gateway::fuzzing::canonical(&address));
    // The domain of an address is, where it is a name at all, the name that an organization would claim.
    let domain = address.rsplit('@').next().unwrap_or_default();
    assert!(org_service::fuzzing::name(domain).is_none_or(|name| name == domain), "{domain}");
});
