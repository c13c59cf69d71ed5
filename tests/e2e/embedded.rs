//! The engine in a client's own process: it answers as the service does, as fresh as it says, or not at all.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use client::{
    Client,
    embedded::{By, Consistency, Decision, EmbeddedEngine, EngineOptions, Otherwise, Place, Question, Unanswered},
};
use serde_json::json;
use testkit::{
    Cluster,
    bounds::{SECOND, ends_within},
    caller::{Caller, Organization, Project, text},
};
use tokio::time::sleep;
use tonic::Code;

const BOUND: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(20);

fn client(cluster: &Cluster, token: &str) -> Client {
    let client = Client::new(&format!("http://{}", cluster.access().gateway), Default::default()).unwrap();
    client.set_token(token.to_owned().into());
    client
}

/// Answers from memory alone.
fn strict() -> EngineOptions {
    EngineOptions { staleness_bound: BOUND, otherwise: Otherwise::Refuse { wait: Duration::from_secs(5) } }
}

fn asks(member: &str, permission: &str, place: &str) -> Question {
    let at = place.parse().unwrap();
    Place::new(member.parse().unwrap()).at(at).asks(permission.parse().unwrap())
}

/// An organization with a member who may read `document/kept`.
struct House<'c> {
    project: Project<'c>,
    organization: Organization<'c>,
    member: String,
    role: String,
}

impl<'c> House<'c> {
    async fn new(cluster: &'c Cluster) -> Self {
        let project = cluster.project().await;
        let types = json!([{"name": "folder", "verbs": ["read"], "parent_types": ["folder"]},
            {"name": "document", "verbs": ["read", "write"], "parent_types": ["folder"]}]);
        project.account.call("CatalogService/UpdateCatalog", json!({"catalog": {"resource_types": types}})).await;
        let role = json!({"role": {"key": "reader", "display_name": "Reader", "permissions": ["document:read"]}});
        let role = text(&project.account.call("RoleService/CreateRole", role).await, "role_id");
        let organization = project.organization("acme").await;
        let member = organization.join("ada", &["member"]).await.id;
        let house = Self { project, organization, member, role };
        house.grant("kept").await;
        house
    }

    async fn grant(&self, place: &str) -> String {
        let binding = json!({"organization_id": self.organization.id, "binding": {
            "subject": {"member_id": self.member}, "role_id": self.role, "resource": {"type": "document", "id": place}}});
        text(&self.project.account.call("BindingService/CreateBinding", binding).await, "revision")
    }

    fn client(&self) -> Client {
        client(self.project.cluster, &self.project.token)
    }

    async fn engine(&self, options: EngineOptions) -> EmbeddedEngine {
        let engine = self.client().embedded_engine(&self.organization.id, options);
        tokio::time::timeout(PATIENCE, engine.ready()).await.unwrap().unwrap();
        engine
    }

    fn kept(&self) -> Question {
        asks(&self.member, "document:read", "document/kept")
    }
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        sleep(Duration::from_millis(10)).await;
    }
}

async fn allowed_by_memory(engine: &EmbeddedEngine, question: &Question) -> bool {
    match engine.check(question, &Consistency::MinimizeLatency).await {
        Ok(answer) => answer.by == By::Memory && answer.decision == Decision::Allowed,
        Err(_) => false,
    }
}

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides as u64).unwrap()
    }

    fn one<'a>(&mut self, of: &'a [String]) -> &'a str {
        &of[self.roll(of.len())]
    }
}

/// Whom and what a storm of writes is about.
#[derive(Clone)]
struct World {
    id: String,
    members: Vec<String>,
    groups: Vec<String>,
    roles: Vec<String>,
}

impl World {
    fn place(dice: &mut Dice) -> (&'static str, String) {
        let kind = if dice.roll(2) == 0 { "folder" } else { "document" };
        (kind, dice.roll(5).to_string())
    }

    fn question(&self, dice: &mut Dice) -> Question {
        let permission = ["document:read", "document:write", "folder:read"][dice.roll(3)];
        let (kind, id) = Self::place(dice);
        asks(dice.one(&self.members), permission, &format!("{kind}/{id}"))
    }
}

/// Changes everything that decides, at random, until it is ended. What is refused changes nothing.
async fn write(account: Caller, world: World, written: Arc<AtomicUsize>) {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut bindings: Vec<String> = Vec::new();
    loop {
        let id = &world.id;
        let (kind, place) = World::place(&mut dice);
        let at = json!({"type": kind, "id": place});
        let who = match dice.roll(2) {
            0 => json!({"member_id": dice.one(&world.members)}),
            _ => json!({"group_id": dice.one(&world.groups)}),
        };
        let (method, request) = match dice.roll(12) {
            0..4 => {
                let effect = if dice.roll(4) == 0 { "BINDING_EFFECT_DENY" } else { "BINDING_EFFECT_ALLOW" };
                let condition = ["", "", "", "resource.type == 'document'"][dice.roll(4)];
                let mut binding = json!({"subject": who, "role_id": dice.one(&world.roles), "effect": effect});
                binding["condition"] = json!(condition);
                if dice.roll(4) > 0 {
                    binding["resource"] = at;
                }
                ("BindingService/CreateBinding", json!({"organization_id": id, "binding": binding}))
            }
            4..6 if bindings.len() > 6 => {
                let gone = bindings.swap_remove(dice.roll(bindings.len()));
                ("BindingService/DeleteBinding", json!({"organization_id": id, "binding_id": gone}))
            }
            4..8 => {
                let method = if dice.roll(3) == 0 { "RemoveGroupMembers" } else { "AddGroupMembers" };
                let request = json!({"organization_id": id, "group_id": dice.one(&world.groups), "subjects": [who]});
                (
                    if method == "AddGroupMembers" {
                        "GroupService/AddGroupMembers"
                    } else {
                        "GroupService/RemoveGroupMembers"
                    },
                    request,
                )
            }
            8..10 => {
                let folder = json!({"type": "folder", "id": dice.roll(5).to_string()});
                let registration = json!({"resource": at, "parent": folder});
                ("ResourceService/RegisterResource", json!({"organization_id": id, "registration": registration}))
            }
            10 => ("ResourceService/DeleteResource", json!({"organization_id": id, "resource": at})),
            _ => {
                let all = ["document:read", "document:write", "document:*", "folder:read"];
                let role =
                    json!({"role_id": dice.one(&world.roles), "permissions": [all[dice.roll(4)], all[dice.roll(4)]]});
                ("RoleService/UpdateRole", json!({"role": role, "update_mask": "permissions"}))
            }
        };
        if let Ok(done) = account.try_call(method, request).await {
            written.fetch_add(1, Ordering::Relaxed);
            if method == "BindingService/CreateBinding" {
                bindings.push(text(&done, "binding_id"));
            }
        }
        sleep(Duration::from_millis(30)).await;
    }
}

#[tokio::test]
async fn it_answers_as_the_service_does_at_the_same_revision() {
    let cluster = Cluster::start().await;
    let house = House::new(&cluster).await;
    let account = house.project.account.clone();
    let id = house.organization.id.clone();
    let mut world = World {
        id: id.clone(),
        members: vec![house.member.clone()],
        groups: Vec::new(),
        roles: vec![house.role.clone()],
    };
    for name in ["grace", "joan"] {
        world.members.push(house.organization.join(name, &["member"]).await.id);
    }
    for name in ["left", "right", "both"] {
        let group = json!({"organization_id": id, "group": {"display_name": name}});
        world.groups.push(text(&account.call("GroupService/CreateGroup", group).await, "group_id"));
    }
    let writer = json!({"role": {"key": "writer", "display_name": "Writer", "permissions": ["document:*"]}});
    world.roles.push(text(&account.call("RoleService/CreateRole", writer).await, "role_id"));

    let engine = house.engine(EngineOptions { staleness_bound: BOUND, ..EngineOptions::default() }).await;
    let written = Arc::new(AtomicUsize::default());
    let writes = tokio::spawn(write(account, world.clone(), written.clone()));
    let mut dice = Dice(0x2545_f491_4f6c_dd1d);
    // Of each third, one with a process that was killed before it.
    for third in 1..=3 {
        let (compared, allowed) =
            compare(&engine, &world, &mut dice, || written.load(Ordering::Relaxed) >= third * 40).await;
        assert!(allowed > 0 && allowed < compared, "{allowed} of {compared}");
        if third < 3 {
            let killed = cluster.kill("authz-service");
            cluster.restarted("authz-service", killed).await;
        }
    }
    writes.abort();
}

/// Compares what memory answers with what the service does, until hundreds of answers were of one revision and enough has happened.
async fn compare(engine: &EmbeddedEngine, world: &World, dice: &mut Dice, enough: impl Fn() -> bool) -> (usize, usize) {
    let (mut compared, mut allowed) = (0, 0);
    let begun = Instant::now();
    while compared < 300 || !enough() {
        assert!(begun.elapsed() < Duration::from_secs(60), "only {compared} were at one revision");
        let questions: Vec<Question> = (0..10).map(|_| world.question(dice)).collect();
        let Ok(own) = engine.check_all(&questions, &Consistency::MinimizeLatency).await else { continue };
        let Ok(asked) = engine.check_all(&questions, &Consistency::FullyConsistent).await else { continue };
        assert_eq!(asked.by, By::Server);
        if own.by == By::Memory && own.revision == asked.revision {
            assert_eq!(own.decisions, asked.decisions, "{questions:?} at {}", own.revision);
            compared += own.decisions.len();
            allowed += own.decisions.iter().filter(|decision| decision.is_allowed()).count();
            let place = &questions[0].place;
            let own = engine.list_permissions(place, &Consistency::AtLeastAsFresh(own.revision.to_string())).await;
            let asked = engine.list_permissions(place, &Consistency::FullyConsistent).await;
            if let (Ok(own), Ok(asked)) = (own, asked) {
                assert_eq!(own.by, By::Memory, "its own revision is reached");
                if own.revision == asked.revision {
                    assert_eq!((own.allowed, own.conditional), (asked.allowed, asked.conditional));
                }
            }
        }
        sleep(Duration::from_millis(7)).await;
    }
    (compared, allowed)
}

#[tokio::test]
async fn who_is_suspended_may_nothing_within_a_second() {
    let cluster = Cluster::shared().await;
    let house = House::new(cluster).await;
    let engine = house.engine(strict()).await;
    let id = &house.organization.id;
    let about = json!({"organization_id": id, "member_id": house.member});
    let organization = json!({"organization_id": id});
    let states = [
        ("MemberService/SuspendMember", "MemberService/ReactivateMember", &about),
        ("OrganizationService/SuspendOrganization", "OrganizationService/ReactivateOrganization", &organization),
    ];
    for (suspend, reactivate, request) in states {
        until("it is allowed", async || allowed_by_memory(&engine, &house.kept()).await).await;
        house.project.account.call(suspend, request.clone()).await;
        let suspended = Instant::now();
        let allowed = async || allowed_by_memory(&engine, &house.kept()).await.then_some("ALLOWED");
        ends_within(suspended, SECOND, suspend, allowed).await;
        // Not for want of a proof alone.
        until("it is denied", async || {
            let answer = engine.check(&house.kept(), &Consistency::MinimizeLatency).await;
            answer.is_ok_and(|answer| answer.by == By::Memory && answer.decision == Decision::Denied)
        })
        .await;
        house.project.account.call(reactivate, request.clone()).await;
    }
}

#[tokio::test]
async fn what_is_not_proven_is_not_answered_from_memory() {
    let cluster = Cluster::start().await;
    let house = House::new(&cluster).await;
    let (refusing, asking) = (house.engine(strict()).await, house.engine(EngineOptions::default()).await);
    let question = house.kept();
    for engine in [&refusing, &asking] {
        until("it is allowed", async || allowed_by_memory(engine, &question).await).await;
    }
    let held = refusing.revision().unwrap().to_string();
    cluster.stop("authz-service");
    let stopped = Instant::now();
    sleep(Duration::from_millis(200)).await;
    while stopped.elapsed() < BOUND + Duration::from_millis(1500) {
        let answer = refusing.check(&question, &Consistency::MinimizeLatency).await;
        if stopped.elapsed() > BOUND + Duration::from_millis(100) {
            assert!(matches!(answer, Err(Unanswered::Stale)), "{answer:?} after {:?}", stopped.elapsed());
        }
        sleep(Duration::from_millis(20)).await;
    }
    // What a token asks for is there, however long it stands still.
    let answer = refusing.check(&question, &Consistency::AtLeastAsFresh(held)).await.unwrap();
    assert_eq!((answer.by, answer.decision), (By::Memory, Decision::Allowed));
    for consistency in [Consistency::MinimizeLatency, Consistency::FullyConsistent] {
        let answer = asking.check(&question, &consistency).await;
        assert!(matches!(answer, Err(Unanswered::Server(_))), "{answer:?}");
    }
    cluster.go_on("authz-service");
    for engine in [&refusing, &asking] {
        until("it recovers", async || allowed_by_memory(engine, &question).await).await;
    }
}

#[tokio::test]
async fn a_token_is_answered_from_memory_once_it_is_known_to_be_reached() {
    let cluster = Cluster::shared().await;
    let house = House::new(cluster).await;
    let engine = house.engine(EngineOptions::default()).await;
    for round in 0..5 {
        let place = format!("round-{round}");
        let question = asks(&house.member, "document:read", &format!("document/{place}"));
        let written = Consistency::AtLeastAsFresh(house.grant(&place).await);
        let first = engine.check(&question, &written).await.unwrap();
        assert_eq!(
            (first.by, &first.decision),
            (By::Server, &Decision::Allowed),
            "a write's token is not the stream's"
        );
        until("the stream comes through the revision", async || {
            let answer = engine.check(&question, &written).await.unwrap();
            assert!(answer.decision.is_allowed(), "its own write is in it");
            answer.by == By::Memory
        })
        .await;
    }
    let foreign = engine.check(&house.kept(), &Consistency::AtLeastAsFresh("x".to_owned())).await.unwrap_err();
    assert!(matches!(&foreign, Unanswered::Server(status) if status.code() == Code::InvalidArgument), "{foreign:?}");
    let undeclared = asks(&house.member, "document:fly", "document/kept");
    let unknown = engine.check(&undeclared, &Consistency::MinimizeLatency).await.unwrap_err();
    assert!(matches!(&unknown, Unanswered::Undeclared(name) if name == "document:fly"), "{unknown:?}");
}

#[tokio::test]
async fn it_ends_with_the_right_to_it() {
    let cluster = Cluster::shared().await;
    let house = House::new(cluster).await;
    let id = &house.organization.id;
    let owner = house.organization.join("second-owner", &["owner"]).await;
    let theirs = client(cluster, &owner.tokens.access).embedded_engine(id, strict());
    theirs.ready().await.unwrap();
    let own = house.engine(EngineOptions::default()).await;
    let removed = json!({"organization_id": id, "member_id": owner.id});
    house.project.account.call("MemberService/RemoveMember", removed).await;
    let ended = async |engine: &EmbeddedEngine| {
        let answer = engine.check(&house.kept(), &Consistency::MinimizeLatency).await;
        matches!(answer, Err(Unanswered::Ended(_)))
    };
    until("it goes on without a right", async || ended(&theirs).await).await;
    assert!(allowed_by_memory(&own, &house.kept()).await);
    house.project.account.call("OrganizationService/DeleteOrganization", json!({"organization_id": id})).await;
    until("it goes on without an organization", async || ended(&own).await).await;
    assert!(own.revision().is_none());
    // From the beginning.
    let nobody = client(cluster, "nonsense").embedded_engine(id, EngineOptions::default());
    assert!(matches!(nobody.ready().await, Err(Unanswered::Ended(_))));
}
