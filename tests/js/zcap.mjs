// npm's zcap: makes and verifies signed documents. The argument is a file with a list of requests in JSON; the answers are printed,
// one line each.

import { readFileSync } from "node:fs";
import { DataIntegrityProof } from "@digitalbazaar/data-integrity";
import * as didKey from "@digitalbazaar/did-method-key";
import * as Ed25519Multikey from "@digitalbazaar/ed25519-multikey";
import { createSignCryptosuite, createVerifyCryptosuite } from "@digitalbazaar/eddsa-jcs-2022-cryptosuite";
import { securityLoader } from "@digitalbazaar/security-document-loader";
import { CapabilityDelegation, CapabilityInvocation, createRootCapability } from "@digitalbazaar/zcap";
import canonicalize from "canonicalize";
import jsigs from "jsonld-signatures";
import { WebSocket } from "ws";

import { newWebSocketRpcSession } from "./capnweb.mjs";
import { cases } from "./zcap_cases.mjs";

globalThis.WebSocket = WebSocket; // Node 20 has none of its own

const CONTEXT = ["https://w3id.org/zcap/v1", "https://w3id.org/security/data-integrity/v2"];

const driver = didKey.driver();
driver.use({ multibaseMultikeyHeader: "z6Mk", fromMultibase: Ed25519Multikey.from });
const loader = securityLoader();
loader.protocolHandlers.set("did", { get: ({ url }) => driver.get({ url }) });
const documents = loader.build();

// The key of a seed of equal bytes.
async function keyOf(seed) {
  const key = await Ed25519Multikey.generate({ seed: new Uint8Array(32).fill(seed) });
  key.controller = `did:key:${key.publicKeyMultibase}`;
  key.id = `${key.controller}#${key.publicKeyMultibase}`;
  return key;
}

async function sign(document, { seed, created, domain, challenge }, purpose) {
  const key = await keyOf(seed);
  const suite = new DataIntegrityProof({ signer: key.signer(), date: created, cryptosuite: createSignCryptosuite() });
  suite.proof = domain === undefined ? undefined : JSON.parse(JSON.stringify({ domain, challenge }));
  // As it is on the wire: nothing in it is shared.
  return JSON.parse(JSON.stringify(await jsigs.sign(document, { suite, purpose, documentLoader: documents })));
}

async function delegate({ parent, to, target, actions, expires, id, ...by }) {
  const document = {
    "@context": CONTEXT,
    id,
    controller: (await keyOf(to)).controller,
    parentCapability: typeof parent === "string" ? parent : parent.id,
    invocationTarget: target,
    expires,
    allowedAction: actions,
  };
  return sign(document, by, new CapabilityDelegation({ parentCapability: parent }));
}

async function invoke({ capability, target, action, args, id, ...by }) {
  const document = { "@context": CONTEXT, id };
  if (args !== undefined) {
    document["capnode:args"] = args;
  }
  return sign(document, by, new CapabilityInvocation({ capability, capabilityAction: action, invocationTarget: target }));
}

// Redeems a capability at a gatekeeper over npm's capnweb, and returns what a method says, and the message of another that is
// refused.
async function redeem({ url, capability, seed, domain, method, refused }) {
  const gatekeeper = newWebSocketRpcSession(url);
  const { nonce } = await gatekeeper.challenge(crypto.randomUUID());
  const by = { seed, domain, challenge: nonce, created: new Date().toISOString() };
  const invocation = { capability, target: capability.invocationTarget, action: "redeem", id: `urn:uuid:${crypto.randomUUID()}` };
  const object = gatekeeper.redeem(JSON.stringify(await invoke({ ...invocation, ...by })));
  const said = await object[method]();
  const message = await object[refused]().then(() => null, (error) => error.message);
  gatekeeper[Symbol.dispose]();
  return { said, refused: message };
}

// Returns null if the package takes an invocation, or the messages of its errors.
async function verify({ invocation, owner, root, target, action, date }) {
  const ofRoot = createRootCapability({ controller: (await keyOf(owner)).controller, invocationTarget: root });
  const documentLoader = async (url) => (url === ofRoot.id ? { documentUrl: url, document: ofRoot } : documents(url));
  const suite = new DataIntegrityProof({ cryptosuite: createVerifyCryptosuite() });
  const purpose = new CapabilityInvocation({
    allowTargetAttenuation: true,
    date,
    expectedAction: action,
    expectedRootCapability: ofRoot.id,
    expectedTarget: target,
    suite,
  });
  const { verified, error } = await jsigs.verify(structuredClone(invocation), { suite, purpose, documentLoader });
  const all = [error].flat().flatMap((each) => each?.errors ?? [each]);
  return verified ? null : all.map((each) => each?.message ?? "no reason").join("; ");
}

// Signs what the package would not make: all but the value of the proof is there.
async function forge(document, seed) {
  const { proof, ...rest } = document;
  const { proofValue, ...options } = proof;
  const hash = async (value) => new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(canonicalize(value))));
  const data = new Uint8Array([...(await hash(options)), ...(await hash(rest))]);
  const signature = await (await keyOf(seed)).signer().sign({ data });
  // The package writes base58 for us.
  const { proof: written } = await jsigs.sign({ "@context": CONTEXT, id: "urn:x" }, {
    suite: new DataIntegrityProof({
      signer: { ...(await keyOf(seed)).signer(), sign: async () => signature },
      cryptosuite: createSignCryptosuite(),
    }),
    purpose: new CapabilityInvocation({ capability: "urn:x", capabilityAction: "x", invocationTarget: "urn:x" }),
    documentLoader: documents,
  });
  return { ...rest, proof: { ...options, proofValue: written.proofValue } };
}

// Makes each case, and says whether the package takes it.
async function* judged() {
  const made = { sign, delegate, invoke, forge, keyOf };
  for (const { name, make, target, action } of cases(made)) {
    const text = await make();
    let refused;
    try {
      const request = { owner: 1, root: "https://node.example/rooms/7", date: "2026-11-25T22:00:00Z" };
      const invocation = JSON.parse(text);
      refused = await verify({ ...request, invocation, target: target ?? invocation.proof.invocationTarget, action: action ?? "say" });
    } catch (error) {
      refused = error.message;
    }
    yield { name, text, refused };
  }
}

const numbers = (bits) => {
  const view = new DataView(new ArrayBuffer(8));
  return bits.map((each) => {
    view.setBigUint64(0, BigInt(each));
    return canonicalize(view.getFloat64(0));
  });
};

const say = (answer) => console.log(JSON.stringify(answer));
for (const { what, ...request } of JSON.parse(readFileSync(process.argv[2], "utf8"))) {
  if (what === "cases") {
    for await (const each of judged()) {
      say(each);
    }
  } else if (what === "numbers") {
    say(numbers(request.bits));
  } else {
    say(await { delegate, invoke, redeem, verify }[what](request));
  }
}
