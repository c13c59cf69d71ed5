//! What is attacked: each place of each request where something of somebody else's can be named, and by whom.

use std::{collections::BTreeMap, env};

use api::{Audience, METHODS, Method};
use prost_reflect::DynamicMessage;

use crate::{
    form::{self, Company, Place},
    siege::Siege,
    twin::nobodys,
    wire::Door,
    world::{Tenant, Who},
};

/// One thing of somebody else's in a request.
#[derive(Clone, Debug)]
pub struct Attack {
    pub method: &'static Method,
    /// None: all of the request is theirs.
    pub place: Option<Place>,
    pub company: Company,
}

/// Whether everything is tried everywhere, as `make proof` does.
pub fn is_proof() -> bool {
    env::var_os("GUILDHALL_PROOF_ATTACKS").is_some()
}

/// What the gateway serves itself stands nowhere else.
pub fn homes(method: &Method) -> &'static [&'static str] {
    match method.service.split('.').nth(1) {
        Some("org") => &["org-service"],
        Some("member") => &["member-service"],
        Some("authz") => &["authz-service"],
        Some("event") => &["org-service", "member-service", "authz-service"],
        _ => &[],
    }
}

impl Attack {
    pub fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for method in METHODS.iter() {
            let places = form::places(&form::message(method.input));
            // What is at the top of a request is named without going into it.
            let several = places.iter().filter(|place| place.path.len() == 1).count() > 1;
            if several {
                all.push(Self { method, place: None, company: Company::Alone });
            }
            for place in places {
                let mixed = [Company::Alone, Company::BehindMine, Company::BeforeMine];
                let companies = if place.is_many() { &mixed[..] } else { &mixed[..1] };
                all.extend(companies.iter().map(|company| Self {
                    method,
                    place: Some(place.clone()),
                    company: *company,
                }));
            }
        }
        all
    }

    pub fn name(&self) -> String {
        let method = format!("{}/{}", self.method.service.trim_start_matches("guildhall."), self.method.name);
        let place = self.place.as_ref().map_or_else(|| "(all)".to_owned(), Place::name);
        let company = match self.company {
            Company::Alone => "",
            Company::BehindMine => " behind mine",
            Company::BeforeMine => " before mine",
        };
        format!("{method} {place}{company}")
    }

    /// Who could think of it.
    pub fn callers(&self) -> &'static [Who] {
        match self.method.audience {
            Audience::Organization => &[Who::Owner, Who::Robot, Who::Project],
            Audience::Project | Audience::Workload => &[Who::Owner, Who::Project],
            Audience::Self_ => &[Who::Owner],
            Audience::Operator => &[Who::Project],
            Audience::Anyone => &[Who::Nobody, Who::Owner],
        }
    }

    /// Whether what is asked about belongs to somebody else than the caller: a project has its organizations, and all who are in
    /// them, and whoever signs in to a project is told what it has.
    pub fn is_foreign(&self, who: Who, is_of_my_project: bool) -> bool {
        let Some(place) = &self.place else { return !is_of_my_project || matches!(who, Who::Owner | Who::Robot) };
        let within = self.method.audience == Audience::Organization
            && ![
                "organization_id",
                "slug",
                "external_id",
                "identity_id",
                "email_domain",
                "email_address",
                "guest_address",
                "project_id",
            ]
            .contains(&place.kind);
        // One organization of a project has a slug. Who wants it for their own has to be told that it is taken.
        let is_taken = place.kind == "slug" && place.path.len() > 1;
        match who {
            _ if place.kind == "project_id" || is_taken => !is_of_my_project,
            Who::Owner | Who::Robot => true,
            Who::Project => !is_of_my_project || within,
            Who::Nobody => !is_of_my_project,
        }
    }

    /// What `make test` tries: what is named at the top of a request, at every door; what lies deeper, at one door by each kind of caller;
    /// and what stands beside one's own, by a member of a sister. `make proof` tries everything everywhere.
    pub fn is_worth(&self, who: Who, is_of_my_project: bool, door: &Door) -> bool {
        let is_gateway = door.name == "gateway";
        let is_deep = self.place.as_ref().is_some_and(|place| place.path.len() > 1);
        match (who, self.company) {
            _ if is_proof() || homes(self.method).is_empty() => true,
            (Who::Robot, _) => is_gateway && !is_deep && !is_of_my_project,
            (Who::Owner, Company::Alone) if is_deep => !is_gateway && !is_of_my_project,
            (Who::Project, Company::Alone) if is_deep => is_gateway && !is_of_my_project,
            (_, Company::Alone) => !(is_gateway && is_of_my_project),
            (Who::Owner, _) => !is_gateway && is_of_my_project,
            _ => false,
        }
    }

    /// A request of one's own but for what stands in the place.
    pub fn about(&self, siege: &Siege<'_>, place: &Place, id: &str, company: Company) -> DynamicMessage {
        let own = &siege.mine.things;
        form::with(&form::request(&form::message(self.method.input), own), place, id, company, own)
    }

    /// Asks about what the victim has and about what nobody has, in the same words. Also what stood in the place.
    pub fn requests(&self, siege: &Siege<'_>, victim: &Tenant<'_>) -> ([DynamicMessage; 2], Vec<String>) {
        let input = form::message(self.method.input);
        let own = &siege.mine.things;
        let places: Vec<Place> = match &self.place {
            Some(place) => vec![place.clone()],
            None => form::places(&input).into_iter().filter(|place| place.path.len() == 1).collect(),
        };
        let mut it = Vec::new();
        // Each with fresh names for what it makes: what the one made is not in the other's way.
        let both = [false, true].map(|is_nobodys| {
            places.iter().fold(form::request(&input, own), |request, place| {
                let theirs = &victim.things[place.kind];
                let id = if is_nobodys { nobodys(theirs) } else { theirs.clone() };
                it.push(id.clone());
                form::with(&request, place, &id, self.company, own)
            })
        });
        (both, it)
    }
}
#[test]
fn the_contracts_give_as_many_attacks_as_they_have_places() {
    let mut by_method: BTreeMap<&str, usize> = BTreeMap::new();
    for attack in Attack::all() {
        *by_method.entry(attack.method.path).or_default() += 1;
    }
    let all: usize = by_method.values().sum();
    assert!(by_method.len() > 130 && all > 1000, "{all} attacks on {} methods", by_method.len());
}
