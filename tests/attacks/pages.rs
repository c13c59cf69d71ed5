//! Page tokens and cursors of somebody else's lists, presented for one's own: no tokens at all.

use api::METHODS;

use crate::{
    form,
    siege::Siege,
    twin::{reason, told},
    wire::bearer,
    world::Who,
};

/// As long as the token, in the same alphabet, and nobody's.
fn bent(token: &str) -> String {
    let change = |c: char| if c == 'A' { 'B' } else { 'A' };
    let mut text: Vec<char> = token.chars().collect();
    // The seal stands in front; the place in the list is what it was.
    text[7] = change(text[7]);
    text.into_iter().collect()
}

pub async fn storm(siege: &Siege<'_>) -> Vec<String> {
    let (mut faults, mut lists) = (Vec::new(), 0);
    for method in METHODS {
        let input = form::message(method.input);
        let field = if input.get_field_by_name("page_token").is_some() { "page_token" } else { "cursor" };
        for victim in [&siege.sister, &siege.globex] {
            let Some(page) = victim.pages.get(method.path) else { continue };
            lists += 1;
            for who in [Who::Owner, Who::Robot, Who::Project] {
                for door in siege.doors_of(method) {
                    let honest = form::request(&input, &siege.mine.things);
                    let [theirs, nobodys] = [page.clone(), bent(page)].map(|token| form::set(&honest, field, &token));
                    let headers = bearer(siege.token(who));
                    let answer = siege.ask(door, method, &headers, &theirs).await;
                    let bent = siege.ask(door, method, &headers, &nobodys).await;
                    let name = format!("{} by {who:?} at {}", method.path, door.name);
                    if let Some(leak) = siege.leaks(&answer, &theirs, victim) {
                        faults.push(format!("{name}: {leak} is in {answer:?}"));
                    }
                    if reason(&answer) != "INVALID_PAGE_TOKEN" {
                        faults.push(format!("{name}: {answer:?}"));
                    }
                    if told(method, &answer, &[]) != told(method, &bent, &[]) {
                        faults.push(format!("{name}: {answer:?} and {bent:?}"));
                    }
                }
            }
        }
    }
    assert!(lists > 24, "only {lists} lists have a second page");
    faults
}
