//! What the process knows about its RPCs, read once from the compiled descriptor set.
//!
//! The descriptor is the only source: which methods exist (so metric labels stay bounded), which of them stream (so no
//! server deadline cuts a watch), and which have no side effects (so a failed attempt may be repeated).

use std::collections::HashMap;
use std::sync::Arc;

use prost::Message;
use prost_types::FileDescriptorSet;
use prost_types::method_options::IdempotencyLevel;

/// One method of the contract.
#[derive(Debug)]
pub struct Method {
    name: Box<str>,
    index: usize,
    streaming: bool,
    takes_stream: bool,
    repeatable: bool,
}

impl Method {
    /// The fully qualified name without a leading slash, `grpc.health.v1.Health/Check`; `unknown` for a path that the
    /// contract does not have.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether either side streams.
    pub fn is_streaming(&self) -> bool {
        self.streaming
    }

    /// Whether the caller's side streams: there is no end of a request to wait for.
    pub fn takes_stream(&self) -> bool {
        self.takes_stream
    }

    /// Whether the contract says NO_SIDE_EFFECTS or IDEMPOTENT: sending it twice does no harm.
    pub fn is_repeatable(&self) -> bool {
        self.repeatable
    }

    /// Its place among `Contract::len` methods; 0 is the unknown one.
    pub(crate) fn index(&self) -> usize {
        self.index
    }
}

/// Every method, by its path. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Contract {
    descriptor: &'static [u8],
    methods: Arc<HashMap<Box<str>, Arc<Method>>>,
    unknown: Arc<Method>,
}

/// The bytes are no file descriptor set.
#[derive(Debug, thiserror::Error)]
#[error("the descriptor set does not decode")]
pub struct ContractError(#[source] prost::DecodeError);

impl Contract {
    /// Reads an encoded `google.protobuf.FileDescriptorSet`; `grpc.health.v1` and server reflection are added to it.
    pub fn from_descriptor_set(descriptor: &'static [u8]) -> Result<Self, ContractError> {
        let mut methods = HashMap::new();
        for encoded in [
            descriptor,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
        ] {
            add_methods(&mut methods, FileDescriptorSet::decode(encoded).map_err(ContractError)?);
        }
        let unknown =
            Method { name: "unknown".into(), index: 0, streaming: false, takes_stream: false, repeatable: false };
        Ok(Self { descriptor, methods: Arc::new(methods), unknown: Arc::new(unknown) })
    }

    /// The method at an HTTP path such as `/grpc.health.v1.Health/Check`.
    pub fn method(&self, path: &str) -> &Arc<Method> {
        path.strip_prefix('/').and_then(|name| self.methods.get(name)).unwrap_or(&self.unknown)
    }

    /// Those of the service of this full name.
    pub(crate) fn methods_of<'a>(&'a self, service: &'a str) -> impl Iterator<Item = &'a Method> {
        let of_service =
            move |method: &&Arc<Method>| method.name().split_once('/').is_some_and(|(of, _)| of == service);
        self.methods.values().filter(of_service).map(AsRef::as_ref)
    }

    /// The encoded descriptor set, options included.
    pub fn descriptor_set(&self) -> &'static [u8] {
        self.descriptor
    }

    /// How many methods there are, the unknown one counted.
    pub(crate) fn len(&self) -> usize {
        self.methods.len() + 1
    }
}

fn add_methods(methods: &mut HashMap<Box<str>, Arc<Method>>, set: FileDescriptorSet) {
    for file in set.file {
        let package = file.package().to_owned();
        for service in &file.service {
            for method in &service.method {
                let dot = if package.is_empty() { "" } else { "." };
                let name: Box<str> = format!("{package}{dot}{}/{}", service.name(), method.name()).into();
                let level = method.options.as_ref().map(|options| options.idempotency_level()).unwrap_or_default();
                let index = methods.len() + 1;
                methods.entry(name.clone()).or_insert_with(|| {
                    Arc::new(Method {
                        name,
                        index,
                        streaming: method.client_streaming() || method.server_streaming(),
                        takes_stream: method.client_streaming(),
                        repeatable: level != IdempotencyLevel::IdempotencyUnknown,
                    })
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unlisted_path_is_the_unknown_method() {
        let contract = Contract::from_descriptor_set(&[]).expect("an empty set decodes");
        assert_eq!(contract.method("/grpc.health.v1.Health/Check").name(), "grpc.health.v1.Health/Check");
        assert!(contract.method("/grpc.health.v1.Health/Watch").is_streaming());
        assert_eq!(contract.method("/grpc.health.v1.Health/Czech").name(), "unknown");
        assert_eq!(contract.method("*").name(), "unknown");
    }

    #[test]
    fn every_method_has_a_place_of_its_own() {
        let contract = Contract::from_descriptor_set(&[]).expect("an empty set decodes");
        let mut places: Vec<_> = contract.methods.values().map(|method| method.index()).collect();
        places.sort_unstable();
        assert_eq!(places, (1..contract.len()).collect::<Vec<_>>());
    }
}
