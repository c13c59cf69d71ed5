//! Signing in by password, beside the hash that it has to compute; and believing a token, seen before or not.

use std::hint::black_box;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use access::{Service, Trust, Verifier};
use api::gateway::v1::{SignInWithPasswordRequest, sign_in_with_password_request::Organization};
use tokio::task::block_in_place;

use super::{Run, callers};
use crate::Failure;
use crate::floor::hashing;
use crate::house::House;
use crate::measure::rounds;
use crate::wire::Call;

const SIGN_IN: &str = "guildhall.gateway.v1.AuthenticationService/SignInWithPassword";
/// Each with a password of their own. More than hash at once, and fewer than are let wait.
const PEOPLE: usize = 16;
const VERIFYING: Duration = Duration::from_millis(300);

pub async fn measure(house: &House, run: &mut Run<'_>) -> Result<(), Failure> {
    run.progress.say("people who sign in");
    let (plan, cores) = (run.plan, &house.cores);
    let project = house.cluster.project().await;
    let organization = project.organization("load").await;
    let mut calls = Vec::new();
    for number in 0..PEOPLE {
        let member = organization.join(&format!("person-{number}"), &["member"]).await;
        let message = SignInWithPasswordRequest {
            organization: Some(Organization::OrganizationSlug(organization.slug.clone())),
            email_address: member.email,
            password: member.password,
        };
        let call = Call::grpc(house.access().gateway, SIGN_IN, None, &message)?;
        calls.push(call.with("guildhall-project-id", &project.id)?);
    }
    let calls: Arc<[Call]> = calls.into();
    run.progress.say("signing in by password");
    // Hashing is the limit: both have all cores.
    let [signed_in, hashed] = rounds::<2, 1>(plan.rounds, |thing| {
        let closed = plan.closed(&cores.all, PEOPLE);
        Ok([match thing {
            0 => {
                block_in_place(|| closed.run(async |range| callers(house.access().gateway, &calls, range).await))?.per_s
            }
            _ => hashing::per_second(cores.all.len(), plan.lasting)?,
        }])
    })?;
    let ([signed_in], [hashed]) = (signed_in, hashed);
    run.report.series("sign_in_of_argon2", signed_in.over(&hashed));
    run.report.series("sign_in_per_s", signed_in);
    run.report.series("argon2_per_s", hashed);
    verification(house, run).await
}

/// What it takes to believe a token: the first time, and again.
async fn verification(house: &House, run: &mut Run<'_>) -> Result<(), Failure> {
    let unmeasurable = |why: &dyn std::fmt::Display| Failure::Unmeasurable(format!("a token is not believed: {why}"));
    let token = house.token().await?;
    let trust = Trust::read(&house.cluster.directory().join("trust")).map_err(|error| unmeasurable(&error))?;
    let issuer = format!("http://{}", house.access().gateway);
    let verifier = Verifier::new(Service::Authz, trust, &issuer, "guildhall");
    verifier.verify(&token).map_err(|_| unmeasurable(&"its issuer or audience is another"))?;
    let [first, again] = rounds::<2, 1>(run.plan.rounds, |thing| {
        Ok([seconds(|| match thing {
            0 => drop(black_box(verifier.verify_for_any_audience(black_box(&token)).is_ok())),
            _ => drop(black_box(verifier.verify(black_box(&token)).is_ok())),
        })])
    })?;
    let ([first], [again]) = (first, again);
    run.report.series("verification_us", first.map(|seconds| seconds * 1e6));
    run.report.series("verification_cached_us", again.map(|seconds| seconds * 1e6));
    Ok(())
}

/// Of one call, in the mean.
fn seconds(mut call: impl FnMut()) -> f64 {
    let (begun, mut calls) = (Instant::now(), 0_u32);
    while begun.elapsed() < VERIFYING {
        for _ in 0..100 {
            call();
        }
        calls += 100;
    }
    thread::yield_now();
    begun.elapsed().as_secs_f64() / f64::from(calls)
}
