//! Calls by name and JSON, as grpcurl makes them: the descriptors come from the server's reflection, or from the contracts.

use std::{collections::HashSet, fmt, sync::LazyLock, time::Duration};

use prost::Message as _;
use prost_reflect::{
    DescriptorPool, DynamicMessage, MessageDescriptor, MethodDescriptor, SerializeOptions,
    prost_types::FileDescriptorProto,
};
use serde_json::Value;
use tonic::{
    Code, Request, Status, Streaming,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    metadata::{AsciiMetadataKey, AsciiMetadataValue},
    transport::{Channel, Endpoint},
};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};
use tonic_types::StatusExt as _;

/// No call of a test takes longer.
/// Of a test that shares its cores with whatever else: nothing is measured by it.
const DEADLINE: Duration = Duration::from_secs(60);

static CONTRACTS: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(api::FILE_DESCRIPTOR_SET)
        .unwrap_or_else(|error| panic!("the contracts do not decode: {error}"))
});

/// A server, and what it is believed to serve.
#[derive(Clone, Debug)]
pub struct Client {
    channel: Channel,
    pool: DescriptorPool,
}

/// A refusal, taken apart.
#[derive(Clone)]
pub struct Refused {
    pub code: Code,
    pub message: String,
    /// `google.rpc.ErrorInfo.reason`, empty where there is no ErrorInfo.
    pub reason: String,
    pub domain: String,
    /// The fields that `google.rpc.BadRequest` names.
    pub fields: Vec<String>,
    pub retry_after: Option<Duration>,
    pub status: Status,
}

impl fmt::Debug for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {} ({}) {:?}", self.code, self.reason, self.message, self.fields)
    }
}

impl From<Status> for Refused {
    fn from(status: Status) -> Self {
        let details = status.get_error_details();
        let info = details.error_info();
        Self {
            code: status.code(),
            message: status.message().to_owned(),
            reason: info.map(|i| i.reason.clone()).unwrap_or_default(),
            domain: info.map(|i| i.domain.clone()).unwrap_or_default(),
            fields: details
                .bad_request()
                .map(|b| b.field_violations.iter().map(|v| v.field.clone()).collect())
                .unwrap_or_default(),
            retry_after: details.retry_info().and_then(|r| r.retry_delay),
            status,
        }
    }
}

impl Refused {
    /// Code, reason, message and details, but for what differs between any two calls: what a caller could tell two refusals by.
    pub fn bytes(&self) -> (Code, String, Vec<u8>) {
        (self.code, self.message.clone(), self.status.details().to_vec())
    }

    /// One of the ErrorInfo's metadata, empty where it is not there.
    pub fn said(&self, key: &str) -> String {
        let info = self.status.get_details_error_info();
        info.and_then(|info| info.metadata.get(key).cloned()).unwrap_or_default()
    }
}

/// Opens a connection when it is first used.
pub fn channel(address: impl fmt::Display) -> Channel {
    Endpoint::from_shared(format!("http://{address}"))
        .unwrap_or_else(|error| panic!("{address}: {error}"))
        .timeout(DEADLINE)
        .connect_lazy()
}

impl Client {
    /// Knows the contracts as they were compiled.
    pub fn of_the_contracts(address: impl fmt::Display) -> Self {
        Self::by(channel(address))
    }

    /// The same by a connection that is there.
    pub fn by(channel: Channel) -> Self {
        Self { channel, pool: CONTRACTS.clone() }
    }

    /// Knows only what the server's reflection tells of one service.
    pub async fn by_reflection(address: impl fmt::Display, service: &str) -> Result<Self, Status> {
        let channel = channel(address);
        let mut pool = DescriptorPool::new();
        let mut reflection = ServerReflectionClient::new(channel.clone());
        let mut files: Vec<FileDescriptorProto> = Vec::new();
        let mut wanted = vec![MessageRequest::FileContainingSymbol(service.to_owned())];
        let mut seen = HashSet::new();
        while let Some(question) = wanted.pop() {
            let request = ServerReflectionRequest { host: String::new(), message_request: Some(question) };
            let mut answers = reflection.server_reflection_info(tokio_stream::once(request)).await?.into_inner();
            let answer = answers.message().await?.and_then(|a| a.message_response);
            match answer {
                Some(MessageResponse::FileDescriptorResponse(found)) => {
                    for bytes in found.file_descriptor_proto {
                        let file = FileDescriptorProto::decode(bytes.as_slice())
                            .map_err(|error| Status::internal(format!("reflection sent no descriptor: {error}")))?;
                        if seen.insert(file.name().to_owned()) {
                            wanted.extend(file.dependency.iter().cloned().map(MessageRequest::FileByFilename));
                            files.push(file);
                        }
                    }
                    wanted.retain(|q| !matches!(q, MessageRequest::FileByFilename(name) if seen.contains(name)));
                }
                Some(MessageResponse::ErrorResponse(error)) => {
                    return Err(Status::not_found(error.error_message));
                }
                _ => return Err(Status::internal("reflection gave no answer")),
            }
        }
        pool.add_file_descriptor_protos(files).map_err(|error| Status::internal(error.to_string()))?;
        Ok(Self { channel, pool })
    }

    /// The method by its full name, or by `Service/Method` where one service alone is called so.
    pub fn method(&self, name: &str) -> Option<MethodDescriptor> {
        let (service, method) = name.split_once('/')?;
        let service = self
            .pool
            .services()
            .find(|s| {
                s.full_name() == service || s.full_name().strip_prefix("guildhall.").is_some_and(|n| n == service)
            })
            .or_else(|| self.pool.services().find(|s| s.name() == service))?;
        service.methods().find(|m| m.name() == method)
    }

    /// All messages that a method answers with (one for a unary method), or its refusal. `headers` are sent as they are.
    pub async fn call(
        &self,
        name: &str,
        headers: &[(String, String)],
        body: Value,
    ) -> Result<Vec<DynamicMessage>, Refused> {
        self.call_all(name, headers, vec![body]).await
    }

    /// The same with a stream of requests.
    pub async fn call_all(
        &self,
        name: &str,
        headers: &[(String, String)],
        bodies: Vec<Value>,
    ) -> Result<Vec<DynamicMessage>, Refused> {
        Ok(all(self.open(name, headers, bodies).await?).await?)
    }

    /// That it is let in, from the head of its answer: what a stream without an end can be asked.
    pub async fn begin(&self, name: &str, headers: &[(String, String)], body: Value) -> Result<(), Refused> {
        self.open(name, headers, vec![body]).await.map(drop)
    }

    async fn open(
        &self,
        name: &str,
        headers: &[(String, String)],
        bodies: Vec<Value>,
    ) -> Result<Streaming<DynamicMessage>, Refused> {
        let method = self.method(name).ok_or_else(|| Status::unimplemented(format!("no method {name} is known")))?;
        let message = |body| {
            DynamicMessage::deserialize(method.input(), body).map_err(|error| {
                Status::invalid_argument(format!("the request is no {}: {error}", method.input().full_name()))
            })
        };
        let messages = bodies.into_iter().map(message).collect::<Result<Vec<_>, _>>()?;
        self.open_with(&method, headers, messages).await
    }

    /// The same for a message that is built already.
    pub async fn send(
        &self,
        method: &MethodDescriptor,
        headers: &[(String, String)],
        message: DynamicMessage,
    ) -> Result<Vec<DynamicMessage>, Refused> {
        self.send_all(method, headers, vec![message]).await
    }

    /// The same for a method that takes a stream.
    pub async fn send_all(
        &self,
        method: &MethodDescriptor,
        headers: &[(String, String)],
        messages: Vec<DynamicMessage>,
    ) -> Result<Vec<DynamicMessage>, Refused> {
        Ok(all(self.open_with(method, headers, messages).await?).await?)
    }

    async fn open_with(
        &self,
        method: &MethodDescriptor,
        headers: &[(String, String)],
        messages: Vec<DynamicMessage>,
    ) -> Result<Streaming<DynamicMessage>, Refused> {
        let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
        let mut request = Request::new(tokio_stream::iter(messages));
        request.set_timeout(DEADLINE);
        for (name, value) in headers {
            let name: AsciiMetadataKey = name.parse().unwrap_or_else(|_| panic!("{name} is no header name"));
            let value: AsciiMetadataValue = value.parse().unwrap_or_else(|_| panic!("{value:?} is no header value"));
            request.metadata_mut().append(name, value);
        }
        let mut grpc = Grpc::new(self.channel.clone()).max_decoding_message_size(64 << 20);
        grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let path = path.parse().unwrap_or_else(|_| panic!("{path} is no path"));
        Ok(grpc.streaming(request, path, Dynamic(method.output())).await?.into_inner())
    }
}

async fn all(mut answers: Streaming<DynamicMessage>) -> Result<Vec<DynamicMessage>, Status> {
    let mut messages = Vec::new();
    while let Some(message) = answers.message().await? {
        messages.push(message);
    }
    Ok(messages)
}

/// As JSON with the names of the contract (`organization_id`), every field present.
pub fn to_json(message: &DynamicMessage) -> Value {
    let options = SerializeOptions::new().use_proto_field_name(true).skip_default_fields(false);
    message
        .serialize_with_options(serde_json::value::Serializer, &options)
        .unwrap_or_else(|error| panic!("no JSON: {error}"))
}

#[derive(Clone)]
struct Dynamic(MessageDescriptor);

impl Codec for Dynamic {
    type Encode = DynamicMessage;
    type Decode = DynamicMessage;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        self.clone()
    }

    fn decoder(&mut self) -> Self {
        self.clone()
    }
}

impl Encoder for Dynamic {
    type Item = DynamicMessage;
    type Error = Status;

    fn encode(&mut self, item: DynamicMessage, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.encode(buffer).map_err(|error| Status::internal(error.to_string()))
    }
}

impl Decoder for Dynamic {
    type Item = DynamicMessage;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<DynamicMessage>, Status> {
        DynamicMessage::decode(self.0.clone(), buffer).map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}
