//! Path templates, as `google.api.http` writes them: `/v1/organizations/{organization_id}/members/{member.member_id}:suspend`.

/// A template, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub struct Template {
    pub segments: Vec<Segment>,
    /// The word behind the colon, empty where there is none.
    pub verb: String,
    pub variables: Vec<Variable>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    Literal(String),
    Any,
}

impl Segment {
    pub fn text(&self) -> &str {
        match self {
            Self::Literal(text) => text,
            Self::Any => "*",
        }
    }
}

/// A field of the request that segments of the path give.
#[derive(Debug, PartialEq, Eq)]
pub struct Variable {
    /// `member.member_id` as its two names.
    pub field: Vec<String>,
    /// Its first segment, and the one after its last.
    pub from: usize,
    pub to: usize,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the path template {template} cannot be served: {fault}")]
pub struct TemplateError {
    template: String,
    fault: &'static str,
}

impl Template {
    pub fn parse(template: &str) -> Result<Self, TemplateError> {
        let error = |fault| TemplateError { template: template.to_owned(), fault };
        let path = template.strip_prefix('/').ok_or_else(|| error("it does not begin with a slash"))?;
        let (path, verb) = match path.rsplit_once(':') {
            Some((path, verb)) if !verb.contains(['/', '}']) => (path, verb),
            _ => (path, ""),
        };
        let mut parsed = Self { segments: Vec::new(), verb: verb.to_owned(), variables: Vec::new() };
        let mut rest = path;
        loop {
            let end = match rest.strip_prefix('{') {
                Some(variable) => {
                    let (variable, _) = variable.split_once('}').ok_or_else(|| error("a brace is not closed"))?;
                    parsed.variable(variable).map_err(error)?;
                    variable.len() + 2
                }
                None => {
                    let segment = rest.split('/').next().unwrap_or_default();
                    parsed.segments.push(self::segment(segment).map_err(error)?);
                    segment.len()
                }
            };
            match rest[end..].strip_prefix('/') {
                Some(next) => rest = next,
                None if rest.len() == end => return Ok(parsed),
                None => return Err(error("a segment is no whole one")),
            }
        }
    }

    fn variable(&mut self, text: &str) -> Result<(), &'static str> {
        let (field, pattern) = text.split_once('=').unwrap_or((text, "*"));
        let from = self.segments.len();
        for part in pattern.split('/') {
            self.segments.push(segment(part)?);
        }
        let field: Vec<String> = field.split('.').map(str::to_owned).collect();
        if field.iter().any(String::is_empty) {
            return Err("a variable has no name");
        }
        self.variables.push(Variable { field, from, to: self.segments.len() });
        Ok(())
    }
}

fn segment(text: &str) -> Result<Segment, &'static str> {
    match text {
        "*" => Ok(Segment::Any),
        "**" => Err("`**` has no place in these contracts"),
        "" => Err("a segment is empty"),
        text if text.contains(['{', '}', '*', '=', '%', ':']) => Err("a segment is no word"),
        text => Ok(Segment::Literal(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literal(text: &str) -> Segment {
        Segment::Literal(text.to_owned())
    }

    #[test]
    fn a_template_is_taken_apart() {
        let parsed = Template::parse("/v1/organizations/{organization_id}/roles/{role.role_id}:archive").unwrap();
        assert_eq!(
            parsed.segments,
            [literal("v1"), literal("organizations"), Segment::Any, literal("roles"), Segment::Any]
        );
        assert_eq!(parsed.verb, "archive");
        assert_eq!(parsed.variables[1], Variable { field: vec!["role".into(), "role_id".into()], from: 4, to: 5 });
        let parsed = Template::parse("/v1/{name=shelves/*/books/*}").unwrap();
        assert_eq!(parsed.segments.len(), 5);
        assert_eq!(parsed.variables, [Variable { field: vec!["name".into()], from: 1, to: 5 }]);
        assert_eq!(Template::parse("/v1/auth:whoAmI").unwrap().verb, "whoAmI");
    }

    #[test]
    fn what_is_no_template_is_refused() {
        for bad in
            ["", "v1", "/", "/v1//a", "/v1/{a", "/v1/{a}b", "/v1/{}", "/v1/{a.}", "/v1/{a=**}", "/v1/a*", "/v1/a/"]
        {
            assert!(Template::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn every_public_method_has_templates_that_can_be_served() {
        let ways = api::METHODS.iter().flat_map(|method| method.http.iter().chain(method.also_http));
        let parsed: Vec<Template> = ways.map(|http| Template::parse(http.path).unwrap()).collect();
        assert!(parsed.len() > 100);
    }
}
