//! People sign in, refresh, and their sessions are ended, one by one and with all others of theirs.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::{Value, json};

use super::Scene;
use crate::{
    history::{
        Kind::{AccessToken, Session},
        State::{Gone, Live},
    },
    pen::{Asked, Pen, Question, effect, field, session_of},
};

/// The gateway's `--revocation-lag`, as `guildhall dev` leaves it: for so long it may believe what it knew, and refuses after it.
const LAG: Duration = Duration::from_secs(5);
/// A refresh whose answer was lost is asked for again within ten seconds, once.
const AGAIN_WITHIN: Duration = Duration::from_secs(8);
const PASSWORD: &str = "a horse and a long battery";

struct Signed {
    session: String,
    access: String,
    refresh: String,
}

pub async fn write(scene: Arc<Scene>, mut pen: Pen) {
    let mut people = Vec::new();
    for n in 0..3 {
        let email = format!("sleeper{n}@acme.test");
        let request = json!({"organization_id": scene.acme, "member": {"email_address": email}, "request_id": email});
        let member = field(&scene.insist("MemberService/CreateMember", request).await, "member_id");
        let request =
            json!({"organization_id": scene.acme, "member_id": member, "password": PASSWORD, "request_id": email});
        scene.insist("CredentialService/SetPassword", request).await;
        people.push((email, member));
    }
    // Those that were left as they are, by member.
    let mut left: BTreeMap<String, Vec<Signed>> = BTreeMap::new();
    while !scene.is_over() {
        let (email, member) = people[pen.dice.roll(people.len())].clone();
        let mut held = Vec::new();
        for _ in 0..=pen.dice.roll(2) {
            held.extend(enter(&scene, &mut pen, &email).await);
        }
        for signed in &mut held {
            for _ in 0..pen.dice.roll(3) {
                if refresh(&scene, &mut pen, signed).await.is_none() {
                    signed.refresh.clear();
                    break;
                }
            }
        }
        // Of which nobody knows what became of its refresh, nobody says more.
        held.retain(|signed| !signed.refresh.is_empty());
        match pen.dice.roll(4) {
            0 => left.entry(member).or_default().append(&mut held),
            1 => {
                held.extend(left.remove(&member).unwrap_or_default());
                end_all(&scene, &mut pen, &member, &held).await;
            }
            _ => {
                for signed in &held {
                    end(&scene, &mut pen, signed).await;
                }
            }
        }
    }
}

async fn enter(scene: &Scene, pen: &mut Pen, email: &str) -> Option<Signed> {
    let sent = pen.history.now();
    let request = json!({"email_address": email, "password": PASSWORD, "organization_id": scene.acme});
    let answer = scene.anyone().try_call("AuthenticationService/SignInWithPassword", request).await;
    let answer = match answer {
        Ok(answer) => answer,
        // Of a session that nobody was told of, nothing is asked. It is there or not.
        Err(refused) if crate::pen::unanswered(&refused) => return None,
        Err(refused) => {
            pen.history.wrong(format!("{email} could not sign in: {refused:?}"));
            return None;
        }
    };
    let (access, refresh) = (field(&answer, "access_token"), field(&answer, "refresh_token"));
    let session = session_of(&access);
    let effects = vec![effect(Session, &session, Live), effect(AccessToken, &session, Live)];
    pen.answered("AuthenticationService/SignInWithPassword", sent, effects, &session);
    Some(Signed { session, access, refresh })
}

/// None where it is not known any more which token is the next.
async fn refresh(scene: &Scene, pen: &mut Pen, signed: &mut Signed) -> Option<()> {
    let method = "AuthenticationService/RefreshSession";
    let sent = pen.history.now();
    for attempt in 1.. {
        let request = json!({"refresh_token": signed.refresh});
        match scene.anyone().try_call(method, request).await {
            Ok(answer) => {
                pen.answered(method, sent, Vec::new(), &signed.session);
                (signed.access, signed.refresh) = (field(&answer, "access_token"), field(&answer, "refresh_token"));
                return Some(());
            }
            Err(refused) if attempt == 1 && !crate::pen::unanswered(&refused) => {
                pen.history.wrong(format!("{} was refused its first refresh: {refused:?}", signed.session));
                break;
            }
            // It may have been used up unheard, and whoever uses it too late or too often ends the session.
            Err(_) if attempt == 2 || pen.history.now() - sent > AGAIN_WITHIN => break,
            Err(_) => tokio::time::sleep(Duration::from_millis(300)).await,
        }
    }
    let effects = vec![effect(Session, &signed.session, Gone)];
    pen.unanswered(method, sent, effects);
    None
}

fn gone(signed: &Signed) -> Vec<crate::history::Effect> {
    vec![effect(Session, &signed.session, Gone), effect(AccessToken, &signed.session, Gone)]
}

async fn look(scene: &Scene, signed: &Signed) {
    let question = Question::Refresh(scene.anyone(), signed.refresh.clone());
    scene.ended((Session, &signed.session), question, Duration::ZERO).await;
    let question = Question::WhoAmI(scene.cluster.bearer(&signed.access));
    scene.ended((AccessToken, &signed.session), question, LAG).await;
}

async fn end(scene: &Scene, pen: &mut Pen, signed: &Signed) {
    let request = json!({"organization_id": scene.acme, "session_id": signed.session});
    let event = Some(("session.revoked", scene.acme.clone(), Some(signed.session.clone())));
    let method = "SessionService/RevokeSession";
    if pen.write(Asked { method, request, effects: gone(signed), id: "", event }).await.is_some() {
        look(scene, signed).await;
    }
}

async fn end_all(scene: &Scene, pen: &mut Pen, member: &str, held: &[Signed]) {
    let request: Value = json!({"organization_id": scene.acme, "member_id": member});
    let effects = held.iter().flat_map(gone).collect();
    let method = "SessionService/RevokeMemberSessions";
    if pen.write(Asked { method, request, effects, id: "", event: None }).await.is_some() {
        for signed in held {
            look(scene, signed).await;
        }
    }
}
