//! Compiles the contracts: Rust types and stubs, the descriptor set that reflection serves, and the table of methods with their
//! access rules. A method that states no rule, or a public one without an HTTP form, fails the build with all such methods named.

use std::{
    env,
    error::Error,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor, Value,
};

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    println!("cargo:rerun-if-changed={}", root.display());

    let mut files = Vec::new();
    collect(&root.join("guildhall"), &mut files)?;
    files.sort();

    let mut compiler = protox::Compiler::new([&root])?;
    compiler.include_imports(true).include_source_info(true).open_files(&files)?;
    // Maps are ordered, so that one message has one encoding: a repeated request is known by the hash of its own.
    //
    // Callers recurse over the generated types only through decoded messages, and every method has a default that answers
    // UNIMPLEMENTED: which methods those are is stated in the contract (`not_yet_served`) and compared by a test.
    tonic_prost_build::configure()
        .generate_default_stubs(true)
        .btree_map(".")
        .compile_fds(compiler.file_descriptor_set())?;

    fs::write(out.join("documented_descriptor_set.bin"), compiler.encode_file_descriptor_set())?;

    let mut bare = protox::Compiler::new([&root])?;
    bare.include_imports(true).include_source_info(false).open_files(&files)?;
    // Not `file_descriptor_set().encode_to_vec()`: that would lose the option extensions.
    let bytes = bare.encode_file_descriptor_set();
    let pool = DescriptorPool::decode(bytes.as_slice())?;
    fs::write(out.join("descriptor_set.bin"), bytes)?;

    let (methods, faults) = methods(&pool);
    if !faults.is_empty() {
        return Err(format!("the contract is incomplete:\n  {}", faults.join("\n  ")).into());
    }
    fs::write(out.join("methods.rs"), methods)?;
    Ok(())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|e| e == "proto") {
            files.push(path);
        }
    }
    Ok(())
}

fn methods(pool: &DescriptorPool) -> (String, Vec<String>) {
    let mut faults = Vec::new();
    let mut table = String::from("pub static METHODS: &[Method] = &[\n");
    let mut addressed = String::new();
    let mut seen = std::collections::BTreeSet::new();
    let mut all: Vec<MethodDescriptor> = pool.services().flat_map(|s| s.methods().collect::<Vec<_>>()).collect();
    all.sort_by_key(path);
    for method in &all {
        match row(pool, method) {
            Ok(row) => table.push_str(&row),
            Err(fault) => faults.push(format!("{}: {fault}", method.full_name())),
        }
        if seen.insert(method.input().full_name().to_owned()) {
            match address(pool, method) {
                Ok(text) => addressed.push_str(&text),
                Err(fault) => faults.push(format!("{}: {fault}", method.full_name())),
            }
        }
    }
    table.push_str("];\n");
    table.push_str(&addressed);
    (table, faults)
}

fn path(method: &MethodDescriptor) -> String {
    format!("/{}/{}", method.parent_service().full_name(), method.name())
}

fn option(pool: &DescriptorPool, method: &MethodDescriptor, name: &str) -> Option<Value> {
    let extension = pool.get_extension_by_name(name)?;
    let options = method.options();
    options.has_extension(&extension).then(|| options.get_extension(&extension).into_owned())
}

fn text(message: &DynamicMessage, field: &str) -> String {
    message.get_field_by_name(field).and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

fn row(pool: &DescriptorPool, method: &MethodDescriptor) -> Result<String, String> {
    let rule = option(pool, method, "guildhall.access.v1.rule").ok_or("states no guildhall.access.v1.rule")?;
    let rule = rule.as_message().ok_or("its rule is no message")?;
    let audience = rule.get_field_by_name("audience").and_then(|v| v.as_enum_number()).unwrap_or(0);
    let audience = match audience {
        1 => "Anyone",
        2 => "Self_",
        3 => "Organization",
        4 => "Project",
        5 => "Operator",
        6 => "Workload",
        _ => return Err("its rule names no audience".into()),
    };
    let permission = text(rule, "permission");
    if (audience == "Organization") == permission.is_empty() {
        return Err("ORGANIZATION names a permission, and only ORGANIZATION does".into());
    }
    let workloads: Vec<String> = match rule.get_field_by_name("workloads").as_deref() {
        Some(Value::List(list)) => list.iter().filter_map(|v| v.as_str().map(str::to_owned)).collect(),
        _ => Vec::new(),
    };
    if let Some(name) =
        workloads.iter().find(|w| !["org-service", "member-service", "authz-service", "gateway"].contains(&w.as_str()))
    {
        return Err(format!("no such workload: {name}"));
    }
    if audience == "Workload" && workloads.is_empty() {
        return Err("WORKLOAD names no workloads".into());
    }
    let http = http(pool, method)?;
    if http.is_empty() && audience != "Workload" {
        return Err("is public and has no google.api.http".into());
    }
    let served = !option(pool, method, "guildhall.access.v1.not_yet_served").and_then(|v| v.as_bool()).unwrap_or(false);
    let read_only = method
        .method_descriptor_proto()
        .options
        .as_ref()
        .is_some_and(|o| o.idempotency_level() == prost_types::method_options::IdempotencyLevel::NoSideEffects);
    let mut row = String::new();
    let _ = writeln!(
        row,
        "    Method {{ path: {:?}, service: {:?}, name: {:?}, input: {:?}, output: {:?}, audience: Audience::{audience}, \
         permission: {permission:?}, workloads: &{workloads:?}, served: {served}, read_only: {read_only}, client_streaming: {}, \
         server_streaming: {}, http: {}, also_http: &[{}] }},",
        path(method),
        method.parent_service().full_name(),
        method.name(),
        method.input().full_name(),
        method.output().full_name(),
        method.is_client_streaming(),
        method.is_server_streaming(),
        http.first().map_or_else(|| "None".into(), |first| format!("Some({first})")),
        http.get(1..).unwrap_or_default().join(", "),
    );
    Ok(row)
}

/// The ways to a method over HTTP, the first one first.
fn http(pool: &DescriptorPool, method: &MethodDescriptor) -> Result<Vec<String>, String> {
    let Some(rule) = option(pool, method, "google.api.http") else { return Ok(Vec::new()) };
    let rule = rule.as_message().ok_or("its HTTP rule is no message")?;
    let mut ways = vec![http_way(rule)?];
    if let Some(Value::List(more)) = rule.get_field_by_name("additional_bindings").as_deref() {
        for rule in more.iter().filter_map(Value::as_message) {
            ways.push(http_way(rule)?);
        }
    }
    Ok(ways)
}

fn http_way(rule: &DynamicMessage) -> Result<String, String> {
    for verb in ["get", "put", "post", "delete", "patch"] {
        let path = text(rule, verb);
        if !path.is_empty() {
            if !path.starts_with("/v1/") {
                return Err(format!("its HTTP path {path} does not begin with /v1/"));
            }
            let body = text(rule, "body");
            return Ok(format!("Http {{ verb: {:?}, path: {path:?}, body: {body:?} }}", verb.to_uppercase()));
        }
    }
    Err("its HTTP rule names no path".into())
}

/// `impl Addressed` for one request type: which organization it names, and whom its rule's `self_field` names.
fn address(pool: &DescriptorPool, method: &MethodDescriptor) -> Result<String, String> {
    let input = method.input();
    let organization = match input.get_field_by_name("organization_id") {
        // A choice between id and slug, at sign-in: it names no organization that a right could be held in.
        Some(field) if field.containing_oneof().is_some() => "None",
        Some(field) if field.number() != 1 => return Err("organization_id is not the first field".into()),
        Some(_) => "Some(self.organization_id.as_str())",
        None => "None",
    };
    let rule = option(pool, method, "guildhall.access.v1.rule");
    let self_field = rule.as_ref().and_then(|r| r.as_message().map(|m| text(m, "self_field"))).unwrap_or_default();
    let myself = if self_field.is_empty() { "None".to_owned() } else { self_path(&input, &self_field)? };
    // What if I were owner? That is a question about the organization, and about oneself no more.
    let myself = match input.get_field_by_name("contextual_bindings") {
        Some(_) => format!("if self.contextual_bindings.is_empty() {{ {myself} }} else {{ None }}"),
        None => myself,
    };
    Ok(format!(
        "impl Addressed for {} {{\n    fn organization_id(&self) -> Option<&str> {{ {organization} }}\n    \
         fn self_id(&self) -> Option<&str> {{ {myself} }}\n}}\n",
        rust_type(&input),
    ))
}

fn rust_type(message: &MessageDescriptor) -> String {
    if message.full_name() == "google.protobuf.Empty" {
        return "()".into();
    }
    let package = message.package_name().trim_start_matches("guildhall.").replace('.', "::");
    format!("crate::{package}::{}", message.name())
}

fn self_path(input: &MessageDescriptor, path: &str) -> Result<String, String> {
    let mut message = input.clone();
    let mut code = String::from("let m = self;");
    let mut names = path.split('.').peekable();
    while let Some(name) = names.next() {
        let field = message.get_field_by_name(name).ok_or(format!("self_field {path} names no field"))?;
        if names.peek().is_some() {
            let Kind::Message(next) = field.kind() else { return Err(format!("self_field {path} passes a scalar")) };
            let _ = write!(code, " let m = m.{name}.as_ref()?;");
            message = next;
        } else {
            let _ = write!(code, " {}", leaf(&field));
        }
    }
    Ok(format!("{{ {code} }}"))
}

/// A plain string field, or every string of the oneof that holds it: ids carry their kind, so that any of them can be compared.
fn leaf(field: &FieldDescriptor) -> String {
    let Some(oneof) = field.containing_oneof() else { return format!("Some(m.{}.as_str())", field.name()) };
    let message = field.parent_message();
    let package = message.package_name().trim_start_matches("guildhall.").replace('.', "::");
    let kind = format!("crate::{package}::{}::{}", snake(message.name()), camel(oneof.name()));
    let arms: String = oneof
        .fields()
        .filter(|f| matches!(f.kind(), Kind::String))
        .map(|f| format!("{kind}::{}(id) => Some(id.as_str()), ", camel(f.name())))
        .collect();
    format!("match m.{}.as_ref()? {{ {arms}_ => None }}", oneof.name())
}

fn camel(name: &str) -> String {
    name.split('_')
        .map(|part| part.chars().next().map(|c| c.to_ascii_uppercase().to_string() + &part[1..]).unwrap_or_default())
        .collect()
}

fn snake(name: &str) -> String {
    let mut snake = String::new();
    for (at, c) in name.chars().enumerate() {
        if c.is_ascii_uppercase() && at > 0 {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}
