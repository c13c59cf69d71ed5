//! What this service does while nobody calls.

mod looks;
mod purges;

pub use looks::look_for_ever;
pub use purges::purge_for_ever;

use access::Service;
use tenancy::Origin;

fn origin() -> Origin {
    Origin::background(Service::Org.name())
}
