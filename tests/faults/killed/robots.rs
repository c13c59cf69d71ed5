//! Service accounts: nothing but the `request_id` keeps one from being made twice.

use std::{sync::Arc, time::Duration};

use serde_json::json;

use super::Scene;
use crate::{
    history::{
        Kind::ServiceAccount,
        State::{Gone, Live, Suspended},
    },
    pen::{Asked, Pen, Question, effect, field},
};

pub async fn write(scene: Arc<Scene>, mut pen: Pen) {
    while !scene.is_over() {
        live(&scene, &mut pen).await;
    }
}

async fn live(scene: &Scene, pen: &mut Pen) -> Option<()> {
    let name = pen.word();
    let event = |kind, subject| Some((kind, scene.acme.clone(), subject));
    let request = json!({"organization_id": scene.acme, "service_account": {"display_name": name}});
    let (method, id) = ("ServiceAccountService/CreateServiceAccount", "service_account_id");
    let effects = vec![effect(ServiceAccount, &name, Live)];
    let created = event("service_account.created", None);
    let made = pen.write(Asked { method, request, effects, id, event: created }).await?;
    let account = field(&made, id);

    let request =
        json!({"organization_id": scene.acme, "service_account_id": account, "api_key": {"display_name": "key"}});
    let method = "ServiceAccountService/CreateApiKey";
    let created = event("api_key.created", None);
    let key = pen.write(Asked { method, request, effects: Vec::new(), id: "api_key_id", event: created }).await?;
    let question = Question::ClientCredentials { id: account.clone(), secret: field(&key, "secret") };

    let kind = pen.dice.roll(3);
    if kind == 0 {
        let request = json!({"organization_id": scene.acme, "update_mask": "state",
            "service_account": {"service_account_id": account, "state": "SERVICE_ACCOUNT_STATE_SUSPENDED"}});
        let method = "ServiceAccountService/UpdateServiceAccount";
        let effects = vec![effect(ServiceAccount, &name, Suspended)];
        pen.write(Asked { method, request, effects, id: "", event: None }).await?;
    }
    if kind == 1 {
        let request = json!({"organization_id": scene.acme, "service_account_id": account});
        let method = "ServiceAccountService/DeleteServiceAccount";
        let effects = vec![effect(ServiceAccount, &name, Gone)];
        let event = event("service_account.deleted", Some(account));
        pen.write(Asked { method, request, effects, id: "", event }).await?;
    }
    if kind < 2 {
        scene.ended((ServiceAccount, &name), question, Duration::ZERO).await;
    }
    Some(())
}
