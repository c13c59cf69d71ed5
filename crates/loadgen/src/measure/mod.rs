//! How rates and times are taken.

mod closed;
mod open;
mod series;
mod times;

pub use closed::{Closed, Seen};
pub use open::Open;
pub use series::{Series, each_in_turn, rounds};
pub use times::Times;
