//! Where a reader of the merged event log stands: a place in each of the three logs.

use api::event::v1::{Event, ListEventsRequest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use prost::Message;
use serde::{Deserialize, Serialize};
use tenancy::event::sha256;

/// A place in one service's log. The service's own page token, bound by it to the caller's query, leads to a page; the last event that was
/// given says where on that page to go on. It is named by its number and not by how many came before it, so that events written
/// meanwhile shift nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    #[serde(rename = "t", default, skip_serializing_if = "String::is_empty")]
    pub token: String,
    /// Revision and ordinal of the last event given from this log.
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    pub after: Option<(i64, i32)>,
    /// Nothing is left.
    #[serde(rename = "e", default, skip_serializing_if = "std::ops::Not::not")]
    pub ended: bool,
}

impl Place {
    /// Whether an event was given already, or stands before one that was.
    pub fn is_past(&self, event: &Event) -> bool {
        self.after.is_some_and(|after| (event.revision, event.ordinal) >= after)
    }
}

#[derive(Serialize, Deserialize)]
struct Token {
    /// The query that the token goes on with.
    q: String,
    p: [Place; 3],
}

fn query(request: &ListEventsRequest) -> String {
    let bare = ListEventsRequest { page_size: 0, page_token: String::new(), ..request.clone() };
    URL_SAFE_NO_PAD.encode(&sha256(&bare.encode_to_vec())[..12])
}

/// The token of the next page; empty when nothing is left.
pub fn token(request: &ListEventsRequest, places: &[Place; 3]) -> String {
    if places.iter().all(|place| place.ended) {
        return String::new();
    }
    let token = Token { q: query(request), p: places.clone() };
    serde_json::to_vec(&token).map(|json| URL_SAFE_NO_PAD.encode(json)).unwrap_or_default()
}

/// The places that a request goes on from. None for a token that is not ours or belongs to another query.
pub fn places(request: &ListEventsRequest) -> Option<[Place; 3]> {
    if request.page_token.is_empty() {
        return Some(Default::default());
    }
    let json = URL_SAFE_NO_PAD.decode(&request.page_token).ok()?;
    let token: Token = serde_json::from_slice(&json).ok()?;
    // One whose logs have all ended is never given: it would ask nobody, and so nobody whether the caller may read.
    let ours = token.q == query(request) && !token.p.iter().all(|place| place.ended);
    ours.then_some(token.p)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_back_to_its_places_in_its_own_query_only() {
        let request = ListEventsRequest { organization_id: "org_a".to_owned(), ..ListEventsRequest::default() };
        let places = [
            Place { token: "xyz".to_owned(), after: Some((7, 1)), ended: false },
            Place::default(),
            Place { ended: true, ..Place::default() },
        ];
        let next = ListEventsRequest { page_token: token(&request, &places), page_size: 9, ..request.clone() };
        assert_eq!(super::places(&next), Some(places));
        for other in [
            ListEventsRequest { organization_id: "org_b".to_owned(), ..next.clone() },
            ListEventsRequest { kinds: vec!["member.removed".to_owned()], ..next.clone() },
            ListEventsRequest { page_token: "bm9uZQ".to_owned(), ..next.clone() },
            ListEventsRequest { page_token: "%".to_owned(), ..next },
        ] {
            assert_eq!(super::places(&other), None);
        }
    }

    #[test]
    fn the_last_page_has_no_next() {
        let ended = || Place { ended: true, ..Place::default() };
        assert_eq!(token(&ListEventsRequest::default(), &[ended(), ended(), ended()]), "");
    }
}
