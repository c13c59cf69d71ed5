//! Bindings are made and deleted, one by one and several in one batch.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use super::Scene;
use crate::{
    history::{
        Kind::Binding,
        State::{Gone, Live},
    },
    pen::{Asked, Pen, Question, effect, field},
};

pub async fn write(scene: Arc<Scene>, mut pen: Pen) {
    let mut held: Vec<(String, String)> = Vec::new();
    while !scene.is_over() {
        match pen.dice.roll(5) {
            0 | 1 => held.extend(give(&scene, &mut pen).await),
            2 if !held.is_empty() => {
                let one = held.swap_remove(pen.dice.roll(held.len()));
                take(&scene, &mut pen, one).await;
            }
            _ => {
                let taken = held.pop();
                held.extend(exchange(&scene, &mut pen, taken).await);
            }
        }
    }
}

fn binding(scene: &Scene, place: &str) -> Value {
    json!({"subject": {"member_id": scene.holder}, "role_id": scene.role, "resource": {"type": "document", "id": place}})
}

async fn give(scene: &Scene, pen: &mut Pen) -> Option<(String, String)> {
    let place = pen.word();
    let request = json!({"organization_id": scene.acme, "binding": binding(scene, &place)});
    let (id, method) = ("binding_id", "BindingService/CreateBinding");
    let event = Some(("binding.created", scene.acme.clone(), None));
    let made = pen.write(Asked { method, request, effects: vec![effect(Binding, &place, Live)], id, event }).await?;
    Some((place, field(&made, id)))
}

async fn take(scene: &Scene, pen: &mut Pen, (place, id): (String, String)) {
    let request = json!({"organization_id": scene.acme, "binding_id": id});
    let event = Some(("binding.deleted", scene.acme.clone(), Some(id)));
    let effects = vec![effect(Binding, &place, Gone)];
    let method = "BindingService/DeleteBinding";
    if pen.write(Asked { method, request, effects, id: "", event }).await.is_some() {
        taken(scene, &place).await;
    }
}

async fn taken(scene: &Scene, place: &str) {
    let (organization, member) = (scene.acme.clone(), scene.holder.clone());
    let question = Question::Check { organization, member, document: Some(place.to_owned()) };
    scene.ended((Binding, place), question, Duration::ZERO).await;
}

/// Three for one, at once.
async fn exchange(scene: &Scene, pen: &mut Pen, old: Option<(String, String)>) -> Vec<(String, String)> {
    let places: Vec<String> = (0..3).map(|_| pen.word()).collect();
    let mut changes: Vec<Value> = places.iter().map(|place| json!({"create_binding": binding(scene, place)})).collect();
    let mut effects: Vec<_> = places.iter().map(|place| effect(Binding, place, Live)).collect();
    if let Some((place, id)) = &old {
        changes.push(json!({"delete_binding_id": id}));
        effects.push(effect(Binding, place, Gone));
    }
    let request = json!({"organization_id": scene.acme, "changes": changes});
    let (id, method) = ("created_ids.0", "BindingService/ApplyChanges");
    let event = Some(("binding.created", scene.acme.clone(), None));
    let Some(made) = pen.write(Asked { method, request, effects, id, event }).await else { return Vec::new() };
    if let Some((place, _)) = &old {
        taken(scene, place).await;
    }
    places.into_iter().enumerate().map(|(n, place)| (place, field(&made, &format!("created_ids.{n}")))).collect()
}
