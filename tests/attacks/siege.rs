//! Everything that can be asked for of somebody else's, by everybody who could ask for it, at every door.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    net::SocketAddr,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use api::{Audience, Method};
use futures::{StreamExt as _, stream};
use prost::Message as _;
use prost_reflect::DynamicMessage;
use serde_json::json;
use testkit::{
    Cluster, Replica,
    caller::{Member, text},
};
use tonic::Code;

use crate::{
    attack::{Attack, homes},
    ear::Ear,
    twin::{reason, told},
    wire::{Answer, Door, Headers, bearer},
    world::{Tenant, Who, catalog, robot},
};

/// More at once would wait for each other.
pub const AT_ONCE: usize = 8;
/// A difference that a busy moment made does not come again.
const TRIES: usize = 5;

pub struct Siege<'c> {
    pub cluster: &'c Cluster,
    pub mine: Tenant<'c>,
    /// Of the same project, and of another.
    pub sister: Tenant<'c>,
    pub globex: Tenant<'c>,
    pub doors: Vec<Door>,
    pub ears: Vec<Ear>,
    /// What a service would believe, if the gateway let it through.
    pub smuggled: String,
    tokens: BTreeMap<Who, String>,
    robot: (String, String),
    owner: Member,
    gateway: Replica,
    pub asked: AtomicUsize,
}

/// Of a new service account of the project.
pub async fn project_token(cluster: &Cluster, project: &str) -> String {
    let account = json!({"project_id": project, "service_account": {"display_name": "again"}});
    let operator = cluster.operator().await;
    let account = operator.call("ServiceAccountService/CreateProjectServiceAccount", account).await;
    cluster.client_credentials(&text(&account, "client_id"), &text(&account, "client_secret")).await.unwrap()
}

/// How many times everything is tried; `make proof` asks for more.
pub fn rounds() -> usize {
    env::var("GUILDHALL_PROOF_ATTACKS").ok().map_or(1, |times| times.parse().unwrap())
}

/// How it was answered, in a word that is the same each time. What one may do with one's own, or could but for what is there already, is
/// `own`: what stood in the place was not looked for among what others have.
fn word(answer: &Answer) -> &'static str {
    match answer.code {
        Code::Ok | Code::AlreadyExists | Code::FailedPrecondition | Code::ResourceExhausted | Code::Aborted => "own",
        Code::NotFound => "not-found",
        Code::InvalidArgument => "invalid",
        Code::PermissionDenied if reason(answer) == "WRONG_AUDIENCE" => "audience",
        Code::PermissionDenied => "permission",
        Code::Unauthenticated => "unauthenticated",
        Code::Unimplemented => "unknown",
        _ => "no answer",
    }
}

/// What came of it all.
#[derive(Debug, Default)]
pub struct Report {
    pub faults: Vec<String>,
    /// By attack and caller: how it was refused, or that it was not.
    pub outcomes: BTreeMap<String, BTreeMap<Who, BTreeSet<String>>>,
}

impl<'c> Siege<'c> {
    pub async fn lay(cluster: &'c Cluster) -> Self {
        let (project, elsewhere) = (cluster.project().await, cluster.project().await);
        catalog(&project).await;
        catalog(&elsewhere).await;
        let mine = Tenant::new(&project).await;
        let (sister, globex) = (Tenant::new(&project).await, Tenant::new(&elsewhere).await);
        // Tokens that last as long as tokens may: a busy machine takes its time.
        let settings = json!({"project_id": project.id, "update_mask": "tokenSettings.accessTokenLifetime",
            "project": {"token_settings": {"access_token_lifetime": "900s"}}});
        cluster.operator().await.call("ProjectService/UpdateProject", settings).await;
        // Two of one second would be the same to the byte: the gateway's own are of later ones.
        let smuggled = cluster.workload_token("gateway", "member-service");
        tokio::time::sleep(Duration::from_millis(2100)).await;
        let robot = robot(&mine.organization).await;
        let mut ears = Vec::new();
        for service in ["org-service", "member-service", "authz-service"] {
            ears.push(Ear::before(cluster.door(service), vec!["smuggled".to_owned(), smuggled.clone()]).await);
        }
        let [org, member, authz] = [0, 1, 2].map(|at: usize| format!("http://{}", ears[at].address));
        let told =
            [("GUILDHALL_ORG_URL", org.as_str()), ("GUILDHALL_MEMBER_URL", &member), ("GUILDHALL_AUTHZ_URL", &authz)];
        let unlimited = [
            "SIGN_IN_RATE_PER_IDENTITY",
            "SIGN_IN_RATE_PER_ADDRESS",
            "SIGN_IN_RATE_PER_PROJECT",
            "TOKEN_RATE_PER_CLIENT",
            "TOKEN_RATE_PER_ADDRESS",
        ]
        .map(|name| format!("GUILDHALL_{name}"));
        let told = told.into_iter().chain([("GUILDHALL_REVOCATION_LAG", "60")]);
        let told: Vec<_> = told.chain(unlimited.iter().map(|name| (name.as_str(), "0"))).collect();
        let gateway = cluster.replica("gateway", testkit::free_port([127, 0, 0, 1].into()), &told).await;
        let mut doors = vec![Door::new("gateway", gateway.address)];
        doors
            .extend(["org-service", "member-service", "authz-service"].map(|name| Door::new(name, cluster.door(name))));
        let owner = mine.organization.owner().clone();
        let mut siege = Self {
            cluster,
            mine,
            sister,
            globex,
            doors,
            ears,
            smuggled,
            tokens: BTreeMap::new(),
            robot,
            owner,
            gateway,
            asked: AtomicUsize::new(0),
        };
        siege.sign_in().await;
        siege
    }

    /// Another organization of one's own: in the one before stands by now whatever it could be told of others'.
    pub async fn settle_anew(&mut self) {
        self.renew_account().await;
        let project = self.mine.organization.project.clone();
        self.mine = Tenant::new(&project).await;
        self.robot = robot(&self.mine.organization).await;
        self.owner = self.mine.organization.owner().clone();
        self.sign_in().await;
    }

    /// Tokens last for some minutes, and the siege for longer, in which one's own may have been given another slug.
    pub async fn sign_in(&mut self) {
        self.renew_account().await;
        let mine = &mut self.mine.organization;
        let it = json!({"organization_id": mine.id});
        mine.slug = text(&mine.project.account.call("OrganizationService/GetOrganization", it).await, "slug");
        let owner = self.mine.organization.again(&self.owner).await;
        let project = &self.mine.organization.project;
        let who = json!({"email_address": owner.email, "password": owner.password});
        let known = project.anyone().call("AuthenticationService/SignInWithPassword", who).await;
        let intermediate = known["intermediate_session"]["intermediate_session_token"].as_str();
        let intermediate = intermediate.unwrap_or_else(|| panic!("no intermediate session in {known}")).to_owned();
        self.mine.things.insert("intermediate", intermediate);
        let account = self.robot_token().await;
        let token = project_token(self.cluster, &project.id).await;
        self.mine.things.insert("token", token);
        self.tokens = [
            (Who::Nobody, String::new()),
            (Who::Owner, owner.tokens.access),
            (Who::Robot, account),
            (Who::Project, project_token(self.cluster, &project.id).await),
        ]
        .into();
    }

    async fn renew_account(&mut self) {
        let project = &mut self.mine.organization.project;
        project.account = self.cluster.bearer(&project_token(self.cluster, &project.id).await);
    }

    async fn robot_token(&self) -> String {
        self.cluster.client_credentials(&self.robot.0, &self.robot.1).await.unwrap()
    }

    pub fn gateway(&self) -> SocketAddr {
        self.gateway.address
    }

    pub fn token(&self, who: Who) -> &str {
        &self.tokens[&who]
    }

    pub fn headers(&self, who: Who) -> Headers {
        match who {
            Who::Nobody => vec![("guildhall-project-id", self.mine.organization.project.id.clone())],
            _ => bearer(&self.tokens[&who]),
        }
    }

    pub fn door(&self, name: &str) -> &Door {
        self.doors.iter().find(|door| door.name == name).unwrap()
    }

    /// Where a method can be called.
    pub fn doors_of(&self, method: &Method) -> Vec<&Door> {
        let homes = homes(method).iter().copied();
        ["gateway"].into_iter().chain(homes).map(|name| self.door(name)).collect()
    }

    pub async fn ask(&self, door: &Door, method: &Method, headers: &Headers, request: &DynamicMessage) -> Answer {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let bytes = request.encode_to_vec();
        match method.server_streaming {
            true => door.listen(method.path, headers, &bytes).await,
            false => door.call(method.path, headers, &bytes).await,
        }
    }

    /// How long an answer takes.
    pub async fn timed(&self, door: &Door, method: &Method, headers: &Headers, request: &DynamicMessage) -> Duration {
        self.asked.fetch_add(1, Ordering::Relaxed);
        door.timed(method.path, headers, &request.encode_to_vec(), method.server_streaming).await.1
    }

    /// What of the victim's is in the answer and was not in the question.
    pub fn leaks(&self, answer: &Answer, request: &DynamicMessage, victim: &Tenant<'_>) -> Option<String> {
        let held = victim.secrets().into_iter().filter(|secret| answer.holds(secret));
        let asked = String::from_utf8_lossy(&request.encode_to_vec()).into_owned();
        held.into_iter().find(|secret| !asked.contains(secret.as_str()))
    }

    /// All attacks at these doors. At the gateway's and at the services' own they are the same. What changes nothing comes first: an address
    /// that I gave to somebody of my own is mine, and no longer another's.
    pub async fn storm(&self, at: impl Fn(&Door) -> bool + Sync) -> Report {
        let report = Mutex::new(Report::default());
        let (reads, writes): (Vec<_>, Vec<_>) = Attack::all().into_iter().partition(|attack| attack.method.read_only);
        for attacks in [&reads, &writes] {
            self.storm_by(attacks, &at, &report).await;
        }
        report.into_inner().unwrap()
    }

    async fn storm_by(&self, attacks: &[Attack], at: impl Fn(&Door) -> bool + Sync, report: &Mutex<Report>) {
        // An organization takes one import at a time, and an update of it answers with all that others have changed.
        let of_my_own = tokio::sync::Mutex::new(());
        stream::iter(attacks)
            .for_each_concurrent(AT_ONCE, async |attack| {
                let is_of_my_own = ["ImportOrganization", "UpdateOrganization"].contains(&attack.method.name);
                let _turn = if is_of_my_own { Some(of_my_own.lock().await) } else { None };
                for who in attack.callers() {
                    for (victim, is_of_my_project) in [(&self.sister, true), (&self.globex, false)] {
                        if !attack.is_foreign(*who, is_of_my_project) {
                            continue;
                        }
                        let worth = |door: &&Door| at(door) && attack.is_worth(*who, is_of_my_project, door);
                        for door in self.doors_of(attack.method).into_iter().filter(worth) {
                            let (outcome, fault) = self.try_out(attack, *who, victim, door).await;
                            let mut report = report.lock().unwrap();
                            report.faults.extend(fault.map(|fault| {
                                format!("{} by {who:?} of {} at {}: {fault}", attack.name(), victim.mark, door.name)
                            }));
                            let said = report.outcomes.entry(attack.name()).or_default();
                            said.entry(*who).or_default().insert(outcome);
                        }
                    }
                }
            })
            .await;
    }

    async fn try_out(&self, attack: &Attack, who: Who, victim: &Tenant<'_>, door: &Door) -> (String, Option<String>) {
        let headers = self.headers(who);
        let mut difference = None;
        let mut outcome = String::new();
        for _ in 0..TRIES {
            let ([theirs, nobodys], it) = attack.requests(self, victim);
            let about_theirs = self.ask(door, attack.method, &headers, &theirs).await;
            let about_nobodys = self.ask(door, attack.method, &headers, &nobodys).await;
            outcome = word(&about_theirs).to_owned();
            if let Some(leak) = self.leaks(&about_theirs, &theirs, victim) {
                return (outcome, Some(format!("{leak} is in {about_theirs:?}")));
            }
            // Of a busy machine: come again.
            let busy = |answer: &Answer| answer.code == Code::Unavailable || reason(answer) == "OVERLOADED";
            if busy(&about_theirs) || busy(&about_nobodys) {
                difference = Some(format!("too busy: {about_theirs:?}"));
                tokio::time::sleep(Duration::from_millis(300)).await;
                continue;
            }
            if matches!(about_theirs.code, Code::Internal | Code::Unknown) {
                return (outcome, Some(format!("no answer of the door: {about_theirs:?}")));
            }
            if about_theirs.code == Code::Unauthenticated
                && who != Who::Nobody
                && attack.method.audience == Audience::Organization
            {
                return (outcome, Some(format!("{who:?} is nobody any more: {about_theirs:?}")));
            }
            if about_theirs == about_nobodys {
                return (outcome, self.let_in(attack, who, &about_theirs));
            }
            let told = [told(attack.method, &about_theirs, &it), told(attack.method, &about_nobodys, &it)];
            if told[0] == told[1] {
                return (outcome, self.let_in(attack, who, &about_theirs));
            }
            difference = Some(format!("\n  theirs:  {}\n  nobody's: {}", told[0], told[1]));
        }
        (outcome, difference)
    }

    /// Where the contract itself says what the answer is: another's organization is none.
    fn let_in(&self, attack: &Attack, who: Who, answer: &Answer) -> Option<String> {
        let place = attack.place.as_ref()?;
        let organization = place.path.len() == 1 && place.path[0].name() == "organization_id";
        let addressed = organization && place.path[0].number() == 1 && place.path[0].containing_oneof().is_none();
        let is_about_one = match attack.method.audience {
            // The feed is for the installation's own services.
            Audience::Organization => attack.method.served && attack.method.name != "WatchEvents",
            // Where all share one pool of identities, no organization is to be named.
            Audience::Project => {
                who == Who::Project && attack.method.served && !attack.method.service.ends_with(".IdentityService")
            }
            _ => false,
        };
        (addressed && is_about_one && (answer.code, reason(answer).as_str()) != (Code::NotFound, "NOT_FOUND"))
            .then(|| format!("another's organization is not NOT_FOUND: {answer:?}"))
    }
}
