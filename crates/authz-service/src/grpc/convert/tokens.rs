use tenancy::{Head, OrganizationId, Sealer};
use uuid::Uuid;

use crate::model::{At, Revision};

/// One history that revisions are counted in.
#[derive(Debug, Clone, Copy)]
struct History {
    tenant: OrganizationId,
    incarnation: Uuid,
}

impl From<&Head> for History {
    fn from(head: &Head) -> Self {
        Self { tenant: head.organization_id, incarnation: head.incarnation }
    }
}

/// Makes the revision tokens of resources. In an event there are none: the event itself says its revision.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tokens<'a> {
    sealer: Option<&'a Sealer>,
    own: Option<History>,
    template: Option<History>,
}

impl<'a> Tokens<'a> {
    /// For resources of an organization, and those of its project among them.
    pub fn of_organization(sealer: &'a Sealer, heads: &[Option<Head>; 2]) -> Self {
        let [own, template] = heads.each_ref().map(|head| head.as_ref().map(History::from));
        Self { sealer: Some(sealer), own, template }
    }

    /// For resources of an organization as they stand at a revision of it.
    pub fn at(sealer: &'a Sealer, revision: Revision) -> Self {
        let own = History { tenant: revision.tenant, incarnation: revision.incarnation };
        Self { sealer: Some(sealer), own: Some(own), template: None }
    }

    /// For what a write has just changed, in an organization or in the project itself.
    pub fn of_change<T>(sealer: &'a Sealer, at: &At<T>) -> Self {
        let of = Self::at(sealer, at.revision);
        // Either way the tenant is the one that was written: its resources ask for one of the two.
        Self { template: of.own, ..of }
    }

    /// The token of an organization's resource that was last changed at this revision.
    pub fn own(&self, revision: i64) -> String {
        let (Some(sealer), Some(History { tenant, incarnation })) = (self.sealer, self.own) else {
            return String::new();
        };
        Revision { tenant, incarnation, own: revision, template: 0 }.token(sealer)
    }

    /// The token of a project's resource that was last changed at this revision.
    pub fn template(&self, revision: i64) -> String {
        let (Some(sealer), Some(History { tenant, incarnation })) = (self.sealer, self.template) else {
            return String::new();
        };
        Revision { tenant, incarnation, own: 0, template: revision }.token(sealer)
    }

    /// The token of what never changes: any history of the tenant has it from the start.
    pub fn at_the_start(&self) -> String {
        if self.own.is_some() { self.own(0) } else { self.template(0) }
    }
}
