use engine::SubjectId;
use tenancy::{
    BindingId, Change as Changed, Database, NewEvent, OrganizationScope, StoreError, mask,
    page::{Listed, Page},
};

use super::{
    Call, Refused,
    change::{Change, Opened},
    newcomers,
    owners::keeps_an_owner,
    role::named,
    rules::{self, Given},
};
use crate::{
    model::{At, Binding, Effect, Grantor, Resource, RoleName, RoleSource, Subject, Window},
    snapshots::Snapshots,
    store::{self, binding::BindingFilter, group, subject},
};

pub(super) const SUBJECT: &str = "subject";

/// A binding to be made.
#[derive(Debug, Clone)]
pub struct NewBinding {
    pub subject: Subject,
    pub role: RoleName,
    pub resource: Option<Resource>,
    pub effect: Effect,
    pub window: Window,
}

pub async fn get(database: &Database, scope: OrganizationScope, id: BindingId) -> Result<Binding, Refused> {
    let mut read = database.read(scope).await?;
    let found = store::binding::find(read.connection(), scope.organization_id(), &[id]).await?;
    read.finish().await?;
    found.into_iter().next().ok_or(Refused::NotFound("binding"))
}

pub async fn list(
    database: &Database,
    scope: OrganizationScope,
    filter: &BindingFilter,
    page: &Page<BindingId>,
) -> Result<Listed<Binding, BindingId>, StoreError> {
    let mut read = database.read(scope).await?;
    let rows = store::binding::list(read.connection(), scope.organization_id(), filter, page).await?;
    read.finish().await?;
    Ok(Listed::from_rows(rows, page.size, |binding| binding.binding_id))
}

/// A subject that may be bound: a group that is there, or somebody of whom member-service told and who was not removed.
pub(super) async fn are_here(change: &mut Change, subjects: &[Subject]) -> Result<(), Refused> {
    let organization = change.organization();
    let somebody: Vec<Subject> = subjects.iter().filter(|subject| subject.is_one()).copied().collect();
    if !somebody.is_empty() && subject::any_unknown(change.connection(), organization, &somebody).await? {
        return Err(Refused::NotFound(SUBJECT));
    }
    can_hold(change, subjects).await
}

/// The same before member-service has told of them: it binds roles to a member before there is one.
pub(super) async fn can_hold(change: &mut Change, subjects: &[Subject]) -> Result<(), Refused> {
    let organization = change.organization();
    let (mut groups, mut others) = (Vec::new(), Vec::new());
    for subject in subjects {
        match subject {
            Subject::Group(id) => groups.push(*id),
            Subject::Member(_) | Subject::ServiceAccount(_) => others.push(*subject),
            Subject::AllMembers => {}
        }
    }
    if !groups.is_empty() && group::missing(change.connection(), organization, &groups).await? {
        return Err(Refused::NotFound("group"));
    }
    if !others.is_empty() && subject::any_removed(change.connection(), organization, &others).await? {
        return Err(Refused::NotFound(SUBJECT));
    }
    Ok(())
}

pub async fn create(
    snapshots: &Snapshots,
    scope: OrganizationScope,
    call: &Call,
    new: NewBinding,
) -> Result<At<Binding>, Refused> {
    match try_create(snapshots, scope, call, new.clone()).await {
        Err(Refused::NotFound(SUBJECT))
            if newcomers::have_come(snapshots.database(), scope, &[new.subject]).await? =>
        {
            try_create(snapshots, scope, call, new).await
        }
        outcome => outcome,
    }
}

async fn try_create(
    snapshots: &Snapshots,
    scope: OrganizationScope,
    call: &Call,
    new: NewBinding,
) -> Result<At<Binding>, Refused> {
    let mut change = match Change::open(snapshots.database(), scope, call).await? {
        Opened::Change(change) => change,
        Opened::Answered(first) => return Ok(first),
    };
    let owners = change.owners();
    let role = named(change.connection(), owners, std::slice::from_ref(&new.role)).await?;
    let role_id = *role.first().ok_or(Refused::NotFound("role"))?;
    are_here(&mut change, &[new.subject]).await?;
    let template = change.template();
    let before = snapshots.of_write(change.write(), template).await?;
    if let Some(resource) = &new.resource
        && !before.engine.catalog().knows_type(&resource.type_name)
    {
        return Err(Refused::UnknownPermission(vec![resource.type_name.clone()]));
    }
    let binding = Binding {
        binding_id: BindingId::new(),
        organization_id: owners.tenant,
        subject: new.subject,
        role_id,
        resource: new.resource,
        effect: new.effect,
        window: new.window,
        source: RoleSource::Direct,
        create_time: change.now(),
        update_time: change.now(),
        revision: change.revision(),
    };
    let decides = for_engine(&binding);
    match binding.effect {
        Effect::Allow => {
            let given: Vec<Given> = Given::by(&decides, &before.engine, change.now()).into_iter().collect();
            rules::may_give(call.grantor, &given, &before.engine, change.now())?;
        }
        Effect::Deny => {
            let head = change.head().clone();
            let data = store::organization::load(change.connection(), &head).await?.data;
            let mut after = data.clone();
            // A deny that is yet to begin is judged as if it had.
            after.bindings.push(engine::Binding { not_before: None, ..decides });
            keeps_an_owner(&mut change, &data, &after).await?;
        }
    }
    store::binding::insert(change.connection(), owners.project, std::slice::from_ref(&binding)).await?;
    change.append(created(&binding));
    Ok(change.commit(binding).await?)
}

pub async fn delete(
    snapshots: &Snapshots,
    scope: OrganizationScope,
    call: &Call,
    id: BindingId,
    etag: &str,
) -> Result<At<Binding>, Refused> {
    let mut change = match Change::open(snapshots.database(), scope, call).await? {
        Opened::Change(change) => change,
        Opened::Answered(first) => return Ok(first),
    };
    let organization = change.organization();
    let found = store::binding::find(change.connection(), organization, &[id]).await?;
    let binding = found.into_iter().next().ok_or(Refused::NotFound("binding"))?;
    if !mask::etag_matches(etag, binding.revision) {
        return Err(Refused::EtagMismatch);
    }
    match binding.effect {
        Effect::Deny if call.grantor != Grantor::Free => {
            let template = change.template();
            let before = snapshots.of_write(change.write(), template).await?;
            let given: Vec<Given> =
                Given::by(&for_engine(&binding), &before.engine, change.now()).into_iter().collect();
            rules::may_give(call.grantor, &given, &before.engine, change.now())?;
        }
        Effect::Allow if is_ownership(&binding) => {
            let head = change.head().clone();
            let data = store::organization::load(change.connection(), &head).await?.data;
            let mut after = data.clone();
            after.bindings.retain(|other| other.id.0 != id.uuid());
            keeps_an_owner(&mut change, &data, &after).await?;
        }
        Effect::Allow | Effect::Deny => {}
    }
    store::binding::delete(change.connection(), organization, &[id]).await?;
    change.append(deleted(&binding));
    let gone = Binding { revision: change.revision(), ..binding };
    Ok(change.commit(gone).await?)
}

/// A binding that makes its subject an owner of the organization.
pub(super) fn is_ownership(binding: &Binding) -> bool {
    binding.resource.is_none() && binding.effect == Effect::Allow && binding.role_id.uuid() == engine::OWNER.0
}

pub(crate) fn for_engine(binding: &Binding) -> engine::Binding {
    engine::Binding {
        id: binding.binding_id.uuid().into(),
        subject: SubjectId::from(binding.subject),
        role: binding.role_id.uuid().into(),
        resource: binding.resource.as_ref().and_then(Resource::reference),
        effect: binding.effect.into(),
        not_before: binding.window.not_before,
        expire_time: binding.window.expire_time,
    }
}

pub(super) fn created(binding: &Binding) -> NewEvent {
    NewEvent::new("binding.created", binding.subject_ids(), &Changed::created(binding.clone()))
}

pub(super) fn deleted(binding: &Binding) -> NewEvent {
    NewEvent::new("binding.deleted", binding.subject_ids(), &Changed::removed(binding.clone()))
}
