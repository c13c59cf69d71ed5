//! The engine inside a caller's own program: `client::embedded`, fed by the service and asked in process.

use std::time::{Duration, Instant};

use client::embedded::{By, Consistency, EngineOptions, Place, Question};
use client::{Client, ClientOptions};

use super::Run;
use super::check::{Ground, member_of};
use crate::Failure;
use crate::house::House;
use crate::measure::{Series, Times};

const READY_WITHIN: Duration = Duration::from_secs(30);

pub async fn measure(house: &House, ground: &Ground, run: &mut Run<'_>) -> Result<(), Failure> {
    run.progress.say("Check by an embedded engine");
    let client = Client::new(&format!("http://{}", ground.authz.address), ClientOptions::default());
    let client = client.map_err(|error| Failure::Unmeasurable(error.to_string()))?;
    client.set_token(house.token().await?.into());
    let begun = Instant::now();
    let engine = client.embedded_engine(&ground.organization.to_string(), EngineOptions::default());
    tokio::time::timeout(READY_WITHIN, engine.ready())
        .await
        .map_err(|_| Failure::NotReady { name: "an embedded engine".to_owned(), seconds: READY_WITHIN.as_secs() })?
        .map_err(|error| Failure::Unmeasurable(error.to_string()))?;
    run.report.one("embedded_ready_ms", begun.elapsed().as_secs_f64() * 1e3);

    let questions = ground.questions.iter().map(|question| {
        let subject =
            member_of(question).to_string().parse().map_err(|error| Failure::Unmeasurable(format!("{error}")))?;
        Ok(Place::new(subject).at(question.resource.clone()).asks(question.permission.clone()))
    });
    let questions: Vec<Question> = questions.collect::<Result<_, Failure>>()?;
    let (mut p50, mut p99) = (Series::default(), Series::default());
    for _ in 0..run.plan.rounds {
        let mut times = Times::default();
        let end = Instant::now() + run.plan.lasting / 2;
        while Instant::now() < end {
            for question in &questions {
                let asked = Instant::now();
                let answer = engine.check(question, &Consistency::MinimizeLatency).await;
                times.record(asked.elapsed());
                match answer {
                    Ok(answer) if answer.by == By::Memory => {}
                    other => return Err(Failure::Unmeasurable(format!("an answer not from memory: {other:?}"))),
                }
            }
        }
        p50.0.push(times.ns(0.5));
        p99.0.push(times.ns(0.99));
    }
    run.report.series("embedded_check_p50_ns", p50);
    run.report.series("embedded_check_p99_ns", p99);
    Ok(())
}
