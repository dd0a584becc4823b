// Documents that break a rule each, signed all the same, and some that break none.

const OWNER = 1;
const BOB = 2;
const CAROL = 3;
const ROOM = "https://node.example/rooms/7";
const ROOT = `urn:zcap:root:${encodeURIComponent(ROOM)}`;
const NOW = "2026-11-25T22:00:00Z";

export function cases({ delegate, invoke, forge, keyOf }) {
  const nothing = () => {};
  // The owner's link to Bob, Bob's to Carol, and Carol's invocation. Each is changed before it is signed.
  async function chain({ room = nothing, seat = nothing, last = nothing, bySeat = BOB, byLast = CAROL } = {}) {
    const first = await delegate({
      parent: ROOT, to: BOB, target: ROOM, actions: ["redeem", "say", "leave"], expires: "2026-12-25T00:00:00Z",
      id: "urn:room", seed: OWNER, created: NOW,
    });
    room(first);
    const roomMade = await forge(first, OWNER);
    const second = {
      "@context": [...first["@context"]], id: "urn:seat", controller: (await keyOf(CAROL)).controller, parentCapability: roomMade.id,
      invocationTarget: `${ROOM}/seat`, expires: "2026-12-01T00:00:00Z", allowedAction: ["redeem", "say"],
      proof: {
        ...first.proof, verificationMethod: (await keyOf(bySeat)).id, capabilityChain: [ROOT, roomMade],
      },
    };
    seat(second);
    const seatMade = await forge(second, bySeat);
    const third = await invoke({
      capability: seatMade, target: seatMade.invocationTarget ?? ROOM, action: "say", args: ["hello"], id: "urn:invocation",
      seed: byLast, created: NOW, domain: "https://node.example",
    });
    last(third);
    return forge(third, byLast);
  }
  const of = (name, edits, more = {}) => ({ name, make: async () => JSON.stringify(await chain(edits)), ...more });
  const damaged = (name, damage) => ({
    name,
    make: async () => {
      const whole = await chain();
      damage(whole);
      return JSON.stringify(whole);
    },
  });
  const text = (name, change) => ({ name, make: async () => change(JSON.stringify(await chain())) });
  const seat = (name, edit) => of(name, { seat: edit });
  const room = (name, edit) => of(name, { room: edit });
  const last = (name, edit) => of(name, { last: edit });
  const target = (name, suffix) => seat(name, (link) => (link.invocationTarget = ROOM + suffix));
  const longChain = (name, length) => ({
    name,
    make: async () => {
      let parent = ROOT;
      for (let at = 1; at < length; at += 1) {
        const created = NOW, expires = "2026-12-01T00:00:00Z", actions = ["say"];
        parent = await delegate({ parent, to: at + 10, target: ROOM, actions, expires, id: `urn:${at}`, seed: at === 1 ? OWNER : at + 9, created });
      }
      const by = { seed: length + 9, created: NOW, domain: "https://node.example" };
      return JSON.stringify(await invoke({ capability: parent, target: ROOM, action: "say", id: "urn:i", ...by }));
    },
  });
  const deep = (depth) => (depth === 0 ? [] : [deep(depth - 1)]);

  return [
    of("nothing"),
    seat("one action as a text", (link) => (link.allowedAction = "say")),
    last("a target below that of the link", ({ proof }) => (proof.invocationTarget += "/left")),
    room("addresses", (link) => (link["capnode:endpoints"] = ["wss://node.example/cap"])),
    seat("known caveats", (link) => (link["capnode:caveats"] = [{ count: 3 }, { readOnly: true }])),
    seat("a child of the same moment", (link) => (link.expires = "2026-12-25T00:00:00Z")),
    last("arguments with every kind of number and text", (invocation) =>
      (invocation["capnode:args"] = [0.1, -0, 1e21, 1e-7, 5e-324, 2 ** 53, "é€😀\u2028\u007f\u0001", { "": null, é: 1, "€": 2, "😀": 3 }])),
    longChain("a chain of ten", 10),

    // What the package refuses.
    damaged("other arguments", (whole) => (whole["capnode:args"] = ["bye"])),
    damaged("another target after signing", ({ proof }) => (proof.capability.invocationTarget = ROOM)),
    damaged("a later end after signing", ({ proof }) => (proof.capability.expires = "2026-12-02T00:00:00Z")),
    damaged("an action more after signing", ({ proof }) => proof.capability.allowedAction.push("leave")),
    damaged("a signature of another document", ({ proof }) => (proof.proofValue = proof.capability.proof.proofValue)),
    damaged("no signature", ({ proof }) => delete proof.proofValue),
    damaged("no proof", (whole) => (whole.proof = {})),
    seat("an action that the parent has not", (link) => link.allowedAction.push("open")),
    seat("no actions below some", (link) => delete link.allowedAction),
    seat("an empty list of actions", (link) => (link.allowedAction = [])),
    of("an action that is not allowed", { last: ({ proof }) => (proof.capabilityAction = "leave") }, { action: "leave" }),
    target("a target beside", "0"),
    seat("a target elsewhere", (link) => (link.invocationTarget = "https://elsewhere.example/")),
    seat("a target above", (link) => (link.invocationTarget = "https://node.example/rooms")),
    last("an invocation of more than the link", ({ proof }) => (proof.invocationTarget = ROOM)),
    seat("an end after that of the parent", (link) => (link.expires = "2026-12-25T00:00:01Z")),
    of("an end long ago", { room: (link) => (link.expires = "2026-11-25T21:00:00Z"), seat: (link) => (link.expires = "2026-11-25T21:00:00Z") }),
    seat("no end", (link) => delete link.expires),
    seat("an end that is no time", (link) => (link.expires = "soon")),
    seat("a link that is older than its parent", ({ proof }) => (proof.created = "2026-11-25T21:59:59Z")),
    last("an invocation that is older than its link", ({ proof }) => (proof.created = "2026-11-25T21:00:00Z")),
    seat("no time", ({ proof }) => delete proof.created),
    of("a link by who has none", { bySeat: CAROL }),
    of("an invocation by who has none", { byLast: BOB }),
    of("an invocation by a stranger", { byLast: 4 }),
    room("a root of another", ({ proof }) => (proof.capabilityChain = ["urn:zcap:root:https%3A%2F%2Felsewhere.example"])),
    seat("no chain", ({ proof }) => delete proof.capabilityChain),
    seat("a chain without the parent", ({ proof }) => proof.capabilityChain.pop()),
    seat("a chain with more", ({ proof }) => proof.capabilityChain.splice(1, 0, "urn:more")),
    seat("a parent by its id", ({ proof }) => (proof.capabilityChain[1] = "urn:room")),
    seat("another parent's id", (link) => (link.parentCapability = "urn:other")),
    longChain("a chain of eleven", 11),
    seat("an id without a colon", (link) => (link.id = "seat")),
    seat("no id", (link) => delete link.id),
    seat("no controller", (link) => delete link.controller),
    seat("no target", (link) => delete link.invocationTarget),
    seat("another purpose", ({ proof }) => (proof.proofPurpose = "assertionMethod")),
    last("the purpose of a link", ({ proof }) => (proof.proofPurpose = "capabilityDelegation")),
    seat("another type of proof", ({ proof }) => (proof.type = "Ed25519Signature2020")),
    seat("another cryptosuite", ({ proof }) => (proof.cryptosuite = "eddsa-rdfc-2022")),
    seat("no context", (link) => delete link["@context"]),
    seat("contexts the other way round", (link) => (link["@context"].reverse(), (link.proof["@context"] = link["@context"]))),
    seat("another context in the proof", ({ proof }) => (proof["@context"] = ["https://w3id.org/zcap/v1", "urn:x"])),
    seat("a method of verification of nobody", ({ proof }) => (proof.verificationMethod = "did:key:z6MkX#z6MkX")),
    seat("a context inline", (link) => (link["@context"] = [...link["@context"], {}], link.proof["@context"] = link["@context"])),
    seat("a shorter context in the proof", ({ proof }) => (proof["@context"] = ["https://w3id.org/zcap/v1"])),
    seat("two links of one id", (link) => (link.id = "urn:room")),
    text("a lone surrogate after signing", (whole) => whole.replace("hello", "\\ud83d")),
    text("no JSON", (whole) => whole.slice(1)),

    // What it takes, and is refused here.
    seat("an empty chain", ({ proof }) => (proof.capabilityChain = [])),
    last("no domain", ({ proof }) => delete proof.domain),
    last("another domain", ({ proof }) => (proof.domain = "https://elsewhere.example")),
    of("an old invocation", {
      room: ({ proof }) => (proof.created = "2026-11-24T22:00:00Z"),
      seat: ({ proof }) => (proof.created = "2026-11-24T22:00:00Z"),
      last: ({ proof }) => (proof.created = "2026-11-25T21:54:59Z"),
    }),
    last("an invocation from the future", ({ proof }) => (proof.created = "2026-11-25T22:00:11Z")),
    of("a link from the future", { seat: ({ proof }) => (proof.created = "2026-11-25T22:05:01Z"), last: ({ proof }) => (proof.created = "2026-11-25T22:05:01Z") }),
    of("an end a moment ago", {
      room: ({ proof }) => (proof.created = "2026-11-25T21:50:00Z"),
      seat: (link) => (link.expires = "2026-11-25T21:58:00Z", link.proof.created = "2026-11-25T21:50:00Z"),
    }),
    seat("a link that ends before it begins", (link) => (link.proof.created = "2026-11-25T22:03:00Z", link.expires = "2026-11-25T22:02:00Z")),
    room("a link for a year", (link) => (link.expires = "2027-11-25T00:00:00Z")),
    seat("a time with an offset", (link) => (link.expires = "2026-12-01T00:00:00+01:00")),
    seat("a time without seconds", (link) => (link.expires = "2026-12-01T00:00Z")),
    of("a first link without actions", { room: (link) => delete link.allowedAction }),
    seat("a caveat", (link) => (link.caveat = [{ type: "ValidWhileTrue" }])),
    seat("an unknown caveat of ours", (link) => (link["capnode:caveats"] = [{ moon: "full" }])),
    seat("more than 256 names in caveats", (link) => (link["capnode:caveats"] = [{ methods: Array(257).fill("say") }])),
    seat("an unknown member", (link) => (link.note = "x")),
    seat("an unknown member of a proof", ({ proof }) => (proof.note = "x")),
    last("an unknown member of an invocation", (invocation) => (invocation.note = "x")),
    room("nine addresses", (link) => (link["capnode:endpoints"] = Array(9).fill("tcp://x"))),
    room("a property that a caveat above leaves out", (link) => (link["capnode:caveats"] = [{ methods: ["say"] }])),
    target("a dotted segment", "/../8"),
    target("an escaped dotted segment", "/%2e%2e/8"),
    target("an empty segment", "//seat"),
    target("a slash at the end", "/"),
    target("a backslash", "/\\seat"),
    target("a fragment", "/#seat"),
    target("a query", "?seat=1"),
    target("letters beyond ASCII", "/Sitz-für-zwei"),
    target("a needless escape", "/%41"),
    target("more than 32 segments", "/a".repeat(31)),
    seat("two holders", (link) => (link.controller = [link.controller, "did:key:z6MkX"])),
    seat("a holder by the method", (link) => (link.controller = `${link.controller}#${link.controller.slice(8)}`)),
    text("a key that is there twice", (whole) => whole.replace('{"', '{"id":"urn:x","')),
    { name: "a signed lone surrogate", make: async () => JSON.stringify(await chain({ last: (invocation) => (invocation["capnode:args"] = ["\ud83d"]) })) },
    { name: "too deep", make: async () => JSON.stringify(await chain({ last: (invocation) => (invocation["capnode:args"] = deep(32)) })) },
    { name: "too long", make: async () => JSON.stringify(await chain({ last: (invocation) => (invocation["capnode:args"] = ["a".repeat(1 << 16)]) })) },
  ];
}
