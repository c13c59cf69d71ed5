//! Calls of methods that are known by their descriptors alone.

use std::time::Duration;

use client::Connection;
use prost::Message as _;
use prost_reflect::{DynamicMessage, MessageDescriptor, MethodDescriptor};
use tokio_stream::Stream;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue};
use tonic::{Request, Status, Streaming, client::Grpc};

/// Answers may be as long as servers make them: a page is at most 500 resources.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// A gateway, and what every call to it carries.
#[derive(Clone)]
pub struct Wire {
    connection: Connection,
    timeout: Duration,
    headers: Vec<(AsciiMetadataKey, AsciiMetadataValue)>,
}

impl Wire {
    pub fn new(
        connection: Connection,
        timeout: Duration,
        headers: Vec<(AsciiMetadataKey, AsciiMetadataValue)>,
    ) -> Self {
        Self { connection, timeout, headers }
    }

    /// One message there and one back.
    pub async fn unary(&self, method: &MethodDescriptor, message: DynamicMessage) -> Result<DynamicMessage, Status> {
        self.send(method, tokio_stream::once(message)).await
    }

    /// A stream there and one message back.
    pub async fn send(
        &self,
        method: &MethodDescriptor,
        messages: impl Stream<Item = DynamicMessage> + Send + 'static,
    ) -> Result<DynamicMessage, Status> {
        let mut answers = self.streaming(method, messages).await?;
        let answer = answers.message().await?.ok_or_else(|| Status::internal("the answer holds no message"))?;
        // The status stands behind the message.
        answers.message().await?;
        Ok(answer)
    }

    /// As many messages as either side has.
    pub async fn streaming(
        &self,
        method: &MethodDescriptor,
        messages: impl Stream<Item = DynamicMessage> + Send + 'static,
    ) -> Result<Streaming<DynamicMessage>, Status> {
        let path = super::path(method);
        let path = path.parse().map_err(|_| Status::internal(format!("{path} is no path")))?;
        let mut request = Request::new(messages);
        request.set_timeout(self.timeout);
        for (name, value) in &self.headers {
            request.metadata_mut().insert(name.clone(), value.clone());
        }
        let mut grpc = Grpc::new(self.connection.clone()).max_decoding_message_size(MAX_ANSWER_BYTES);
        grpc.ready().await?;
        Ok(grpc.streaming(request, path, Dynamic(method.output())).await?.into_inner())
    }
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
