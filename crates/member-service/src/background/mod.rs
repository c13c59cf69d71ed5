//! What this service does while nobody calls: it sweeps up what has lapsed, sends mail, and reads what the
//! other services tell.

mod archived;
mod connections;
mod derived;
mod domains;
mod foundings;
mod others;
mod prospects;
mod sender;
mod smtp;
mod suspended;
mod sweep;

pub use archived::end_archived_for_ever;
pub use connections::end_connections_for_ever;
pub use derived::end_derived_for_ever;
pub use domains::review_domains_for_ever;
pub use foundings::complete_foundings_for_ever;
pub use others::{Organizations, Subjects};
pub use prospects::take_back_for_ever;
pub use sender::{SmtpOptions, send_for_ever};
pub use suspended::end_lingering_for_ever;
pub use sweep::sweep_for_ever;

use access::{Caller, Service};
use tenancy::Origin;

/// As whom this service acts of itself.
const MYSELF: Caller = Caller::Workload { service: Service::Member, on_behalf_of: None };

fn origin() -> Origin {
    Origin::background(Service::Member.name())
}
