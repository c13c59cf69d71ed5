//! The identities of many addresses at once.

use std::collections::{HashMap, HashSet};

use access::Tenant;
use tenancy::{Change, IdentityId, NewEvent, Origin, StoreError, event::now};

use super::Context;
use crate::{
    model::{EmailAddress, Identity, IdentityState, Name, Person, PictureUri},
    store::identity_batch,
};

/// Whose each address is, found or made, by address. Those that are missing are made in one write of their pool.
pub async fn find_or_create(
    context: &Context,
    pool: Tenant,
    origin: &Origin,
    people: Vec<(EmailAddress, Name)>,
) -> Result<HashMap<String, Person>, StoreError> {
    let addresses: Vec<String> = people.iter().map(|(address, _)| address.as_str().to_owned()).collect();
    let mut read = context.database.read(pool).await?;
    let mut found = by_address(identity_batch::people(read.connection(), pool, &addresses).await?);
    read.finish();
    if addresses.iter().all(|address| found.contains_key(address)) {
        return Ok(found);
    }
    let mut tx = context.database.write(pool, origin, None).await?;
    // Behind the lock of the pool's head: whoever else was making some of them is done.
    found = by_address(identity_batch::people(tx.connection(), pool, &addresses).await?);
    let (now, revision, mut seen) = (now(), tx.revision(), HashSet::new());
    let new: Vec<Identity> = people
        .into_iter()
        .filter(|(address, _)| !found.contains_key(address.as_str()) && seen.insert(address.clone()))
        .map(|(email_address, display_name)| Identity {
            identity_id: IdentityId::new(),
            pool: pool.key(),
            pool_is_project: matches!(pool, Tenant::Project(_)),
            email_address,
            email_verified: false,
            display_name,
            retired_email_addresses: Vec::new(),
            picture_uri: PictureUri::default(),
            has_password: false,
            password_is_short: false,
            has_totp: false,
            sessions_from: None,
            state: IdentityState::Active,
            revision,
            create_time: now,
            update_time: now,
        })
        .collect();
    identity_batch::insert(tx.connection(), pool, &new).await?;
    for identity in &new {
        let ids = vec![identity.identity_id.to_string()];
        tx.append(NewEvent::new("identity.created", ids, &Change::created(identity.clone())));
    }
    tx.commit(()).await?;
    found.extend(by_address(new.iter().map(Person::from).collect()));
    Ok(found)
}

fn by_address(people: Vec<Person>) -> HashMap<String, Person> {
    people.into_iter().map(|person| (person.email_address.as_str().to_owned(), person)).collect()
}
