//! Organizations are made without a slug, so that nothing but the `request_id` keeps one from being made twice; they are suspended, opened
//! again and deleted.

use std::{sync::Arc, time::Duration};

use serde_json::json;

use super::Scene;
use crate::{
    history::{
        Kind::{Member, Organization, Right},
        State::{Gone, Live, Suspended},
    },
    pen::{Asked, Pen, Question, effect, field},
};

/// authz-service learns of it by a call before the answer, or by the feed if that call was lost: within a second of its own and
/// org-service's return, which takes some more on a busy machine.
const TOLD_WITHIN: Duration = Duration::from_secs(20);

pub async fn write(scene: Arc<Scene>, mut pen: Pen) {
    while !scene.is_over() {
        live(&scene, &mut pen).await;
    }
}

async fn live(scene: &Scene, pen: &mut Pen) -> Option<()> {
    let name = pen.word();
    let request = json!({"organization": {"display_name": name}});
    let effects = vec![effect(Organization, &name, Live)];
    let (id, event) = ("organization_id", Some(("organization.created", String::new(), None)));
    let method = "OrganizationService/CreateOrganization";
    let made = pen.write(Asked { method, request, effects, id, event }).await?;
    let organization = field(&made, id);
    let event = |kind, subject| Some((kind, organization.clone(), subject));

    let email = format!("{name}@house.test");
    let request = json!({"organization_id": organization, "member": {"email_address": email}, "roles": ["member"]});
    let effects = vec![effect(Member, &email, Live), effect(Right, &email, Live)];
    let (method, id, created) = ("MemberService/CreateMember", "member_id", event("member.created", None));
    let made = pen.write(Asked { method, request, effects, id, event: created }).await?;
    let (member, document) = (field(&made, id), None);
    let asked = Question::Check { organization: organization.clone(), member, document };

    let changes = match pen.dice.roll(4) {
        0 => &[][..],
        1 => &[Suspended],
        2 => &[Suspended, Live],
        _ => &[Suspended, Live, Gone],
    };
    for &state in changes {
        let (method, kind) = match state {
            Suspended => ("OrganizationService/SuspendOrganization", "organization.suspended"),
            Live => ("OrganizationService/ReactivateOrganization", "organization.reactivated"),
            _ => ("OrganizationService/DeleteOrganization", "organization.deleted"),
        };
        let mut effects = vec![effect(Organization, &name, state)];
        effects.push(effect(Right, &email, if state == Live { Live } else { Gone }));
        if state == Gone {
            effects.push(effect(Member, &email, Gone));
        }
        let request = json!({"organization_id": organization});
        let event = event(kind, Some(organization.clone()));
        pen.write(Asked { method, request, effects, id: "", event }).await?;
        if state != Live {
            scene.ended((Right, &email), asked.clone(), TOLD_WITHIN).await;
        }
    }
    Some(())
}
