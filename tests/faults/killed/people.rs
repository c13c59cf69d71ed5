//! Members come, alone, in batches and by invitation, are suspended, come back and leave.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use super::Scene;
use crate::{
    history::{
        Kind::{Invitation, Member, Right},
        State::{Gone, Live, Spent, Suspended},
    },
    pen::{Asked, Pen, Question, effect, field},
};

/// What there is to know of a member.
struct Person {
    email: String,
    id: String,
}

pub async fn write(scene: Arc<Scene>, mut pen: Pen) {
    while !scene.is_over() {
        let people = match pen.dice.roll(4) {
            0 => together(&scene, &mut pen).await,
            1 | 2 => invited(&scene, &mut pen).await,
            _ => alone(&scene, &mut pen).await,
        };
        for person in people {
            live(&scene, &mut pen, &person).await;
        }
    }
}

fn event(scene: &Scene, kind: &'static str, subject: Option<&str>) -> Option<(&'static str, String, Option<String>)> {
    Some((kind, scene.acme.clone(), subject.map(str::to_owned)))
}

async fn alone(scene: &Scene, pen: &mut Pen) -> Vec<Person> {
    let email = format!("{}@acme.test", pen.word());
    let request = json!({"organization_id": scene.acme, "member": {"email_address": email}, "roles": ["member"]});
    let effects = vec![effect(Member, &email, Live), effect(Right, &email, Live)];
    let (id, event) = ("member_id", event(scene, "member.created", None));
    let made = pen.write(Asked { method: "MemberService/CreateMember", request, effects, id, event }).await;
    made.map(|made| Person { id: field(&made, id), email }).into_iter().collect()
}

async fn together(scene: &Scene, pen: &mut Pen) -> Vec<Person> {
    let emails: Vec<String> = (0..3).map(|_| format!("{}@acme.test", pen.word())).collect();
    let member = |email: &String| json!({"member": {"email_address": email}, "roles": ["member"]});
    let members: Vec<Value> = emails.iter().map(member).collect();
    let request = json!({"organization_id": scene.acme, "members": members});
    let effects = emails.iter().flat_map(|email| [effect(Member, email, Live), effect(Right, email, Live)]).collect();
    let id = "outcomes.0.member.member_id";
    let method = "MemberService/BatchCreateMembers";
    let made = pen.write(Asked { method, request, effects, id, event: event(scene, "member.created", None) }).await;
    let Some(made) = made else { return Vec::new() };
    let person = |(n, email)| Person { email, id: field(&made, &format!("outcomes.{n}.member.member_id")) };
    emails.into_iter().enumerate().map(person).collect()
}

async fn invited(scene: &Scene, pen: &mut Pen) -> Vec<Person> {
    let email = format!("{}@acme.test", pen.word());
    let request = json!({"organization_id": scene.acme, "invitation": {"email_address": email}, "roles": ["member"],
        "return_token": true});
    let (id, created) = ("invitation_id", event(scene, "invitation.created", None));
    let effects = vec![effect(Invitation, &email, Live)];
    let method = "InvitationService/CreateInvitation";
    let Some(made) = pen.write(Asked { method, request, effects, id, event: created }).await else {
        return Vec::new();
    };
    let invitation = field(&made, id);
    if pen.dice.roll(4) == 0 {
        let request = json!({"organization_id": scene.acme, "invitation_id": invitation});
        let effects = vec![effect(Invitation, &email, Gone)];
        let event = event(scene, "invitation.revoked", Some(&invitation));
        let method = "InvitationService/RevokeInvitation";
        pen.write(Asked { method, request, effects, id: "", event }).await;
        return Vec::new();
    }
    let accept = json!({"token": made["token"]});
    let effects = vec![effect(Member, &email, Live), effect(Right, &email, Live), effect(Invitation, &email, Spent)];
    let event = event(scene, "invitation.accepted", Some(&invitation));
    let (id, method) = ("member.member_id", "InvitationService/AcceptInvitation");
    let anyone = scene.anyone();
    let accepted = pen.write_as(&anyone, Asked { method, request: accept, effects, id, event }).await;
    accepted.map(|accepted| Person { id: field(&accepted, id), email }).into_iter().collect()
}

/// Suspended, back and suspended again, or removed; or left as they are.
async fn live(scene: &Scene, pen: &mut Pen, person: &Person) {
    let Person { email, id } = person;
    let about = json!({"organization_id": scene.acme, "member_id": id});
    let asked = Question::Check { organization: scene.acme.clone(), member: id.clone(), document: None };
    let mut changes = Vec::new();
    match pen.dice.roll(5) {
        0 => {}
        1 => changes.extend([Suspended, Live]),
        2 => changes.extend([Suspended, Live, Suspended, Gone]),
        3 => changes.push(Suspended),
        _ => changes.push(Gone),
    }
    for state in changes {
        let (method, kind) = match state {
            Suspended => ("MemberService/SuspendMember", "member.suspended"),
            Live => ("MemberService/ReactivateMember", "member.reactivated"),
            _ => ("MemberService/RemoveMember", "member.removed"),
        };
        let right = if state == Live { Live } else { Gone };
        let effects = vec![effect(Member, email, state), effect(Right, email, right)];
        let (request, event) = (about.clone(), event(scene, kind, Some(id)));
        if pen.write(Asked { method, request, effects, id: "", event }).await.is_none() {
            return;
        }
        if state != Live {
            // The rights go first, before it is acknowledged.
            scene.ended((Right, email), asked.clone(), Duration::ZERO).await;
        }
    }
}
