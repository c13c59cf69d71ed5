//! What is measured on: made up from a seed, the same in every run, and written by COPY into the services' tables.
//!
//! An organization that is copied in has heads of revision 0 and no events: the state of one that was taken up and never written.
//! So its event chain is whole, and its first write through a service is revision 1.

pub mod copy;
pub mod crowd;
pub mod id;
pub mod shelf;
pub mod store;
pub mod town;
pub mod world;
