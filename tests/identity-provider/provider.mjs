// Runs oidc-provider on a free port of this machine, prints `{"issuer": ".."}`, and ends when its standard input does.
//
// Whatever somebody types in as their login is who they are. What is known of them, and what is done to the next ID token before it
// is handed out, is told by the test: PUT /test/accounts/<login> and PUT /test/next-token, with JSON.

import { createServer } from 'node:http';

import * as jose from 'jose';
import Provider from 'oidc-provider';

const accounts = new Map();
let next = null;

const keys = await jose.generateKeyPair('RS256', { extractable: true });
const jwk = { ...(await jose.exportJWK(keys.privateKey)), alg: 'RS256', use: 'sig', kid: 'one' };

const client = (client_id) => ({
  client_id,
  client_secret: `the secret of ${client_id}`,
  redirect_uris: ['https://app.example.test/callback', 'https://app.example.test/other', 'https://app.example.test/sso'],
  grant_types: ['authorization_code'],
  response_types: ['code'],
});

const server = createServer();
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const issuer = `http://127.0.0.1:${server.address().port}`;

const provider = new Provider(issuer, {
  clients: ['acme', 'globex', 'social', 'no email'].map(client),
  jwks: { keys: [jwk] },
  cookies: { keys: ['a test'] },
  claims: { email: ['email', 'email_verified'], profile: ['name'], groups: ['groups', 'employee'] },
  scopes: ['openid', 'email', 'profile', 'groups'],
  pkce: { required: () => true },
  ttl: { AccessToken: 600, IdToken: 600, Interaction: 600, Session: 600, Grant: 600 },
  async findAccount(_, id) {
    const claims = accounts.get(id);
    return claims && { accountId: id, claims: async () => ({ sub: id, ...claims }) };
  },
});

// A connection's own redirect URI has its id, which is known later than the clients are.
const { redirectUriAllowed } = provider.Client.prototype;
provider.Client.prototype.redirectUriAllowed = function allowed(uri) {
  return redirectUriAllowed.call(this, uri.replace(/^(https:\/\/app\.example\.test\/sso)\/connection_[0-9a-z]+$/, '$1'));
};

// What a provider that is not honest, or not careful, could hand out: other claims under a good signature, or another signature.
async function tampered(token, { claims, alg, secret, foreign }) {
  const payload = { ...jose.decodeJwt(token), ...claims };
  const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  if (alg === 'none') return `${encode({ alg })}.${encode(payload)}.`;
  if (alg === 'HS256') {
    return new jose.SignJWT(payload).setProtectedHeader({ alg }).sign(new TextEncoder().encode(secret));
  }
  const key = foreign ? (await jose.generateKeyPair('RS256')).privateKey : keys.privateKey;
  return new jose.SignJWT(payload).setProtectedHeader({ alg: 'RS256', kid: 'one' }).sign(key);
}

provider.use(async (ctx, go) => {
  await go();
  if (ctx.path === '/token' && ctx.body?.id_token && next) {
    const how = next;
    next = null;
    ctx.body.id_token = await tampered(ctx.body.id_token, how);
  }
  if (ctx.path === '/me' && ctx.body?.sub && next?.userinfo) {
    ctx.body = { ...ctx.body, ...next.userinfo };
    next = null;
  }
});

const serve = provider.callback();
server.on('request', async (request, response) => {
  const path = decodeURIComponent(request.url);
  if (!path.startsWith('/test/')) return serve(request, response);
  let body = '';
  for await (const chunk of request) body += chunk;
  if (path.startsWith('/test/accounts/')) accounts.set(path.slice('/test/accounts/'.length), JSON.parse(body));
  else next = JSON.parse(body);
  return response.writeHead(204, { connection: 'close' }).end();
});

process.stdin.on('end', () => process.exit(0)).resume();
console.log(JSON.stringify({ issuer }));
