//! Looking anew at the roles of members by email domain, after what is known of a domain or the policy has changed: see
//! `ops::member::domain_roles`. A page at a time, with the place kept in the database: an organization may have many members, and the feed
//! that brought the news must not wait for them.

use std::{sync::Arc, time::Duration};

use access::{Granted, Service};
use tenancy::{ClusterScope, OrganizationState, StoreError};
use tokio::time::sleep;

use crate::{
    ops::{
        Context,
        member::{ReviewError, review_some},
    },
    store::domain_review::{self, Review},
};

const EVERY: Duration = Duration::from_millis(500);

pub async fn review_domains_for_ever(context: Arc<Context>) {
    loop {
        match one(&context).await {
            Ok(true) => {}
            Ok(false) => sleep(EVERY).await,
            Err(error) => {
                tracing::warn!(error = %runtime::Chain(&error), "roles by email domain stay as they are for now");
                sleep(EVERY).await;
            }
        }
    }
}

/// Takes one page of one. False where none is due.
async fn one(context: &Context) -> Result<bool, ReviewError> {
    let mut tx = context.database.upkeep(ClusterScope::granted()).await?;
    let taken = domain_review::take(tx.connection()).await?;
    tx.commit().await?;
    let Some(review) = taken else { return Ok(false) };
    let head = context.database.head(review.organization).await?;
    // Who comes back to one that is opened again begins a session, and is looked at then.
    let open = head.is_some_and(|head| head.state == OrganizationState::Active);
    let granted = Granted::of_background(Service::Member).in_organization(review.project, review.organization);
    let last = if open { review_some(context, &granted, &review.domain, review.after).await? } else { None };
    keep(context, &review, last).await?;
    Ok(true)
}

/// Whoever was overtaken may have given roles by what was known before: then everybody is looked at once more, after them.
async fn keep(context: &Context, review: &Review, last: Option<tenancy::MemberId>) -> Result<(), StoreError> {
    let scope = ClusterScope::granted();
    let mut tx = context.database.upkeep(scope).await?;
    let kept = match last {
        Some(last) => domain_review::advance(tx.connection(), review, last).await?,
        None => domain_review::end(tx.connection(), review).await?,
    };
    if !kept {
        let granted = Granted::of_background(Service::Member).in_organization(review.project, review.organization);
        domain_review::begin(tx.connection(), granted.scope, &review.domain).await?;
    }
    tx.commit().await
}
