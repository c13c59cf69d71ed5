//! What the services have in common as processes that own a database schema: its options, the `migrate` command, readiness that
//! tells whether the schema is there, and the sweep of kept answers.

mod options;
mod sweep;
mod watch;

pub use options::{MigrateConfig, SchemaOptions, migrate, url_fault};
pub use sweep::forget_answers;
pub use watch::watch;
