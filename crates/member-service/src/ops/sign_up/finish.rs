//! The steps from what is written down to what is there.

use access::{Granted, Tenant};
use runtime::kill_point;
use tenancy::{ClusterScope, MemberId, StoreError};

use super::{SignUpError, admit, used_up};
use crate::{
    model::{Founding, Identity, MemberDraft, Metadata, RoleSource},
    ops::{
        Context,
        identity::{self, append_update, changed},
        member::{CreateError, Newcomer, add},
    },
    remote::{Grantor, RemoteError},
    store::{
        founding, identity as identities,
        member::{self, Key},
    },
};

const OWNER: &str = "owner";

/// Goes on to the end from wherever it stopped; the owner. What is refused for good is forgotten: the sign-in may try again, otherwise.
pub async fn finish(
    context: &Context,
    granted: &Granted<ClusterScope>,
    founding: &Founding,
) -> Result<MemberId, SignUpError> {
    let project = granted.in_project(founding.project_id);
    let shared = context.remote.shares_pool(granted.into(), founding.project_id).await?;
    let shared = shared.ok_or(SignUpError::Refused)?;
    if founding.done {
        // Whatever has become of them since.
        return founder(context, granted, shared, founding).await?.ok_or(SignUpError::Refused);
    }
    let entry = match context.remote.found(granted.into(), founding.project_id, founding).await {
        Ok(entry) => entry,
        Err(error) => {
            if error.is_final() {
                let mut tx = context.database.upkeep(project.scope).await?;
                founding::forget(tx.connection(), project.scope, founding.intermediate).await?;
                tx.commit().await?;
            }
            return Err(error.into());
        }
    };
    kill_point("sign-up/organization-made");
    admit(context, founding).await?;
    used_up(context, granted, founding).await?;
    let granted = granted.in_organization(founding.project_id, founding.organization_id);
    let pool = if shared { Tenant::Project(project.scope) } else { Tenant::Organization(granted.scope) };
    let (origin, name) = (granted.origin(), &founding.person_name);
    let person = identity::find_or_create(context, pool, &origin, &founding.email_address, name, true).await?;
    let person = with_password(context, &granted, pool, person, founding).await?;
    kill_point("sign-up/identity-made");
    let owner = match owner(context, &granted, &person).await? {
        Some(owner) => owner,
        None => {
            let draft = MemberDraft {
                email_address: person.email_address.clone(),
                display_name: if name.is_empty() { person.display_name.clone() } else { name.clone() },
                external_id: None,
                is_breakglass: false,
                trusted_metadata: Metadata::default(),
                untrusted_metadata: Metadata::default(),
            };
            let grants = vec![(RoleSource::Direct, vec![OWNER.to_owned()])];
            // No limit: a seat that nobody else may take, or the organization would be nobody's.
            let newcomer = Newcomer { person: person.clone(), draft, grants, limit: None };
            match add(context, &granted, None, &Grantor::of(&granted.caller), newcomer).await {
                Ok(made) => made.member.member_id,
                // The sweep and a repetition at once: one of them was quicker.
                Err(CreateError::EmailTaken) => owner(context, &granted, &person).await?.ok_or(SignUpError::Refused)?,
                Err(error) => return Err(error.into()),
            }
        }
    };
    tracing::debug!(organization = %founding.organization_id, slug = entry.slug, "signed up");
    let mut tx = context.database.upkeep(project.scope).await?;
    founding::finished(tx.connection(), project.scope, founding.intermediate).await?;
    tx.commit().await?;
    kill_point("sign-up/finished");
    Ok(owner)
}

/// The member whom a founding that is done has made, if they are still there.
async fn founder(
    context: &Context,
    granted: &Granted<ClusterScope>,
    shared: bool,
    founding: &Founding,
) -> Result<Option<MemberId>, StoreError> {
    let organization = granted.in_organization(founding.project_id, founding.organization_id);
    let project = granted.in_project(founding.project_id).scope;
    let pool = if shared { Tenant::Project(project) } else { Tenant::Organization(organization.scope) };
    match identity::lookup(context, pool, &founding.email_address).await? {
        Some(person) => owner(context, &organization, &person).await,
        None => Ok(None),
    }
}

async fn owner(
    context: &Context,
    granted: &Granted<tenancy::OrganizationScope>,
    person: &Identity,
) -> Result<Option<MemberId>, StoreError> {
    let mut read = context.database.read(granted.scope).await?;
    let key = Key::Identity(person.identity_id);
    let found = member::find(read.connection(), granted.scope.organization_id(), &key).await?;
    read.finish();
    Ok(found.map(|member| member.member_id))
}

/// Sets the password that was given, unless the person has one by now.
async fn with_password(
    context: &Context,
    granted: &Granted<tenancy::OrganizationScope>,
    pool: Tenant,
    person: Identity,
    founding: &Founding,
) -> Result<Identity, StoreError> {
    let Some(hash) = founding.password_hash.as_deref().filter(|_| !person.has_password) else { return Ok(person) };
    let mut tx = context.database.write(pool, &granted.origin(), None).await?;
    let before = identities::get(tx.connection(), pool, person.identity_id).await?;
    let Some(before) = before.filter(|before| !before.has_password) else { return Ok(person) };
    let after = Identity { has_password: true, ..changed(&tx, &before) };
    identities::set_password(tx.connection(), pool, &after, hash).await?;
    append_update(&mut tx, before, after.clone());
    tx.commit(after).await
}

/// Completes one that nobody goes on with. An error that is final has been dealt with; any other is for the next time.
pub async fn complete(
    context: &Context,
    granted: &Granted<ClusterScope>,
    founding: &Founding,
) -> Result<(), SignUpError> {
    match finish(context, granted, founding).await {
        Ok(_) => Ok(()),
        Err(SignUpError::Remote(error)) if RemoteError::is_final(&error) => {
            tracing::info!(organization = %founding.organization_id, "a sign-up that nobody repeated was refused for good");
            Ok(())
        }
        Err(error) => Err(error),
    }
}
