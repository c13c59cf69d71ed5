//! What may happen to an installation, done to real processes on purpose: deaths, bad networks, a database without connections or room,
//! clocks that jump, everybody starting at once, ten times too many calls.

#![expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]
#![expect(clippy::print_stdout, reason = "how much was tried is part of what is claimed")]

mod clock;
mod cold_start;
mod exhausted;
mod full_disk;
mod history;
mod judge;
mod killed;
mod links;
mod overload;
mod pen;
mod stall;
mod vanished;
