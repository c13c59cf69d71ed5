//! How rates and times are taken.

mod closed;
mod open;
mod series;
mod times;

pub use closed::{Closed, Seen};
pub use open::Open;
pub use series::{Series, rounds};
pub use times::Times;
