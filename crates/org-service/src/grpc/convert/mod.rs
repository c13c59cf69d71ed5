//! Between the contract's messages and the model. Reading collects every bad field; writing cannot fail.

mod branding;
mod choices;
pub mod connection;
pub mod domain;
mod foundation;
mod limits;
mod metadata;
mod organization;
mod project;
mod settings;
mod time;

pub use foundation::{read_batch_resolve, read_foundation};
pub use organization::{
    IDLE_TIMEOUT, effective, entry, entry_with_metadata, filter, key, organization, organization_alone,
    organization_in_use, read_batch, read_create, read_state_change, read_update,
};
pub use project::{
    DEFAULT_IDLE_TIMEOUT, project, project_entry, read_archive as read_archive_project,
    read_create as read_create_project, read_update as read_update_project, state_filter,
};

use runtime::Violations;
use tenancy::mask::Mask;
use tonic::Status;

use crate::model::Fault;

/// The reading of one resource out of a request: of the fields that the mask names, the faults are noted.
#[derive(Debug)]
struct Reading<'a> {
    /// The resource's field in the request.
    resource: &'static str,
    mask: &'a Mask,
    violations: Violations,
}

impl<'a> Reading<'a> {
    fn new(resource: &'static str, mask: &'a Mask) -> Self {
        Self { resource, mask, violations: Violations::default() }
    }

    /// Whether the mask names a field, by itself or with all of its parent.
    fn names(&self, path: &str) -> bool {
        names(self.mask, path)
    }

    /// A field's value, if it is named and good.
    fn read<T>(&mut self, path: &str, parse: impl FnOnce() -> Result<T, Fault>) -> Option<T> {
        if self.names(path) { self.violations.check(format!("{}.{path}", self.resource), parse()) } else { None }
    }

    /// A text that may be empty, which stands for none.
    fn text<T>(&mut self, path: &str, text: &str, parse: impl FnOnce(&str) -> Result<T, Fault>) -> Option<T> {
        if text.is_empty() { None } else { self.read(path, || parse(text)) }
    }

    /// A list of at most `most` different values.
    fn list<I, T: PartialEq>(
        &mut self,
        path: &str,
        items: &[I],
        most: usize,
        parse: impl Fn(&I) -> Result<T, Fault>,
    ) -> Vec<T> {
        let mut values = Vec::new();
        if !self.names(path) {
            return values;
        }
        let field = format!("{}.{path}", self.resource);
        if items.len() > most {
            self.violations.add(field, format!("must hold at most {most}"));
            return values;
        }
        for (at, item) in items.iter().enumerate() {
            let value = parse(item)
                .and_then(|value| if values.contains(&value) { Err(Fault("is there twice")) } else { Ok(value) });
            values.extend(self.violations.check(format!("{field}[{at}]"), value));
        }
        values
    }
}

fn names(mask: &Mask, path: &str) -> bool {
    mask.has(path) || path.match_indices('.').any(|(dot, _)| mask.has(&path[..dot]))
}

/// What a request must hold.
fn required<T>(field: &'static str, value: Option<T>) -> Result<T, Status> {
    value.ok_or_else(|| access::invalid_field(field, "is required"))
}

/// The mask of a create: everything that may be written.
fn all_of(fields: &[&str]) -> Mask {
    Mask::parse(&["*".to_owned()], fields).unwrap_or_else(|_| unreachable!("`*` names every field"))
}
