//! Processes are killed as the kernel kills them, and PostgreSQL is stopped as `pg_ctl -m immediate` does it, in the middle of writes of
//! every kind. What was acknowledged is there, once; what was not is there wholly or not at all; what was taken back stays so.

mod found;
mod houses;
mod people;
mod rights;
mod robots;
mod sessions;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use testkit::{
    Cluster,
    caller::{Caller, text},
};
use tokio::{task::JoinSet, time::sleep};

use crate::{
    history::{History, Kind, Noted, Outcome, Thing},
    judge::judge,
    pen::{Dice, Ended, Pen, Question, look},
};

const VICTIMS: [&str; 5] = ["org-service", "member-service", "authz-service", "gateway", "postgres"];
/// Between two deaths so many writes are acknowledged, however slow the machine is.
const PROGRESS: usize = 6;
const PROGRESS_WITHIN: Duration = Duration::from_secs(300);
/// In the end, what was lost between services is mended: by feeds within a second, by the sweep of prospects within half a minute of the
/// last start of member-service.
const MENDED_WITHIN: Duration = Duration::from_secs(90);
/// Those that are asked about again and again.
const WATCHED: usize = 64;

/// In one house. Tokens last for minutes.
const AT_MOST: usize = 40;

/// With every test, and as many as `GUILDHALL_PROOF_KILLS` says in a long run.
fn wanted() -> usize {
    std::env::var("GUILDHALL_PROOF_KILLS").map_or(20, |kills| kills.parse().expect("a number of kills"))
}

/// Where all this takes place.
pub struct Scene {
    cluster: Cluster,
    account: Caller,
    project: String,
    acme: String,
    /// Who is given bindings at documents, and the role that they are of.
    holder: String,
    role: String,
    history: Arc<History>,
    ended: Mutex<Vec<Ended>>,
    over: AtomicBool,
}

impl Scene {
    async fn new() -> Self {
        let cluster = Cluster::start().await;
        let project = cluster.project().await;
        let account = project.account.clone();
        let catalog = json!({"catalog": {"resource_types": [{"name": "document", "verbs": ["read", "write"]}]}});
        account.call("CatalogService/UpdateCatalog", catalog).await;
        let role = json!({"role": {"key": "reader", "display_name": "Reader", "permissions": ["document:read"]}});
        let role = text(&account.call("RoleService/CreateRole", role).await, "role_id");
        let acme = json!({"organization": {"display_name": "acme"}});
        let acme = text(&account.call("OrganizationService/CreateOrganization", acme).await, "organization_id");
        let holder = json!({"organization_id": acme, "member": {"email_address": "holder@acme.test"}});
        let holder = text(&account.call("MemberService/CreateMember", holder).await, "member_id");
        let project = project.id.clone();
        let (history, ended, over) = (Arc::new(History::begin()), Mutex::default(), AtomicBool::default());
        Self { cluster, account, project, acme, holder, role, history, ended, over }
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn pen(&self, name: &str, seed: u64) -> Pen {
        let seed = 0x9e37_79b9_7f4a_7c15 ^ (seed + 1);
        Pen::new(self.history.clone(), self.account.clone(), name.to_owned(), seed)
    }

    /// Is asked about at once, and later again.
    async fn ended(&self, thing: (Kind, &str), question: Question, grace: Duration) {
        let ended = Ended { thing: Thing::new(thing.0, thing.1), question, grace };
        look(&self.history, &self.cluster, &self.account, &ended).await;
        let mut all = self.ended.lock().unwrap();
        if all.len() == WATCHED {
            all.remove(0);
        }
        all.push(ended);
    }

    async fn watch(self: Arc<Self>, mut dice: Dice) {
        while !self.is_over() {
            let one = {
                let all = self.ended.lock().unwrap();
                (!all.is_empty()).then(|| all[dice.roll(all.len())].clone())
            };
            if let Some(one) = one {
                look(&self.history, &self.cluster, &self.account, &one).await;
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Until so many more writes have been acknowledged.
    async fn progress(&self) {
        let (begun, before) = (Instant::now(), self.history.acknowledged());
        while self.history.acknowledged() < before + PROGRESS {
            assert!(begun.elapsed() < PROGRESS_WITHIN, "nothing is answered any more");
            sleep(Duration::from_millis(10)).await;
        }
    }

    async fn die(&self, victim: &str) {
        let pid = match victim {
            // What `pg_ctl stop -m immediate` sends: it ends without a checkpoint, and replays its log when it comes back.
            "postgres" => self.cluster.quit(victim),
            _ => self.cluster.kill(victim),
        };
        self.cluster.restarted(victim, pid).await;
    }

    /// Asks until it is answered.
    async fn insist(&self, method: &str, request: Value) -> Value {
        let begun = Instant::now();
        loop {
            match self.account.try_call(method, request.clone()).await {
                Ok(answer) => return answer,
                Err(refused) => {
                    assert!(
                        begun.elapsed() < Duration::from_secs(60),
                        "{method} {request} is not answered: {refused:?}"
                    );
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_killed_what_was_answered_holds() {
    let mut left = wanted();
    while left > 0 {
        let kills = left.min(AT_MOST);
        in_one_house(kills, left as u64).await;
        left -= kills;
    }
}

async fn in_one_house(kills: usize, seed: u64) {
    let scene = Arc::new(Scene::new().await);
    let mut tasks = JoinSet::new();
    for n in 0..2 {
        tasks.spawn(people::write(scene.clone(), scene.pen(&format!("people{n}"), seed + n)));
        tasks.spawn(rights::write(scene.clone(), scene.pen(&format!("rights{n}"), seed + 10 + n)));
        tasks.spawn(houses::write(scene.clone(), scene.pen(&format!("houses{n}"), seed + 20 + n)));
        tasks.spawn(scene.clone().watch(Dice(seed + 30 + n)));
    }
    tasks.spawn(robots::write(scene.clone(), scene.pen("robots", seed + 40)));
    tasks.spawn(sessions::write(scene.clone(), scene.pen("sessions", seed + 50)));

    let mut dice = Dice(0x2545_f491_4f6c_dd1d ^ seed);
    let own_server = std::env::var_os("DATABASE_URL").is_none();
    // Somebody else's server is not ours to stop.
    let victims = &VICTIMS[..if own_server { VICTIMS.len() } else { VICTIMS.len() - 1 }];
    let mut order: Vec<&str> = Vec::new();
    for _ in 0..kills {
        scene.progress().await;
        sleep(Duration::from_millis(dice.roll(300) as u64)).await;
        if order.is_empty() {
            order = victims.to_vec();
        }
        let victim = order.swap_remove(dice.roll(order.len()));
        scene.die(victim).await;
    }
    scene.progress().await;
    scene.over.store(true, Ordering::Relaxed);
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }

    scene.mend().await;
    let (begun, noted) = (Instant::now(), scene.history.all());
    let mut faults = loop {
        let faults = judge(&noted, &scene.finally().await);
        if faults.is_empty() || begun.elapsed() > MENDED_WITHIN {
            break faults;
        }
        sleep(Duration::from_secs(2)).await;
    };
    let mended = begun.elapsed();
    faults.extend(judge(&Noted { looks: Vec::new(), wrong: Vec::new(), ..noted.clone() }, &scene.of_deleted().await));
    let count = |outcome| noted.operations.iter().filter(|done| done.outcome == outcome).count();
    let sent: usize = noted.operations.iter().map(|done| done.attempts).sum();
    let told = format!(
        "{kills} kills, {} operations sent {sent} times, {} acknowledged, {} unknown, {} looks, mended within {:?}; failures: {:?}",
        noted.operations.len(),
        count(Outcome::Acknowledged),
        count(Outcome::Unknown),
        noted.looks.len(),
        mended,
        noted.failures,
    );
    println!("{told}");
    let shown = faults.iter().take(30).cloned().collect::<Vec<_>>().join("\n  ");
    assert!(faults.is_empty(), "{} faults after {told}:\n  {shown}", faults.len());
    assert!(count(Outcome::Unknown) > 0 && sent > noted.operations.len(), "nobody was hurt: {told}");
}
