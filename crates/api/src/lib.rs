//! The contracts of `proto/`, compiled: message types, client and server stubs, the descriptor set, and the table of methods
//! with the access rule that each of them states. Nothing here is written by hand but the build script and this table's shape.

// Generated code follows its generator's style, not ours.
#![allow(clippy::all, rustdoc::all)]

pub mod access {
    pub mod v1 {
        tonic::include_proto!("guildhall.access.v1");
    }
}
pub mod authz {
    pub mod v1 {
        tonic::include_proto!("guildhall.authz.v1");
    }
}
pub mod event {
    pub mod v1 {
        tonic::include_proto!("guildhall.event.v1");
    }
}
pub mod gateway {
    pub mod v1 {
        tonic::include_proto!("guildhall.gateway.v1");
    }
}
pub mod member {
    pub mod v1 {
        tonic::include_proto!("guildhall.member.v1");
    }
}
pub mod org {
    pub mod v1 {
        tonic::include_proto!("guildhall.org.v1");
    }
}

/// Every contract as an encoded `google.protobuf.FileDescriptorSet`, option extensions included: what reflection serves.
pub static FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptor_set.bin"));

/// The same with the comments of the contracts: what a command's help and the gateway's OpenAPI document are written from.
pub static DOCUMENTED_FILE_DESCRIPTOR_SET: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/documented_descriptor_set.bin"));

/// Who a method is for: `guildhall.access.v1.Audience`, without the unspecified value that the build refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Audience {
    Anyone,
    Self_,
    Organization,
    Project,
    Operator,
    Workload,
}

/// How a method is reached over HTTP: `google.api.http`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Http {
    pub verb: &'static str,
    pub path: &'static str,
    pub body: &'static str,
}

/// One method of the contracts with the rule that it states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Method {
    /// `/package.Service/Method`, the path of the gRPC request.
    pub path: &'static str,
    pub service: &'static str,
    pub name: &'static str,
    pub input: &'static str,
    pub output: &'static str,
    pub audience: Audience,
    /// Empty unless the audience is [`Audience::Organization`].
    pub permission: &'static str,
    pub workloads: &'static [&'static str],
    /// False while the method answers UNIMPLEMENTED with the reason NOT_YET_SERVED.
    pub served: bool,
    /// The method has no side effects, so that it may be retried.
    pub read_only: bool,
    pub client_streaming: bool,
    pub server_streaming: bool,
    /// None only for workload methods, which the gateway never routes.
    pub http: Option<Http>,
    /// Its `additional_bindings`: further ways to the same method.
    pub also_http: &'static [Http],
}

/// A request as the access rules see it.
pub trait Addressed {
    /// The organization that the request names: its first field, where it has one.
    fn organization_id(&self) -> Option<&str>;
    /// Whom the rule's `self_field` names.
    fn self_id(&self) -> Option<&str>;
}

include!(concat!(env!("OUT_DIR"), "/methods.rs"));

/// The method at a gRPC path. Exact and case-sensitive: a path that is spelled in another way names no method.
pub fn method(path: &str) -> Option<&'static Method> {
    METHODS.binary_search_by(|method| method.path.cmp(path)).ok().map(|at| &METHODS[at])
}
