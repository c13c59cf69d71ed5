//! What a fuzzer does with credentials: see the crate `seeds`.

#![allow(clippy::unwrap_used, reason = "a body fails by panic")]

use std::sync::LazyLock;

use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use seeds::Choices;
use tokens::{ACCESS_TYPE, AccessClaims, ActClaims, Algorithm, SigningKey, WORKLOAD_TYPE, WorkloadClaims};

use crate::{
    caller::{Caller, Impersonator, Served, Service},
    layer::bearer,
    trust::{Signer, Trust, published},
    verify::{Verifier, now},
};

const ISSUER: &str = "https://id.test";
const US: Service = Service::Member;

/// Everybody who signs, and a process that believes them.
struct Installation {
    keys: Vec<(Signer, SigningKey)>,
    verifier: Verifier,
}

static INSTALLATION: LazyLock<Installation> = LazyLock::new(|| {
    let directory = std::env::temp_dir().join(format!("guildhall-fuzzing-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let keys: Vec<_> = Signer::all().map(|signer| (signer, SigningKey::generate(Algorithm::EdDsa).unwrap())).collect();
    for (signer, key) in &keys {
        let set = format!(r#"{{"keys":[{}]}}"#, key.public_jwk());
        std::fs::write(published(&directory, *signer), set).unwrap();
    }
    // They are read once, and not again: nothing of it is needed any more.
    let trust = Trust::polled(&directory, std::time::Duration::MAX).unwrap();
    std::fs::remove_dir_all(&directory).unwrap();
    Installation { keys, verifier: Verifier::new(US, trust, ISSUER, "guildhall") }
});

/// A token of claims that somebody made up, signed by any of the keys that are believed: it is what its signer may say, of a caller that
/// is all that the claims say, or it is refused. The lines after the choices are the claims' texts. And the header that it comes in.
pub fn credential(input: &[u8]) {
    let mut choices = Choices::new(input);
    match choices.below(3) {
        0 => header(&mut choices),
        1 => access(&mut choices),
        _ => workload(&mut choices),
    }
}

fn header(choices: &mut Choices<'_>) {
    let twice = choices.yes();
    let Ok(value) = HeaderValue::from_bytes(choices.rest()) else { return };
    let mut headers = HeaderMap::new();
    assert_eq!(bearer(&headers).unwrap(), None);
    headers.append(AUTHORIZATION, value.clone());
    if let Ok(token) = bearer(&headers) {
        let (scheme, rest) = value.to_str().unwrap().split_at("bearer ".len());
        assert!(scheme.eq_ignore_ascii_case("bearer ") && Some(rest) == token && !rest.is_empty());
    }
    if twice {
        headers.append(AUTHORIZATION, value);
        assert!(bearer(&headers).is_err(), "two credentials are none");
    }
}

/// A line of the input; an empty one is a claim that is not there.
fn claim(choices: &mut Choices<'_>) -> Option<String> {
    Some(choices.line()).filter(|line| !line.is_empty()).map(|line| String::from_utf8_lossy(line).into_owned())
}

/// Who signs, and as what.
fn signer(choices: &mut Choices<'_>) -> (Signer, &'static SigningKey, &'static str) {
    let (signer, key) = choices.pick(&INSTALLATION.keys);
    let typ: &&str = choices.pick(&[ACCESS_TYPE, WORKLOAD_TYPE, "JWT"]);
    (*signer, key, typ)
}

fn access(choices: &mut Choices<'_>) {
    let (signer, key, typ) = signer(&mut Choices::new(choices.line()));
    let [sub, sid, project_id, org_id, act_sub, act_sid, aud] = std::array::from_fn(|_| claim(choices));
    let acts = act_sub.is_some() || act_sid.is_some();
    let claims = AccessClaims {
        iss: ISSUER.to_owned(),
        sub: sub.unwrap_or_default(),
        aud: aud.unwrap_or_else(|| "guildhall".to_owned()),
        exp: now() + 300,
        iat: now(),
        nbf: now(),
        jti: String::new(),
        client_id: String::new(),
        sid,
        project_id,
        org_id,
        org_slug: None,
        roles: Vec::new(),
        amr: Vec::new(),
        acr: None,
        epoch: 0,
        project_epoch: 0,
        act: acts.then(|| ActClaims {
            sub: act_sub.unwrap_or_default(),
            sid: act_sid.unwrap_or_default(),
            org_id: None,
        }),
        permissions: Vec::new(),
    };
    let token = key.sign(typ, &claims).unwrap();
    let Ok(verified) = INSTALLATION.verifier.verify(&token) else { return };
    assert_eq!((signer, typ, claims.aud.as_str()), (Signer::Access, ACCESS_TYPE, "guildhall"));
    assert_eq!(verified.claims.as_ref(), Some(&claims));
    // What the caller is, written down again, is what the claims said: nothing of it was passed over.
    let (said, said_act) = match &verified.caller {
        Caller::Operator => (("operator".to_owned(), None, None, None), None),
        Caller::Member { project, organization, member, session, impersonator } => {
            let act = impersonator.map(|impersonator| match impersonator {
                Impersonator::Member(id, session) => (id.to_string(), session.to_string()),
                Impersonator::ServiceAccount(id, key, _) => (id.to_string(), key.to_string()),
            });
            let (organization, session) = (Some(organization.to_string()), Some(session.to_string()));
            ((member.to_string(), session, Some(project.to_string()), organization), act)
        }
        Caller::ServiceAccount { project, organization, id, key } => {
            let organization = organization.map(|id| id.to_string());
            ((id.to_string(), Some(key.to_string()), Some(project.to_string()), organization), None)
        }
        other => panic!("an access token made {other:?}"),
    };
    // The operator's token has no session; one that it names anyway is nothing.
    let sid = claims.sid.filter(|_| verified.caller != Caller::Operator);
    assert_eq!(said, (claims.sub, sid, claims.project_id, claims.org_id));
    assert_eq!(said_act, claims.act.map(|act| (act.sub, act.sid)));
    again(&token, &verified);
}

fn workload(choices: &mut Choices<'_>) {
    let (signer, key, typ) = signer(&mut Choices::new(choices.line()));
    let [iss, sub, aud, obo, act] = std::array::from_fn(|_| claim(choices));
    let claims = WorkloadClaims {
        iss: iss.unwrap_or_default(),
        sub: sub.unwrap_or_default(),
        aud: aud.unwrap_or_else(|| US.name().to_owned()),
        exp: now() + 60,
        iat: now(),
        nbf: now(),
        obo,
        act,
    };
    let token = key.sign(typ, &claims).unwrap();
    let Ok(verified) = INSTALLATION.verifier.verify(&token) else { return };
    let Caller::Workload { service, on_behalf_of } = &verified.caller else { panic!("{:?}", verified.caller) };
    assert_eq!((signer, typ, claims.aud.as_str()), (Signer::Workload(*service), WORKLOAD_TYPE, US.name()));
    assert_eq!((claims.iss.as_str(), claims.sub.as_str()), (service.name(), service.name()));
    let (obo, act) = match on_behalf_of {
        None => (None, None),
        Some(Served { actor, impersonator }) => {
            (Some(actor.to_string()), impersonator.as_ref().map(ToString::to_string))
        }
    };
    assert_eq!((obo, act), (claims.obo, claims.act));
    again(&token, &verified);
}

/// From the cache it is the same, and one letter less is refused.
fn again(token: &str, verified: &crate::verify::Verified) {
    assert_eq!(*INSTALLATION.verifier.verify(token).unwrap(), *verified);
    assert!(INSTALLATION.verifier.verify(&token[..token.len() - 1]).is_err());
}

#[cfg(test)]
mod tests {
    #[test]
    fn credential() {
        seeds::each("credential", super::credential);
    }
}
