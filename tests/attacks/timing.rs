//! How long an answer takes says nothing either. What somebody else has is asked about between two things that nobody has, in changing order, so that
//! whatever else the machine does falls on all three alike; the two tell how large a difference is that means nothing.

use std::time::Duration;

use crate::{
    attack::Attack,
    form::{Company, Place},
    siege::Siege,
    twin::nobodys,
    world::{Tenant, Who},
};

const ROUNDS: usize = 40;
const SHUFFLES: usize = 400;
/// A difference is believed that chance makes less often than this..
const CHANCE: f64 = 0.005;
/// ..and that is more than this part of the whole..
const PART: f64 = 0.10;
/// ..and more than this..
const LEAST: Duration = Duration::from_micros(150);
/// ..and that is found in the same direction so many times on end.
const TIMES: usize = 4;

/// Numbers that are the same in every run.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides as u64).unwrap()
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.throw(at + 1));
        }
    }
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// By how much the first of each three differs from the others, in seconds.
fn difference(rounds: &[[f64; 3]]) -> f64 {
    let first = median(rounds.iter().map(|round| round[0]).collect());
    first - median(rounds.iter().flat_map(|round| [round[1], round[2]]).collect())
}

/// The difference, if it is one.
fn believed(rounds: &[[f64; 3]], dice: &mut Dice) -> Option<f64> {
    let seen = difference(rounds);
    let whole = median(rounds.iter().flatten().copied().collect());
    if seen.abs() < LEAST.as_secs_f64() || seen.abs() < PART * whole {
        return None;
    }
    let mut as_large = 0;
    let mut shuffled = rounds.to_vec();
    for _ in 0..SHUFFLES {
        shuffled.iter_mut().for_each(|round| dice.shuffle(round));
        as_large += usize::from(difference(&shuffled).abs() >= seen.abs());
    }
    (as_large as f64 <= CHANCE * SHUFFLES as f64).then_some(seen)
}

/// Another one that nobody has.
fn again(nobodys_id: &str) -> String {
    nobodys(nobodys_id)
}

/// What is asked, by whom: each kind of thing at the service that has it.
const ASKED: [(Who, &str, &str); 22] = [
    (Who::Owner, "org.v1.OrganizationService/GetOrganization", "organization_id"),
    (Who::Owner, "member.v1.MemberService/ListMembers", "organization_id"),
    (Who::Owner, "authz.v1.RoleService/ListRoles", "organization_id"),
    (Who::Owner, "authz.v1.AuthorizationService/Check", "organization_id"),
    (Who::Project, "org.v1.OrganizationService/GetOrganization", "organization_id"),
    (Who::Project, "member.v1.MemberService/ListMembers", "organization_id"),
    (Who::Project, "authz.v1.RoleService/ListRoles", "organization_id"),
    (Who::Project, "authz.v1.AuthorizationService/Check", "organization_id"),
    (Who::Project, "org.v1.OrganizationService/BatchGetOrganizations", "organization_ids"),
    (Who::Project, "member.v1.IdentityService/GetIdentity", "identity_id"),
    (Who::Owner, "member.v1.MemberService/GetMember", "member_id"),
    (Who::Owner, "member.v1.InvitationService/GetInvitation", "invitation_id"),
    (Who::Owner, "member.v1.ServiceAccountService/GetServiceAccount", "service_account_id"),
    (Who::Owner, "member.v1.SessionService/RevokeSession", "session_id"),
    (Who::Owner, "authz.v1.RoleService/GetRole", "role_id"),
    (Who::Owner, "authz.v1.GroupService/GetGroup", "group_id"),
    (Who::Owner, "authz.v1.BindingService/GetBinding", "binding_id"),
    (Who::Owner, "authz.v1.AuthorizationService/Check", "subject.member_id"),
    (Who::Owner, "org.v1.DomainService/GetDomain", "domain_id"),
    (Who::Owner, "org.v1.ConnectionService/GetConnection", "connection_id"),
    (Who::Owner, "gateway.v1.AuthenticationService/SwitchOrganization", "organization_id"),
    (Who::Nobody, "gateway.v1.TokenService/ExchangeToken", "client_credentials.client_id"),
];

struct Question<'s> {
    siege: &'s Siege<'s>,
    attack: Attack,
    place: Place,
    who: Who,
    victim: &'s Tenant<'s>,
}

impl Question<'_> {
    async fn rounds(&self, dice: &mut Dice) -> Vec<[f64; 3]> {
        let door = *self.siege.doors_of(self.attack.method).last().unwrap();
        let theirs = self.victim.things[self.place.kind].clone();
        let ids = [theirs.clone(), nobodys(&theirs), again(&nobodys(&theirs))];
        let requests = ids.map(|id| self.attack.about(self.siege, &self.place, &id, Company::Alone));
        let headers = self.siege.headers(self.who);
        let mut rounds = Vec::new();
        for round in 0..ROUNDS + 3 {
            let mut order = [0, 1, 2];
            dice.shuffle(&mut order);
            let mut times = [0.0; 3];
            for at in order {
                times[at] = self.siege.timed(door, self.attack.method, &headers, &requests[at]).await.as_secs_f64();
            }
            // What is asked for the first time finds nothing ready.
            if round >= 3 {
                rounds.push(times);
            }
        }
        rounds
    }

    /// The difference in seconds, if it is there each time.
    async fn told_apart(&self, dice: &mut Dice) -> Option<f64> {
        let mut direction = 0.0;
        for _ in 0..TIMES {
            let seen = believed(&self.rounds(dice).await, dice)?;
            if direction != 0.0 && seen.signum() != direction {
                return None;
            }
            direction = seen.signum();
        }
        Some(direction * difference(&self.rounds(dice).await).abs())
    }
}

pub async fn storm(siege: &Siege<'_>) -> Vec<String> {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut faults = Vec::new();
    for (who, method, place) in ASKED {
        let name = format!("{method} {place}");
        let attack = Attack::all().into_iter().find(|attack| attack.name() == name);
        let attack = attack.unwrap_or_else(|| panic!("there is no {name}"));
        let place = attack.place.clone().unwrap();
        let question = Question { siege, attack, place, who, victim: &siege.globex };
        if let Some(difference) = question.told_apart(&mut dice).await {
            faults.push(format!("{name} by {who:?}: another's takes {:+.0} us", difference * 1e6));
        }
    }
    faults
}

/// The judge itself: what is equal is not told apart, and what differs is.
#[test]
fn a_difference_is_believed_where_there_is_one() {
    let mut dice = Dice(7);
    let times = |theirs: f64, dice: &mut Dice| -> Vec<[f64; 3]> {
        let noise = |dice: &mut Dice| dice.throw(1000) as f64 * 1e-6 + if dice.throw(10) == 0 { 0.02 } else { 0.0 };
        (0..ROUNDS).map(|_| [theirs + noise(dice), 0.003 + noise(dice), 0.003 + noise(dice)]).collect()
    };
    let mut wrong = 0;
    for _ in 0..50 {
        let same = times(0.003, &mut dice);
        wrong += usize::from(believed(&same, &mut dice).is_some());
        let slower = times(0.0045, &mut dice);
        assert!(believed(&slower, &mut dice).is_some_and(|seen| seen > 0.0), "a difference of half is not seen");
    }
    assert!(wrong <= 2, "{wrong} of 50 differences are none");
}
