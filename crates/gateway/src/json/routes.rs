//! Which method a verb and a path mean. Default-deny: what no contract binds is nothing here, and a path has one spelling. Literal
//! segments are compared as they stand, so that an encoded letter is another letter.

use std::{collections::BTreeMap, sync::Arc};

use api::{Audience, Http, Method};
use percent_encoding::percent_decode_str;
use prost_reflect::{DescriptorPool, FieldDescriptor, MessageDescriptor, MethodDescriptor};

use super::template::{Segment, Template, TemplateError};

/// One way to one method.
#[derive(Debug)]
pub struct Binding {
    pub method: &'static Method,
    pub verb: http::Method,
    pub input: MessageDescriptor,
    pub output: MessageDescriptor,
    pub body: Body,
    pub template: Template,
}

/// What the HTTP body is.
#[derive(Debug, Clone)]
pub enum Body {
    /// There is none: what the path does not say is in the query.
    None,
    /// The request, but for what the path says. There is no query.
    Whole,
    /// One field of the request; the rest is in the query.
    Field(FieldDescriptor),
}

/// The fields that a path gives, by their names, and their texts.
pub type Captured = Vec<(Vec<String>, String)>;

#[derive(Debug)]
pub enum Found {
    Binding(Arc<Binding>, Captured),
    /// The path is there, the verb is not; these are.
    OtherVerbs(Vec<http::Method>),
    Nothing,
}

#[derive(Debug, thiserror::Error)]
pub enum RoutesError {
    #[error("the contracts do not decode")]
    Contracts(#[from] prost_reflect::DescriptorError),
    #[error(transparent)]
    Template(#[from] TemplateError),
    #[error("{0} is bound to HTTP in a way that cannot be served: {1}")]
    Binding(&'static str, &'static str),
}

#[derive(Debug)]
pub struct Routes {
    pool: DescriptorPool,
    /// By the word behind the colon.
    roots: BTreeMap<String, Node>,
    /// In the order of the contracts, the first way to a method before its others.
    bindings: Vec<Arc<Binding>>,
}

#[derive(Debug, Default)]
struct Node {
    literals: BTreeMap<String, Node>,
    any: Option<Box<Node>>,
    bindings: Vec<Arc<Binding>>,
}

impl Routes {
    /// Every way to every public method.
    pub fn of_the_contracts() -> Result<Self, RoutesError> {
        let pool = DescriptorPool::decode(api::FILE_DESCRIPTOR_SET)?;
        let mut routes = Self { pool: pool.clone(), roots: BTreeMap::new(), bindings: Vec::new() };
        for method in api::METHODS.iter().filter(|method| method.audience != Audience::Workload) {
            for http in method.http.iter().chain(method.also_http) {
                routes.insert(binding(&pool, method, http)?)?;
            }
        }
        Ok(routes)
    }

    fn insert(&mut self, binding: Binding) -> Result<(), RoutesError> {
        let mut node = self.roots.entry(binding.template.verb.clone()).or_default();
        for segment in &binding.template.segments {
            node = match segment {
                Segment::Literal(text) => node.literals.entry(text.clone()).or_default(),
                Segment::Any => node.any.get_or_insert_default(),
            };
        }
        if node.bindings.iter().any(|other| other.verb == binding.verb) {
            return Err(RoutesError::Binding(binding.method.path, "another method has its verb and path"));
        }
        let binding = Arc::new(binding);
        node.bindings.push(binding.clone());
        self.bindings.push(binding);
        Ok(())
    }

    pub fn bindings(&self) -> impl Iterator<Item = &Binding> {
        self.bindings.iter().map(|binding| &**binding)
    }

    pub fn descriptor(&self, method: &Method) -> Option<MethodDescriptor> {
        self.pool.get_service_by_name(method.service)?.methods().find(|found| found.name() == method.name)
    }

    pub fn find(&self, verb: &http::Method, path: &str) -> Found {
        let Some(path) = path.strip_prefix('/') else { return Found::Nothing };
        let last = path.rfind('/').map_or(0, |slash| slash + 1);
        // A colon in the last segment begins a verb; one that belongs to a value is written %3A.
        let (path, word) = match path[last..].find(':') {
            Some(colon) if path.len() > last + colon + 1 => (&path[..last + colon], &path[last + colon + 1..]),
            Some(_) => return Found::Nothing,
            None => (path, ""),
        };
        let segments: Vec<&str> = path.split('/').collect();
        let Some(node) = self.roots.get(word).and_then(|root| root.walk(&segments)) else { return Found::Nothing };
        match node.bindings.iter().find(|binding| binding.verb == verb) {
            Some(binding) => match captured(&binding.template, &segments) {
                Some(captured) => Found::Binding(binding.clone(), captured),
                None => Found::Nothing,
            },
            None => Found::OtherVerbs(node.bindings.iter().map(|binding| binding.verb.clone()).collect()),
        }
    }
}

impl Node {
    /// Literals before variables. No deeper than the templates are, whatever the path.
    fn walk(&self, segments: &[&str]) -> Option<&Self> {
        let Some((first, rest)) = segments.split_first() else {
            return (!self.bindings.is_empty()).then_some(self);
        };
        if first.is_empty() {
            return None;
        }
        let literal = self.literals.get(*first).and_then(|node| node.walk(rest));
        literal.or_else(|| self.any.as_ref()?.walk(rest))
    }
}

/// None: a segment is no text.
fn captured(template: &Template, segments: &[&str]) -> Option<Captured> {
    let decoded = |segment: &&str| percent_decode_str(segment).decode_utf8().ok().map(|text| text.into_owned());
    let value = |from: usize, to: usize| match &segments[from..to] {
        [one] => decoded(one),
        // An encoded slash would make one segment look like two.
        many => {
            let parts: Option<Vec<String>> =
                many.iter().map(|part| decoded(part).filter(|p| !p.contains('/'))).collect();
            parts.map(|parts| parts.join("/"))
        }
    };
    template.variables.iter().map(|v| Some((v.field.clone(), value(v.from, v.to)?))).collect()
}

fn binding(pool: &DescriptorPool, method: &'static Method, http: &Http) -> Result<Binding, RoutesError> {
    let error = |fault| RoutesError::Binding(method.path, fault);
    let message = |name| pool.get_message_by_name(name).ok_or_else(|| error("its messages are not described"));
    let (input, output) = (message(method.input)?, message(method.output)?);
    let body = match http.body {
        "" => Body::None,
        "*" => Body::Whole,
        name => Body::Field(input.get_field_by_name(name).ok_or_else(|| error("its body is no field"))?),
    };
    if method.client_streaming && !matches!(body, Body::Whole) {
        return Err(error("a stream of requests is its body"));
    }
    let template = Template::parse(http.path)?;
    for variable in &template.variables {
        super::fields::leaf(&input, &variable.field)
            .ok_or_else(|| error("a variable of its path is no plain field"))?;
    }
    let verb = http.verb.parse().map_err(|_| error("its verb is none"))?;
    Ok(Binding { method, verb, input, output, body, template })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(verb: &str, path: &str) -> Result<(&'static str, Vec<String>), Vec<String>> {
        match Routes::of_the_contracts().unwrap().find(&verb.parse().unwrap(), path) {
            Found::Binding(binding, captured) => {
                Ok((binding.method.name, captured.into_iter().map(|(_, value)| value).collect()))
            }
            Found::OtherVerbs(verbs) => Err(verbs.iter().map(http::Method::to_string).collect()),
            Found::Nothing => Err(Vec::new()),
        }
    }

    fn values(values: &[&str]) -> Vec<String> {
        values.iter().map(|&value| value.to_owned()).collect()
    }

    #[test]
    fn a_verb_and_a_path_mean_one_method() {
        assert_eq!(find("GET", "/v1/organizations/org_1"), Ok(("GetOrganization", values(&["org_1"]))));
        assert_eq!(find("POST", "/v1/organizations/org_1:suspend"), Ok(("SuspendOrganization", values(&["org_1"]))));
        assert_eq!(find("GET", "/v1/organizations:lookup"), Ok(("LookupOrganization", values(&[]))));
        assert_eq!(
            find("GET", "/v1/organizations/a%2Fb%3Ac/members/%C3%A9"),
            Ok(("GetMember", values(&["a/b:c", "é"]))),
            "a value may hold whatever it likes"
        );
        assert_eq!(find("GET", "/v1/roles"), Ok(("ListRoles", values(&[]))), "an additional binding");
    }

    #[test]
    fn what_is_bound_to_nothing_is_nothing() {
        assert_eq!(find("PUT", "/v1/catalog"), Err(values(&["GET", "PATCH"])));
        for path in [
            "",
            "/",
            "/v1",
            "/v1/",
            "/v2/catalog",
            "/v1/catalog/",
            "//v1/catalog",
            "/v1//catalog",
            "/v1/Catalog",
            "/v1/c%61talog",
            "/v1/catalog:",
            "/v1/catalog:read",
            "/v1/organizations/",
            "/v1/organizations//members",
            "/v1/organizations/%ff",
            "/v1/x/../catalog",
            "/guildhall.org.v1.OrganizationService/GetOrganization",
        ] {
            assert_eq!(find("GET", path), Err(Vec::new()), "{path}");
        }
    }

    #[test]
    fn every_public_method_can_be_reached_and_no_workload_s() {
        let routes = Routes::of_the_contracts().unwrap();
        for method in api::METHODS {
            for http in method.http.iter().chain(method.also_http) {
                let path = http.path.replace(['{', '}'], "");
                let found = routes.find(&http.verb.parse().unwrap(), &path);
                match found {
                    Found::Binding(binding, _) => assert_eq!(binding.method.path, method.path),
                    other => assert_eq!(method.audience, Audience::Workload, "{}: {other:?}", http.path),
                }
            }
        }
    }
}
