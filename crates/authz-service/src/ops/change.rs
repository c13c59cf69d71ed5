use serde::{Serialize, de::DeserializeOwned};
use tenancy::{
    Database, Head, NewEvent, Once, OrganizationId, OrganizationState, Origin, ProjectId, Scope, StoreError, Write,
};
use time::OffsetDateTime;

use super::Refused;
use crate::{
    model::{At, Grantor, Revision},
    store::{Connection, role::Owners, template},
};

/// Who asks for a change, and how often it may happen.
#[derive(Debug, Clone)]
pub struct Call {
    pub origin: Origin,
    pub once: Option<Once>,
    pub grantor: Grantor,
}

/// An open change of one tenant: the organization with its project's templates held still, or the project with no organization
/// holding them.
pub(super) struct Change {
    write: Write,
    of_project: bool,
    /// The project's revision as this change sees it.
    template: i64,
    now: OffsetDateTime,
    changed: bool,
}

#[expect(clippy::large_enum_variant, reason = "it lives for one match, and mostly as the larger one")]
pub(super) enum Opened<T> {
    Change(Change),
    /// The same request was answered before.
    Answered(At<T>),
}

impl Change {
    /// Refused while the organization is not active.
    pub(super) async fn open<T: DeserializeOwned>(
        database: &Database,
        scope: impl Into<Scope>,
        call: &Call,
    ) -> Result<Opened<T>, Refused> {
        match Self::open_in_any_state(database, scope, call).await? {
            Opened::Change(change) if change.head().state != OrganizationState::Active => {
                Err(Refused::NotActive(change.head().state))
            }
            opened => Ok(opened),
        }
    }

    /// For what must be noted even while the organization is suspended or deleted.
    pub(super) async fn open_in_any_state<T: DeserializeOwned>(
        database: &Database,
        scope: impl Into<Scope>,
        call: &Call,
    ) -> Result<Opened<T>, Refused> {
        let scope = scope.into();
        let of_project = matches!(scope, Scope::Project(_));
        let mut write = database.write(scope, &call.origin, call.once.as_ref()).await?;
        let head = write.head().clone();
        if head.is_purged(write.connection()).await? {
            return Err(StoreError::TenantUnknown.into());
        }
        if let Some(first) = write.first_answer()? {
            return Ok(Opened::Answered(first));
        }
        let project = write.project_id();
        let template = if of_project {
            template::open(write.connection(), project).await?;
            write.head().revision
        } else {
            template::hold(write.connection(), project).await?
        };
        write.beside(template);
        Ok(Opened::Change(Self { write, of_project, template, now: tenancy::event::now(), changed: false }))
    }

    pub(super) fn head(&self) -> &Head {
        self.write.head()
    }

    pub(super) fn organization(&self) -> OrganizationId {
        self.write.organization_id()
    }

    pub(super) fn project(&self) -> ProjectId {
        self.write.project_id()
    }

    /// Whose roles can be named here.
    pub(super) fn owners(&self) -> Owners {
        Owners { tenant: self.organization(), project: self.project() }
    }

    /// The revision that the changed rows take.
    pub(super) fn revision(&self) -> i64 {
        self.write.revision()
    }

    pub(super) fn template(&self) -> i64 {
        self.template
    }

    pub(super) fn now(&self) -> OffsetDateTime {
        self.now
    }

    pub(super) fn connection(&mut self) -> &mut Connection {
        self.write.connection()
    }

    pub(super) fn write(&mut self) -> &mut Write {
        &mut self.write
    }

    pub(super) fn append(&mut self, event: NewEvent) {
        self.changed = true;
        self.write.append(event);
    }

    /// `value` with the revision at which it holds: the one that this change takes, or the present one if nothing changed.
    fn at<T>(&self, value: T) -> At<T> {
        let head = self.head();
        let last = if self.changed { self.revision() } else { head.revision };
        let here = Revision { tenant: head.organization_id, incarnation: head.incarnation, own: last, template: last };
        let revision =
            if self.of_project { Revision { own: 0, ..here } } else { Revision { template: self.template, ..here } };
        At { value, revision }
    }

    pub(super) async fn commit<T: Serialize>(mut self, value: T) -> Result<At<T>, StoreError> {
        if self.of_project && self.changed {
            let (project, revision) = (self.project(), self.revision());
            template::moved(self.connection(), project, revision).await?;
        }
        let answer = self.at(value);
        self.write.commit(answer).await
    }

    /// What `commit` would answer, without it.
    pub(super) fn preview<T>(&self, value: T) -> At<T> {
        self.at(value)
    }
}
