//! Attacks on a whole installation of real processes: what one tenant, one member or nobody at all could try against another.
//!
//! `foreign` is made from the contracts. Every place in every request where something of a tenant's can be named is found by its field
//! (`form`), and filled with what a victim has and with what nobody has, by everybody who could ask, at the gateway and at the service's own
//! port. The two answers must be the same to the byte (`twin`), nothing that bears the victim's mark may be in either, and the victim's
//! rows and the ends of its logs must be what they were. Then the same with a wall down (`walls`, `state::row_level_security`), by
//! the clock (`timing`), with other people's page tokens (`pages`), and with more in the headers than should be there (`headers`): `ear` listens
//! between the gateway and each service, and knows every header that may be heard there. `foreign.txt` says how each attack was
//! refused; `UPDATE_GOLDEN=1` writes it anew, for somebody to read. `GUILDHALL_PROOF_ATTACKS=N` tries all of it N times.
//!
//! What else is claimed, and where it is tried; `e2e` is the test binary beside this one:
//!
//! | claim | here | in `e2e` |
//! |---|---|---|
//! | a token that was taken back is good nowhere, at once | | `epochs`, `revocation`, `sso_ends`, `bad_tokens`, `token_ages`, `offline_verifier` |
//! | an open stream ends with the right to it, whichever way it goes | `stale` | `replicas::watch`, `invalidations`, `embedded` |
//! | no decision outlives what it was made of | `stale` | `replicas::storm`, `replicas::truth`, `conditions` |
//! | an invitation is replayed, edited, accepted by fifty at once or by somebody else | `rights` | `invitations`, `inviting` |
//! | an inviter was demoted, suspended, removed | `rights` | `invitations` |
//! | a domain is unverified, claimed twice, stale | | `joining`, `domains` |
//! | roles, groups and resources in a circle; from two sides at once | `rights` | `authorization`, `changes`, `moving`, `transfer` |
//! | a grant above one's own | | `escalation`, `custom_roles`, `service_accounts`, `impersonation`, `acting_as` |
//! | the last owner goes, from two sides at once | `rights` | `owners`, `escalation` |
//! | too large, too deep, a bomb | `input` | `big_input`, `bad_input`, `abuse`, `conditions` |
//! | JSON says what gRPC says | | `json_api`: every refusal of every method is the same in both forms |
//! | the public port says nothing of the inside | `exposure` | `mutual_tls` |
#![expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]
#![expect(clippy::print_stdout, reason = "how much was tried is part of what is claimed")]

mod attack;
mod ear;
mod exposure;
mod foreign;
mod form;
mod headers;
mod input;
mod pages;
mod rights;
mod siege;
mod stale;
mod stale_imports;
mod state;
mod timing;
mod twin;
mod walls;
mod wire;
mod world;
