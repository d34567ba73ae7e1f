// An OpenID Connect issuer for tests: oidc-provider, in memory, on 127.0.0.1, with keys that can
// be rotated while it serves. It gives JWT access tokens by the client_credentials grant.
//
// Settings, all of them environment variables:
//   PORT      the port; 0, which is the default, takes a free one
//   CLIENTS   `id:secret` of each client, separated by commas; default `svc:secret`
//   AUDIENCE  the resource of a token for which none is asked; default `urn:api`
//   SCOPE     the scopes there are, separated by spaces; default `read write`
//   TTL       how long a token lives, in seconds; default 60
//   ALG       how tokens are signed: RS256 (the default), ES256 or EdDSA
//   CERT, KEY PEM files, both or none; with them it speaks HTTPS
//
// When it serves it prints one line, `listening <issuer>`, where the issuer is a URL such as
// `http://127.0.0.1:41234`. There one finds
//   GET  /.well-known/openid-configuration
//   GET  /jwks
//   POST /token        basic authentication; the form `grant_type=client_credentials&scope=read`,
//                      perhaps with `&resource=urn:other`, which becomes the token's audience
//   POST /test/rotate  makes a new key that signs from now on, and answers `{"kid": …}`. Keys
//                      before it stay published; `/test/rotate?forget` takes them away.
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import Provider from 'oidc-provider';

// Whether the program and its dependencies can be loaded at all is what `--help` proves.
if (process.argv.includes('--help')) {
  console.log('see the comment at the top of server.js for the environment variables');
  process.exit();
}

const env = (name, fallback) => process.env[name] || fallback;
const alg = env('ALG', 'RS256');
const scope = env('SCOPE', 'read write');
const ttl = Number(env('TTL', '60'));
const clients = env('CLIENTS', 'svc:secret').split(',').map((client) => {
  const [id, secret] = client.split(':');
  return {
    client_id: id,
    client_secret: secret,
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
    id_token_signed_response_alg: alg,
  };
});
const kinds = {
  RS256: ['rsa', { modulusLength: 2048 }],
  ES256: ['ec', { namedCurve: 'P-256' }],
  EdDSA: ['ed25519'],
};

let keys = [];
let handle;

// A provider signs with the first key that fits and takes its keys only at its start, so each
// rotation makes a new one.
function rotate(issuer, forget) {
  const { privateKey } = generateKeyPairSync(...kinds[alg]);
  const key = { ...privateKey.export({ format: 'jwk' }), kid: randomUUID(), alg, use: 'sig' };
  keys = forget ? [key] : [key, ...keys];
  const provider = new Provider(issuer, {
    clients,
    jwks: { keys },
    enabledJWA: { idTokenSigningAlgValues: [alg] },
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => env('AUDIENCE', 'urn:api'),
        useGrantedResource: () => true,
        getResourceServerInfo: (_, resource) => ({
          scope,
          audience: resource,
          accessTokenTTL: ttl,
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg } },
        }),
      },
    },
  });
  handle = provider.callback();
  return key.kid;
}

const pem = (name) => process.env[name] && readFileSync(process.env[name]);
const tls = { cert: pem('CERT'), key: pem('KEY') };
let issuer;
const serve = (request, response) => {
  const url = new URL(request.url, issuer);
  if (request.method !== 'POST' || url.pathname !== '/test/rotate') {
    return handle(request, response);
  }
  const kid = rotate(issuer, url.searchParams.has('forget'));
  return response.setHeader('content-type', 'application/json').end(JSON.stringify({ kid }));
};
const server = tls.cert ? https.createServer(tls, serve) : http.createServer(serve);
server.listen(Number(env('PORT', '0')), '127.0.0.1', () => {
  issuer = `${tls.cert ? 'https' : 'http'}://127.0.0.1:${server.address().port}`;
  rotate(issuer, true);
  console.log(`listening ${issuer}`);
});
