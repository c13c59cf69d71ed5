//! Credentials that are good, presented in a way that none is; and good ones of another kind.

use super::forge::{Case, Forge};

pub fn cases(forge: &Forge, others: &[(&str, String)]) -> Vec<Case> {
    let key = &forge.access[0];
    let good = forge.good(key);
    let second = forge.good(key);
    let mut cases: Vec<Case> = [
        ("no scheme", good.clone()),
        ("a scheme alone", "Bearer".to_owned()),
        ("a scheme and a space", "Bearer ".to_owned()),
        ("Basic", format!("Basic {good}")),
        ("Token", format!("Token {good}")),
        ("DPoP", format!("DPoP {good}")),
        ("Bearer twice", format!("Bearer Bearer {good}")),
        ("two spaces", format!("Bearer  {good}")),
        ("a tab", format!("Bearer\t{good}")),
        ("a colon", format!("Bearer: {good}")),
        ("an equals sign", format!("Bearer={good}")),
        ("quotes", format!("Bearer \"{good}\"")),
        ("angle brackets", format!("Bearer <{good}>")),
        ("a space behind", format!("Bearer {good} x")),
        ("a comma behind", format!("Bearer {good},")),
        ("two in one header", format!("Bearer {good} {second}")),
        ("two in one header, by a comma", format!("Bearer {good}, Bearer {second}")),
        ("a parameter", format!("Bearer {good}; realm=x")),
        ("letters that look like it", format!("Веarer {good}")),
        ("a letter that is not ASCII", format!("Bearer {good}é")),
        ("a zero of full width", format!("Bearer {good}０")),
        ("undefined", "Bearer undefined".to_owned()),
        ("null", "Bearer null".to_owned()),
        ("a JSON text", format!("Bearer {{\"access_token\":\"{good}\"}}")),
    ]
    .into_iter()
    .map(|(name, header)| forge.presented(name, key, vec![header.into_bytes()]))
    .collect();
    let bearer = |token: &str| format!("Bearer {token}").into_bytes();
    cases.push(forge.presented("no UTF-8", key, vec![[&bearer(&good)[..], b"\xff\xfe"].concat()]));
    cases.push(forge.presented("the same in two headers", key, vec![bearer(&good), bearer(&good)]));
    cases.push(forge.presented("two in two headers", key, vec![bearer(&good), bearer(&second)]));
    cases.push(forge.presented("a good one and a bad one", key, vec![bearer(&good), bearer("x")]));
    cases.push(forge.presented("a bad one and a good one", key, vec![bearer("x"), bearer(&good)]));
    cases.push(forge.presented("two of two schemes", key, vec![bearer(&good), b"Basic eDp5".to_vec()]));
    cases.push(forge.presented("an empty header beside it", key, vec![bearer(&good), Vec::new()]));
    for (name, secret) in others {
        cases.push(forge.case(*name, key, secret));
        cases.push(forge.presented(format!("{name}, Basic"), key, vec![format!("Basic {secret}").into_bytes()]));
    }
    cases
}
