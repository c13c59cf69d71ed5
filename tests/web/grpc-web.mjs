// Calls by gRPC-Web, as a page makes them, of whatever standard input says: a JSON list of
// {method, token, project, request}. Prints what each came to: {messages, code, reason, requestId}.
//
//   node grpc-web.mjs http://gateway descriptor-set < calls.json

import { readFileSync } from "node:fs";
import { createFileRegistry, fromBinary, fromJson, toJson } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";

const [, , baseUrl, descriptors] = process.argv;
const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, readFileSync(descriptors)));
const transport = createGrpcWebTransport({ baseUrl });

// google.rpc.ErrorInfo.reason, which is its first field.
function reason(error) {
  const info = error.details.find((detail) => detail.type === "google.rpc.ErrorInfo");
  return info ? new TextDecoder().decode(info.value.slice(2, 2 + info.value[1])) : "";
}

async function call({ method: name, token, project, request }) {
  const [typeName, method] = name.split("/");
  const service = registry.getService(typeName);
  const { localName, input, output, methodKind } = service.methods.find((found) => found.name === method);
  const headers = { ...(token && { authorization: `Bearer ${token}` }), ...(project && { "guildhall-project-id": project }) };
  let requestId = "";
  const options = { headers, timeoutMs: 20000, onHeader: (found) => (requestId = found.get("x-request-id") ?? "") };
  const message = fromJson(input, request);
  const messages = [];
  try {
    const answer = createClient(service, transport)[localName](message, options);
    for await (const one of methodKind === "server_streaming" ? answer : [await answer]) {
      messages.push(toJson(output, one, { alwaysEmitImplicit: true, useProtoFieldName: true, registry }));
    }
    return { messages, code: 0, reason: "", requestId };
  } catch (failure) {
    const error = ConnectError.from(failure);
    requestId ||= error.metadata.get("x-request-id") ?? "";
    return { messages, code: error.code, name: Code[error.code], reason: reason(error), message: error.rawMessage, requestId };
  }
}

const outcomes = [];
for (const one of JSON.parse(readFileSync(0, "utf8"))) {
  outcomes.push(await call(one));
}
console.log(JSON.stringify(outcomes));
