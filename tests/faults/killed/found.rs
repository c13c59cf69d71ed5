//! What is there in the end, as everybody sees it who asks.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures::stream::{self, StreamExt as _};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use testkit::caller::{Caller, text};
use tokio::time::sleep;

use super::Scene;
use crate::history::{
    EventKey, Finally, Found,
    Kind::{self, AccessToken, Binding, Invitation, Member, Organization, Right, ServiceAccount, Session},
    Logged,
    State::{self, Gone, Live, Spent, Suspended},
    Thing,
};

const AT_ONCE: usize = 4;
/// Which service writes an event of a kind first; others note what they are told.
const WRITERS: [(&str, &str); 7] = [
    ("organization.", "org-service"),
    ("member.", "member-service"),
    ("invitation.", "member-service"),
    ("session.", "member-service"),
    ("service_account.", "member-service"),
    ("api_key.", "member-service"),
    ("binding.", "authz-service"),
];

impl Scene {
    /// Somebody without a credential, who means the project.
    pub fn anyone(&self) -> Caller {
        self.cluster.anyone().with("guildhall-project-id", &self.project)
    }

    /// Has nobody wait for three minutes: whoever was announced as a member and never came is old enough to be swept away.
    pub async fn mend(&self) {
        self.insist("MemberService/ListMembers", json!({"organization_id": self.acme})).await;
        let mut database = loop {
            match PgConnection::connect(&self.cluster.access().database_url).await {
                Ok(database) => break database,
                Err(_) => sleep(Duration::from_millis(100)).await,
            }
        };
        let old = "update member.prospect set create_time = create_time - interval '1 hour'";
        sqlx::query(old).execute(&mut database).await.unwrap();
    }

    pub async fn finally(&self) -> Finally {
        let mut finally = Finally {
            looked: [Organization, Member, Right, Invitation, Binding, ServiceAccount, Session].into(),
            ..Finally::default()
        };
        let organizations = self.all("OrganizationService/ListOrganizations", json!({}), "organizations").await;
        let mut houses = BTreeMap::new();
        for one in &organizations {
            let (id, name) = (text(one, "organization_id"), text(one, "display_name"));
            let state = if text(one, "state") == "ORGANIZATION_STATE_SUSPENDED" { Suspended } else { Live };
            if name.contains('-') {
                finally.found.push(found(Organization, &name, &id, state));
            }
            houses.insert(id, state);
        }
        let parts = stream::iter(houses.into_keys()).map(async |id: String| {
            let mut part = self.logged(&id).await;
            part.found = self.things_of(&id).await;
            part
        });
        let parts: Vec<Finally> = parts.buffer_unordered(AT_ONCE).collect().await;
        for part in parts {
            finally.found.extend(part.found);
            finally.log.extend(part.log);
            finally.chains.extend(part.chains);
            finally.logs.extend(part.logs);
        }
        let noted = self.history.all();
        // Of a session that nobody was told of, nobody knows whether it should be there; nor of those who are only part of the scenery.
        let told: BTreeSet<&Thing> =
            noted.operations.iter().flat_map(|done| &done.effects).map(|effect| &effect.thing).collect();
        finally.found.retain(|one| {
            let scenery = one.thing.name.starts_with("holder@") || one.thing.name.starts_with("sleeper");
            !scenery && (one.thing.kind != Session || told.contains(&one.thing))
        });
        finally
    }

    /// The logs of the organizations that were deleted: nobody reads them before they are brought back.
    pub async fn of_deleted(&self) -> Finally {
        let mut finally = Finally::default();
        for one in self
            .all(
                "OrganizationService/ListOrganizations",
                json!({"state": "ORGANIZATION_STATE_DELETED"}),
                "organizations",
            )
            .await
        {
            let id = text(&one, "organization_id");
            let request = json!({"organization_id": id, "request_id": format!("back-{id}")});
            self.insist("OrganizationService/UndeleteOrganization", request).await;
            let part = self.logged(&id).await;
            finally.log.extend(part.log);
            finally.chains.extend(part.chains);
            finally.logs.extend(part.logs);
        }
        finally
    }

    async fn things_of(&self, id: &str) -> Vec<Found> {
        let mut all = self.people_of(id).await;
        let invitations = self.all("InvitationService/ListInvitations", of(id), "invitations").await;
        for one in &invitations {
            let state = match text(one, "state").as_str() {
                "INVITATION_STATE_PENDING" => Live,
                "INVITATION_STATE_ACCEPTED" => Spent,
                _ => continue,
            };
            all.push(found(Invitation, &text(one, "email_address"), &text(one, "invitation_id"), state));
        }
        let accounts = self.all("ServiceAccountService/ListServiceAccounts", of(id), "service_accounts").await;
        for one in &accounts {
            let state = if text(one, "state") == "SERVICE_ACCOUNT_STATE_SUSPENDED" { Suspended } else { Live };
            let (name, id) = (text(one, "display_name"), text(one, "service_account_id"));
            all.push(found(ServiceAccount, &name, &id, state));
        }
        let sessions = self.all("SessionService/ListSessions", of(id), "sessions").await;
        let session = |one| found(Session, &text(one, "session_id"), &text(one, "session_id"), Live);
        all.extend(sessions.iter().map(session));
        all
    }

    async fn logged(&self, id: &str) -> Finally {
        let mut finally = Finally { logs: [id.to_owned()].into(), ..Finally::default() };
        for event in self.all("EventService/ListEvents", of(id), "events").await {
            let (kind, service) = (text(&event, "kind"), text(&event, "service"));
            if !WRITERS.iter().any(|(prefix, writer)| kind.starts_with(prefix) && service == *writer) {
                continue;
            }
            let revision = event["revision"].as_str().and_then(|text| text.parse().ok());
            let revision = revision.or_else(|| event["revision"].as_i64()).unwrap();
            for subject in event["subject_ids"].as_array().unwrap() {
                let subject = subject.as_str().unwrap().to_owned();
                let key = EventKey { organization: id.to_owned(), kind: kind.clone(), subject };
                finally.log.push(Logged { key, service: service.clone(), revision });
            }
        }
        let verified = self.insist("EventService/VerifyChain", of(id)).await;
        let chains = verified["chains"].as_array().unwrap();
        assert_eq!(chains.len(), 3, "{verified}");
        finally
            .chains
            .extend(chains.iter().map(|chain| (id.to_owned(), text(chain, "service"), chain["valid"] == true)));
        finally
    }

    /// The members of an organization, what each may, and what is bound.
    async fn people_of(&self, id: &str) -> Vec<Found> {
        let mut all = Vec::new();
        let members = self.all("MemberService/ListMembers", of(id), "members").await;
        let mut addresses = BTreeMap::new();
        for one in &members {
            let (email, member) = (text(one, "email_address"), text(one, "member_id"));
            let state = if text(one, "state") == "MEMBER_STATE_SUSPENDED" { Suspended } else { Live };
            all.push(found(Member, &email, &member, state));
            addresses.insert(member, email);
        }
        let bindings = self.all("BindingService/ListBindings", of(id), "bindings").await;
        for one in &bindings {
            let (member, binding) = (one["subject"]["member_id"].as_str().unwrap_or_default(), text(one, "binding_id"));
            match one["resource"]["id"].as_str() {
                Some(place) => all.push(found(Binding, place, &binding, Live)),
                None if addresses.contains_key(member) => {}
                // The role of somebody who is not there.
                None => all.push(found(Right, &format!("nobody, {member}"), "", Live)),
            }
        }
        let everybody: Vec<(&String, &String)> = addresses.iter().collect();
        for some in everybody.chunks(200) {
            let checks = some
                .iter()
                .map(|(member, _)| json!({"subject": {"member_id": member}, "permission": "guildhall.member:read"}));
            let request = json!({"organization_id": id, "checks": checks.collect::<Vec<_>>(),
                "consistency": {"fully_consistent": true}});
            let answer = self.insist("AuthorizationService/BatchCheck", request).await;
            let results = answer["results"].as_array().unwrap();
            let allowed = some.iter().zip(results).filter(|(_, result)| result["allowed"] == true);
            all.extend(allowed.map(|((_, email), _)| found(Right, email, "", Live)));
        }
        all
    }

    async fn all(&self, method: &str, mut request: Value, plural: &str) -> Vec<Value> {
        let mut all = Vec::new();
        loop {
            request["page_size"] = json!(500);
            let mut page = self.insist(method, request.clone()).await;
            all.append(page[plural].as_array_mut().unwrap());
            request["page_token"] = page["next_page_token"].clone();
            if text(&request, "page_token").is_empty() {
                return all;
            }
        }
    }
}

fn of(organization: &str) -> Value {
    json!({"organization_id": organization})
}

fn found(kind: Kind, name: &str, id: &str, state: State) -> Found {
    debug_assert!(state != Gone && kind != AccessToken);
    Found { thing: Thing::new(kind, name), id: id.to_owned(), state }
}
