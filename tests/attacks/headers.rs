//! What somebody might say of themselves in a header: two credentials, none, a header twice, and every name that means something inside or
//! did so somewhere, in the spellings that have passed other people's lists. The answer is the one without.

use std::sync::Mutex;

use api::{Audience, METHODS, Method};
use futures::{StreamExt as _, stream};
use prost_reflect::DynamicMessage;
use serde_json::Value;
use tonic::Code;

use crate::{
    attack::Attack,
    form::Company,
    siege::{AT_ONCE, Siege},
    twin::{nobodys, told},
    wire::{Answer, Door, Headers, bearer},
    world::{Tenant, Who},
};

const NAMES: [&str; 35] = [
    "x-internal-caller",
    "x-internal-scope",
    "x-internal-actor",
    "x-internal-organization-id",
    "x-internal-token",
    "x-internal-prompt",
    "x-guildhall-actor",
    "x-guildhall-scope",
    "guildhall-scope",
    "guildhall-organization-id",
    "guildhall-caller",
    "x-workload-token",
    "workload-token",
    "workload-authorization",
    "authorization-workload",
    "x-authorization",
    "proxy-authorization",
    "x-on-behalf-of",
    "x-user-id",
    "x-tenant-id",
    "x-organization-id",
    "x-project-id",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-user",
    "x-forwarded-client-cert",
    "forwarded",
    "x-real-ip",
    "x-original-url",
    "x-http-method-override",
    "x-envoy-internal",
    "grpc-previous-rpc-attempts",
    "grpc-tags-bin",
    "cookie",
];
/// As many as one call may have.
const AT_A_TIME: usize = 40;

/// Each name as it is, with underscores, and as binary metadata. HTTP/2 knows no upper case; HTTP/1.1 does, see `plain`.
pub fn spellings() -> Vec<&'static str> {
    NAMES
        .iter()
        .flat_map(|name| {
            let under = name.replace('-', "_");
            let mut all = vec![(*name).to_owned(), under.clone()];
            if !name.ends_with("-bin") {
                all.extend([format!("{name}-bin"), format!("{under}-bin"), format!("{under}_bin")]);
            }
            // A test's names live as long as the test.
            all.into_iter().map(|name| &*name.leak())
        })
        .collect()
}

/// What is said by such a header: to be somebody else, by word or by a token that a service would believe.
fn claim(siege: &Siege<'_>, name: &str, victim: &Tenant<'_>) -> String {
    if ["token", "authorization", "cookie", "caller", "cert"].iter().any(|word| name.contains(word)) {
        format!("Bearer {}", siege.smuggled)
    } else {
        format!("smuggled operator {}", victim.id())
    }
}

/// The methods that are about one organization, each with the place where it is named.
fn methods() -> Vec<Attack> {
    let names_one = |attack: &Attack| {
        let place = attack.place.as_ref()?;
        (place.path.len() == 1 && place.path[0].name() == "organization_id" && attack.company == Company::Alone)
            .then_some(())
    };
    Attack::all().into_iter().filter(|attack| names_one(attack).is_some()).collect()
}

struct Try<'a> {
    siege: &'a Siege<'a>,
    method: &'static Method,
    door: &'a Door,
    faults: &'a Mutex<Vec<String>>,
}

impl Try<'_> {
    async fn ask(&self, headers: &Headers, request: &DynamicMessage, victim: &Tenant<'_>, what: &str) -> Value {
        let answer: Answer = self.siege.ask(self.door, self.method, headers, request).await;
        if let Some(leak) = self.siege.leaks(&answer, request, victim) {
            self.fault(what, format!("{leak} is in {answer:?}"));
        }
        if answer.code == Code::Ok && self.method.audience != Audience::Anyone {
            self.fault(what, format!("let in: {answer:?}"));
        }
        told(self.method, &answer, &[victim.id().to_owned(), nobodys(victim.id())])
    }

    fn fault(&self, what: &str, fault: String) {
        let place = format!("{}/{} at {}", self.method.service, self.method.name, self.door.name);
        self.faults.lock().unwrap().push(format!("{place}, {what}: {fault}"));
    }

    fn same(&self, what: &str, expected: &Value, said: &Value) {
        if expected != said {
            self.fault(what, format!("\n  usually: {expected}\n  now:     {said}"));
        }
    }
}

/// Everybody's own request for somebody else's organization, with more in its headers than should be there.
pub async fn storm(siege: &Siege<'_>) -> Vec<String> {
    let faults = Mutex::new(Vec::new());
    let spellings = spellings();
    stream::iter(methods())
        .for_each_concurrent(AT_ONCE, async |attack| {
            for door in siege.doors_of(attack.method) {
                let attempt = Try { siege, method: attack.method, door, faults: &faults };
                with_spellings(&attempt, &attack, &spellings).await;
                with_two_credentials(&attempt, &attack).await;
                with_missing_and_doubled(&attempt, &attack).await;
            }
        })
        .await;
    faults.into_inner().unwrap()
}

/// The request about an organization, and about one that nobody has.
fn requests(siege: &Siege<'_>, attack: &Attack, victim: &Tenant<'_>) -> [DynamicMessage; 2] {
    let place = attack.place.as_ref().unwrap();
    [victim.id().to_owned(), nobodys(victim.id())].map(|id| attack.about(siege, place, &id, Company::Alone))
}

async fn with_spellings(attempt: &Try<'_>, attack: &Attack, spellings: &[&'static str]) {
    let siege = attempt.siege;
    let victim = &siege.globex;
    let [request, _] = requests(siege, attack, victim);
    // Each method by somebody who is let in elsewhere, or by nobody at all.
    let who = if attack.method.read_only { Who::Owner } else { Who::Nobody };
    let plain = siege.headers(who);
    let usual = attempt.ask(&plain, &request, victim, "as usual").await;
    for part in spellings.chunks(AT_A_TIME) {
        let mut headers = plain.clone();
        for name in part {
            let claim = claim(siege, name, victim);
            headers.extend([(*name, claim.clone()), (*name, format!("cluster {claim}"))]);
        }
        let said = attempt.ask(&headers, &request, victim, part[0]).await;
        attempt.same(&format!("{who:?}, {} and so on", part[0]), &usual, &said);
    }
}

async fn with_two_credentials(attempt: &Try<'_>, attack: &Attack) {
    let siege = attempt.siege;
    let victim = &siege.sister;
    let [request, _] = requests(siege, attack, victim);
    let theirs = victim.organization.owner().tokens.access.clone();
    let mine = siege.token(Who::Owner).to_owned();
    let refused = attempt.ask(&bearer("x"), &request, victim, "a bad token").await;
    let two = |one: &str, other: &str| [bearer(one), bearer(other)].concat();
    let ways: [(&str, Headers); 8] = [
        ("mine and theirs", two(&mine, &theirs)),
        ("theirs and mine", two(&theirs, &mine)),
        ("mine twice", two(&mine, &mine)),
        ("mine and a service's", two(&mine, &siege.smuggled)),
        ("a service's and mine", two(&siege.smuggled, &mine)),
        ("in one line", vec![("authorization", format!("Bearer {mine}, Bearer {theirs}"))]),
        ("in one line, without a word", vec![("authorization", format!("Bearer {mine},{theirs}"))]),
        ("a service's, a line of nothing", [vec![("authorization", String::new())], bearer(&siege.smuggled)].concat()),
    ];
    // A service reads what the gateway reads, by the same code.
    let tried = if attempt.door.name == "gateway" { ways.len() } else { 4 };
    for (what, headers) in ways.into_iter().take(tried) {
        let said = attempt.ask(&headers, &request, victim, what).await;
        attempt.same(what, &refused, &said);
    }
    // Where there is one credential, no other place for one counts.
    let usual = attempt.ask(&bearer(&mine), &request, victim, "mine alone").await;
    let elsewhere: Headers =
        ["proxy-authorization", "x-authorization", "authorization-bin", "x-access-token", "cookie"]
            .map(|name| (name, format!("Bearer {theirs}")))
            .into();
    let said = attempt.ask(&[bearer(&mine), elsewhere].concat(), &request, victim, "theirs elsewhere").await;
    attempt.same("theirs elsewhere", &usual, &said);
}

/// Another's organization and nobody's are the same, whatever the call lacks or says twice.
async fn with_missing_and_doubled(attempt: &Try<'_>, attack: &Attack) {
    let siege = attempt.siege;
    let victim = &siege.globex;
    let [theirs, nobodys] = requests(siege, attack, victim);
    let with = |more: &[(&'static str, &str)]| {
        let more = more.iter().map(|(name, value)| (*name, (*value).to_owned()));
        siege.headers(Who::Owner).into_iter().chain(more).collect::<Headers>()
    };
    let (grpc, project) = ("application/grpc", siege.globex.organization.project.id.as_str());
    let ways: [(&str, Headers); 9] = [
        ("no credential", Headers::new()),
        ("no content type", with(&[("content-type", "")])),
        ("two content types", with(&[("content-type", grpc), ("content-type", "application/json")])),
        ("two te", with(&[("te", "trailers"), ("te", "gzip")])),
        ("two deadlines", with(&[("grpc-timeout", "9S"), ("grpc-timeout", "1n")])),
        (
            "two projects",
            with(&[("guildhall-project-id", project), ("guildhall-project-id", &siege.mine.organization.project.id)]),
        ),
        ("two request ids", with(&[("x-request-id", "one"), ("x-request-id", "two")])),
        (
            "two traces",
            with(&[
                ("traceparent", "00-11111111111111111111111111111111-1111111111111111-01"),
                ("traceparent", "00-zz"),
            ]),
        ),
        ("two encodings", with(&[("grpc-encoding", "identity"), ("grpc-encoding", "gzip")])),
    ];
    let tried = if attempt.door.name == "gateway" { ways.len() } else { 3 };
    for (what, headers) in ways.into_iter().take(tried) {
        let about_theirs = attempt.ask(&headers, &theirs, victim, what).await;
        let about_nobodys = attempt.ask(&headers, &nobodys, victim, what).await;
        attempt.same(what, &about_nobodys, &about_theirs);
    }
}

/// The same names in HTTP/1.1, which has upper case too, at the JSON form of every method that reads.
pub async fn plain(siege: &Siege<'_>) -> (usize, Vec<String>) {
    let names: Vec<String> = spellings()
        .into_iter()
        .flat_map(|name| {
            let parts = name.split(['-', '_']).filter(|part| !part.is_empty());
            let capital: Vec<_> = parts.map(|part| part[..1].to_uppercase() + &part[1..]).collect();
            [capital.join("-"), name.to_uppercase()]
        })
        .collect();
    let (mut asked, mut faults) = (0, Vec::new());
    let address = siege.gateway();
    for method in METHODS.iter().filter(|method| !method.server_streaming) {
        let Some(http) = method.http.filter(|http| http.verb == "GET" && http.path.contains("{organization_id}"))
        else {
            continue;
        };
        let victim = &siege.globex;
        let ask = async |organization: &str, more: &str| {
            let mut path = http.path.replace("{organization_id}", organization);
            while let (Some(from), Some(to)) = (path.find('{'), path.find('}')) {
                let name = path[from + 1..to].split('=').next().unwrap().to_owned();
                let id = victim.things.get(name.as_str()).cloned().unwrap_or_else(|| "x".to_owned());
                path.replace_range(from..=to, &id);
            }
            let token = siege.token(Who::Owner);
            let request = format!(
                "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n{more}\r\n"
            );
            let (status, _, body) = testkit::http::send(address, &request).await;
            (status, body)
        };
        let usual = ask(&nobodys(victim.id()), "").await;
        for part in names.chunks(AT_A_TIME) {
            let more: String =
                part.iter().map(|name| format!("{name}: {}\r\n", claim(siege, &name.to_lowercase(), victim))).collect();
            let said = ask(victim.id(), &more).await;
            asked += 1;
            if said != usual {
                faults.push(format!("{} with {} and so on: {said:?} and not {usual:?}", http.path, part[0]));
            }
        }
    }
    (asked, faults)
}
