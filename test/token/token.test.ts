/** Structure, keys, claims: each rule of CAPS.md on its own. */
import cose from "cose-js";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CAP_WATTS_MAX, TOKEN_BYTES_MAX } from "../../src/constants.js";
import { checkClaims, type Claims } from "../../src/token/claims.js";
import { decodeToken, signedBytes, type DecodedToken } from "../../src/token/decode.js";
import { checkKey, decodeKeySet, keyOfEntry, trustedKeys } from "../../src/token/keys.js";
import { tokenFromText } from "../../src/token/text.js";
import { tightenOnly, TIGHTENED_EVENTS_MAX } from "../../src/token/tighten.js";
import type { CapEvent } from "../../src/token/cap.js";
import { CAP_CONTEXT, cbor, encodeClaims, encodeKeySet, sign1, toTextField, type OperatorEvent } from "../../tools/operator/encode.js";
import { publicEntry } from "../../tools/operator/files.js";
import { makeEvent, makeToken, TEST_EAN, TEST_NOW, testKey, trusted } from "../helpers/token.js";
import { verifyP256Sync } from "../../hal/node/crypto.js";

const runs = (count: number) => ({ numRuns: count * Number(process.env["VANGNET_RUNS"] ?? 1) });
const key = testKey();
const point = trusted(key).point;
const AUD = `ean:${TEST_EAN}`;

function decoded(bytes: Uint8Array): DecodedToken {
  const result = decodeToken(bytes);
  if (!result.ok) throw new Error(`${result.rule}: ${result.detail}`);
  return result.token;
}
const refusal = (bytes: Uint8Array) => {
  const result = decodeToken(bytes);
  return result.ok ? "accepted" : `${result.rule}: ${result.detail}`;
};
const isSigned = (bytes: Uint8Array) => { const token = decoded(bytes); return verifyP256Sync(point, signedBytes(token), token.message.signature); };

/** Claims as a map, to be spoilt one by one. */
const claims = (change: Partial<Record<number, unknown>> = {}) => {
  const all: Record<number, unknown> = { 3: AUD, 4: TEST_NOW + 900, 6: TEST_NOW, [-65537]: 7, [-65538]: [], ...change };
  return new Map<number, unknown>([3, 4, 6, -65537, -65538, 99].filter((k) => all[k] !== undefined).map((k) => [k, all[k]]));
};
const spoilt = (change: Partial<Record<number, unknown>>) => sign1(cbor(claims(change)), key, CAP_CONTEXT);
const withEvent = (...entries: unknown[]) => spoilt({ [-65538]: [entries] });
const id = Buffer.from("0a0b0c0d", "hex");

const eventArbitrary: fc.Arbitrary<OperatorEvent> = fc.record({
  id: fc.uint8Array({ minLength: 4, maxLength: 8 }).map((bytes) => Buffer.from(bytes).toString("hex")),
  start: fc.nat(0xffff_ffff), duration: fc.integer({ min: 1, max: 0xffff_ffff }),
  importLimit: fc.option(fc.nat(CAP_WATTS_MAX)), exportLimit: fc.option(fc.nat(CAP_WATTS_MAX)),
  emergency: fc.boolean(), controllable: fc.boolean(), release: fc.option(fc.nat(86_400)),
});

describe("agreement with the operator's encoder (cbor-x, node:crypto)", () => {
  test("every field comes out as it went in, and the signature is over the same bytes", () => {
    fc.assert(fc.property(
      fc.uniqueArray(eventArbitrary, { maxLength: 16, selector: (event) => event.id }), fc.maxSafeInteger().map(Math.abs), fc.constantFrom(AUD, "all", "msr:T-1.a"),
      (events, seq, aud) => {
        const bytes = makeToken({ events, seq, aud });
        fc.pre(bytes.length <= TOKEN_BYTES_MAX);
        const token = decoded(bytes);
        expect({ aud: token.aud, seq: token.seq, iat: token.iat, exp: token.exp, events: token.events, kid: token.kid })
          .toEqual({ aud, seq, iat: TEST_NOW, exp: TEST_NOW + 900, events, kid: key.kid });
        expect(isSigned(bytes)).toBe(true);
        expect(tokenFromText(toTextField(bytes).text)).toEqual({ ok: true, bytes });
      }), runs(150));
  });

  test("alg -9 (ESP256) is the same as -7", () => expect(isSigned(sign1(encodeClaims({ aud: AUD, seq: 1, iat: 1, exp: 2, events: [] }), key, CAP_CONTEXT, -9))).toBe(true));
  test("an empty list means no cap, and is a token", () => expect(decoded(makeToken({ events: [] })).events).toEqual([]));
});

describe("tokens of an independent COSE library (cose-js: cbor, elliptic)", () => {
  const d = Buffer.from(key.privateKey.export({ format: "jwk" }).d!, "base64url");
  const make = (payload: Uint8Array, externalAAD = Buffer.from(CAP_CONTEXT)): Promise<Buffer> =>
    cose.sign.create({ p: { alg: "ES256", kid: Buffer.from(key.kid, "hex") }, u: {} }, Buffer.from(payload), { key: { d }, externalAAD });

  test("are read, and verify", async () => {
    for (let seq = 1; seq <= 20; seq++) {
      const bytes = new Uint8Array(await make(encodeClaims({ aud: AUD, seq, iat: TEST_NOW, exp: TEST_NOW + 60, events: [makeEvent({ importLimit: seq })] })));
      expect(decoded(bytes).events[0]!.importLimit).toBe(seq);
      expect(isSigned(bytes)).toBe(true);
    }
  });
  test("signed for something else (no external data) do not verify", async () => {
    expect(isSigned(new Uint8Array(await make(encodeClaims({ aud: AUD, seq: 1, iat: 1, exp: 2, events: [] }), Buffer.alloc(0))))).toBe(false);
  });
  test("the library verifies ours", async () => {
    const verifier = { key: { x: Buffer.from(key.x, "hex"), y: Buffer.from(key.y, "hex") }, externalAAD: Buffer.from(CAP_CONTEXT) };
    await expect(cose.sign.verify(Buffer.from(makeToken()), verifier)).resolves.toBeTruthy();
    const wrong = Buffer.from(makeToken());
    wrong[wrong.length - 1]! ^= 1;
    await expect(cose.sign.verify(wrong, verifier)).rejects.toThrow();
  });
});

describe("rule size", () => {
  const longest = Array.from({ length: 16 }, (_, i) => makeEvent({
    id: String(i).padStart(16, "0"), start: 0xffff_ffff, duration: 0xffff_ffff, importLimit: CAP_WATTS_MAX, exportLimit: CAP_WATTS_MAX,
    emergency: true, controllable: true, release: 86_400 }));

  test("16 events with every field at its longest fit in 720 bytes for a connection", () => {
    const bytes = makeToken({ events: longest, seq: Number.MAX_SAFE_INTEGER });
    expect(bytes.length).toBeLessThanOrEqual(TOKEN_BYTES_MAX);
    expect(decoded(bytes).events).toEqual(longest);
  });
  test("720 bytes and 964 characters are accepted, 721 bytes are not", () => {
    const bySize = new Map<number, Uint8Array>();
    for (let n = 1; n <= 60; n++) {
      const bytes = makeToken({ aud: `msr:${"x".repeat(n)}`, events: longest });
      bySize.set(bytes.length, bytes);
    }
    const fits = bySize.get(720)!;
    expect(decoded(fits).events.length).toBe(16);
    const { text } = toTextField(fits);
    expect(text.length).toBe(964);
    expect(tokenFromText(text)).toEqual({ ok: true, bytes: fits });
    expect(refusal(bySize.get(721)!)).toBe("size: 721 bytes, at most 720");
    expect(tokenFromText(toTextField(bySize.get(721)!).text)).toMatchObject({ ok: false, rule: "size" });
  });
  test("no bytes at all", () => expect(refusal(new Uint8Array(0))).toBe("size: empty"));
});

describe("rule structure", () => {
  test.each<[string, Uint8Array, RegExp]>([
    ["17 events", spoilt({ [-65538]: Array.from({ length: 17 }, (_, i) => [Buffer.from([1, 2, 3, i]), 1, 1, 0, null, 0]) }), /more than 16 events/],
    ["PEERS: negative limit accepted (evcc#25545)", withEvent(id, 1, 60, -1, null, 0), /import limit of event 0a0b0c0d: negative/],
    ["a negative export limit", withEvent(id, 1, 60, null, -4200, 0), /export limit of event 0a0b0c0d: negative/],
    ["a limit with a fraction", withEvent(id, 1, 60, 4200.5, null, 0), /payload: float/],
    ["a limit of 2^31", withEvent(id, 1, 60, 2 ** 31, null, 0), /import limit of event 0a0b0c0d: out of range/],
    ["a limit that is a text", withEvent(id, 1, 60, "4200", null, 0), /import limit of event 0a0b0c0d: wrong type/],
    ["a limit that is undefined", withEvent(id, 1, 60, undefined, null, 0), /payload: simple value/],
    ["a limit that is false", withEvent(id, 1, 60, false, null, 0), /import limit of event 0a0b0c0d: wrong type/],
    ["a duration of 0", withEvent(id, 1, 0, 4200, null, 0), /lasts 0 s/],
    ["an unknown flag", withEvent(id, 1, 60, 4200, null, 4), /flags of event 0a0b0c0d: out of range/],
    ["a release of more than a day", withEvent(id, 1, 60, 4200, null, 0, 86_401), /release of event 0a0b0c0d: out of range/],
    ["a release of null", withEvent(id, 1, 60, 4200, null, 0, null), /release of event 0a0b0c0d: wrong type/],
    ["an eighth entry", withEvent(id, 1, 60, 4200, null, 0, 60, 1), /event: wrong length/],
    ["five entries", withEvent(id, 1, 60, 4200, null), /event: wrong length/],
    ["an id of 3 bytes", withEvent(Buffer.alloc(3), 1, 60, 4200, null, 0), /event: wrong length/],
    ["an id of 9 bytes", withEvent(Buffer.alloc(9), 1, 60, 4200, null, 0), /event: wrong length/],
    ["an id twice", spoilt({ [-65538]: [[id, 1, 60, 4200, null, 0], [id, 9, 60, 4200, null, 0]] }), /event 0a0b0c0d stands there twice/],
    ["a claim too many", spoilt({ 99: 1 }), /keys not sorted/],
    ["a known claim instead of another", sign1(cbor(new Map<number, unknown>([[2, "x"], [3, AUD], [4, 9], [6, 8], [-65537, 1]])), key, CAP_CONTEXT), /claims: unknown or missing key/],
    ["a claim missing", spoilt({ 6: undefined }), /claims: unknown or missing key/],
    ["a negative sequence", spoilt({ [-65537]: -1 }), /claims: negative/],
    ["a sequence of 2^53", spoilt({ [-65537]: 2n ** 53n }), /payload: integer beyond 2\^53/],
    ["an exp in milliseconds", spoilt({ 4: BigInt(TEST_NOW) * 1000n }), /claims: out of range/],
    ["an audience that is bytes", spoilt({ 3: Buffer.from(AUD) }), /claims: wrong type/],
    ["an audience of 65 characters", spoilt({ 3: "x".repeat(65) }), /claims: wrong length/],
    ["no map", sign1(cbor([]), key, CAP_CONTEXT), /claims: wrong type/],
    ["deep nesting", sign1(Buffer.concat([Buffer.alloc(600, 0x81), Buffer.from([0])]), key, CAP_CONTEXT), /payload: too deep/],
    ["an indefinite list of events", sign1(Buffer.concat([Buffer.from(cbor(claims())).subarray(0, -1), Buffer.from([0x9f, 0xff])]), key, CAP_CONTEXT), /payload: indefinite length/],
    ["a byte after the claims", sign1(Buffer.concat([cbor(claims()), Buffer.from([0])]), key, CAP_CONTEXT), /payload: trailing bytes/],
    ["a byte after the token", Buffer.concat([makeToken(), Buffer.from([0])]), /COSE_Sign1: trailing bytes/],
    ["an unknown algorithm (ES384)", sign1(cbor(claims()), key, CAP_CONTEXT, -35), /protected header: out of range/],
    ["an HMAC algorithm (5)", sign1(cbor(claims()), key, CAP_CONTEXT, 5), /protected header: out of range/],
    ["no tag", makeToken().subarray(1), /COSE_Sign1 tag: tag/],
    ["the tag of COSE_Sign (98)", Buffer.concat([Buffer.from([0xd8, 98]), makeToken().subarray(1)]), /COSE_Sign1 tag: tag/],
  ])("%s", (_name, bytes, expected) => {
    const result = decodeToken(new Uint8Array(bytes));
    expect(result).toMatchObject({ ok: false, rule: "structure" });
    expect(refusal(new Uint8Array(bytes))).toMatch(expected);
  });

  test("claims 3 and 4 the wrong way round, and one of them twice", () => {
    const wrong = (entries: [number, unknown][]) => sign1(Buffer.concat([Buffer.from([0xa0 + entries.length]), ...entries.flatMap(([k, v]) => [cbor(k), cbor(v)])]), key, CAP_CONTEXT);
    expect(refusal(wrong([[4, 900], [3, AUD], [6, 0], [-65537, 1], [-65538, []]]))).toMatch(/payload: keys not sorted/);
    expect(refusal(wrong([[3, AUD], [4, 900], [4, 901], [6, 0], [-65537, 1]]))).toMatch(/payload: duplicate key/);
  });
  test("anything in the unprotected header, for nobody signed it", () => {
    const bytes = Buffer.from(makeToken());
    const at = bytes.indexOf(Buffer.from([0xa0, 0x58]));
    const filled = Buffer.concat([bytes.subarray(0, at), Buffer.from("a10448" + key.kid, "hex"), bytes.subarray(at + 1)]);
    expect(refusal(new Uint8Array(filled))).toMatch(/COSE headers: unknown or missing key/);
  });
  test("a kid of 7 bytes, a third header, a signature of 63 bytes", () => {
    const bytes = Buffer.from(makeToken());
    expect(refusal(new Uint8Array(Buffer.concat([bytes.subarray(0, 2), Buffer.from("4c", "hex"), Buffer.from("a201260447", "hex"), Buffer.from(key.kid.slice(0, 14), "hex"), bytes.subarray(16)])))).toMatch(/protected header: wrong length/);
    expect(refusal(new Uint8Array(Buffer.concat([bytes.subarray(0, 2), Buffer.from("4f", "hex"), Buffer.from("a301260300", "hex"), Buffer.from("0448" + key.kid, "hex"), bytes.subarray(16)])))).toMatch(/protected header: unknown or missing key/);
    expect(refusal(new Uint8Array(Buffer.concat([bytes.subarray(0, -66), Buffer.from("583f", "hex"), bytes.subarray(-63)])))).toMatch(/payload or signature: wrong length/);
  });
  test("PEERS: active cap of 0 W treated as unlimited (evcc hems/eebus, circuit.go): 0 W and null are told apart", () => {
    const [zero, none] = decoded(makeToken({ events: [makeEvent({ importLimit: 0, exportLimit: null }), makeEvent({ id: "ffffffff", importLimit: null, exportLimit: 0 })] })).events;
    expect([zero!.importLimit, zero!.exportLimit, none!.importLimit, none!.exportLimit]).toEqual([0, null, null, 0]);
  });
  test("mutated bytes never verify unless they are the same bytes, and a refusal names its rule", () => {
    const original = makeToken({ events: [makeEvent(), makeEvent({ id: "0102030405060708", importLimit: 0, exportLimit: 0, release: 600 })] });
    let decodes = 0;
    fc.assert(fc.property(
      fc.array(fc.record({ at: fc.nat(original.length - 1), kind: fc.constantFrom("set", "insert", "delete", "flip"), value: fc.nat(255) }), { minLength: 1, maxLength: 4 }),
      (changes) => {
        const bytes = [...original];
        for (const { at, kind, value } of changes) {
          if (kind === "set") bytes[at % bytes.length] = value;
          else if (kind === "flip") bytes[at % bytes.length]! ^= 1 << (value % 8);
          else if (kind === "insert") bytes.splice(at, 0, value);
          else bytes.splice(at, 1);
        }
        const mutated = Uint8Array.from(bytes);
        const result = decodeToken(mutated);
        if (result.ok) {
          decodes++;
          const isSame = Buffer.compare(mutated, original) === 0;
          expect(verifyP256Sync(point, signedBytes(result.token), result.token.message.signature)).toBe(isSame);
        } else {
          expect(["size", "structure"]).toContain(result.rule);
        }
      }), runs(3_000));
    expect(decodes).toBeGreaterThan(0);
  });
});

describe("the text field", () => {
  const { text } = toTextField(makeToken());
  test("texts for people are not ours", () => {
    for (const other of ["", "Geplande storing", "vn1:AAAA", "VN1", "VN2:AAAA"]) expect(tokenFromText(other)).toBeNull();
  });
  test.each<[string, string, string]>([
    ["padding", `${text}=`, "structure"], ["a space", `${text.slice(0, 20)} ${text.slice(21)}`, "structure"], ["the other alphabet's +", `VN1:+${text.slice(5)}`, "structure"],
    ["a character cut off", `VN1:${"A".repeat(5)}`, "structure"], ["bits left over", "VN1:AB", "structure"], ["beyond ASCII", "VN1:AAé=", "structure"],
    ["965 characters", `VN1:${"A".repeat(961)}`, "size"],
  ])("%s", (_name, wrong, rule) => expect(tokenFromText(wrong)).toMatchObject({ ok: false, rule }));
  test("agrees with Node's base64url on every length", () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: TOKEN_BYTES_MAX }), (bytes) => {
      expect(tokenFromText(`VN1:${Buffer.from(bytes).toString("base64url")}`)).toEqual({ ok: true, bytes });
    }), runs(200));
  });
});

describe("rules kid and role", () => {
  const check = (role: Parameters<typeof testKey>[0], options: Parameters<typeof makeToken>[0] = {}, more: Parameters<typeof trusted>[1] = {}, channel: "mqtt" | "http" | "p1" = "http", utc: number | null = TEST_NOW) => {
    const result = checkKey([trusted(testKey(role), more)], decoded(makeToken({ key: testKey(role), ...options })), channel, utc);
    return result.ok ? "ok" : `${result.rule}: ${result.detail}`;
  };
  test("an unknown key", () => expect(checkKey([trusted(testKey("owner"))], decoded(makeToken()), "http", null)).toMatchObject({ ok: false, rule: "kid" }));
  test("an operator may say all of it, by every channel", () => {
    for (const channel of ["mqtt", "http", "p1"] as const) expect(check("operator", { events: [makeEvent({ emergency: true, duration: 0xffff_ffff })] }, {}, channel)).toBe("ok");
  });
  test("a maker signs updates", () => expect(check("maker")).toMatch(/^role: a maker/));
  test("an owner's cap is one more limit; an emergency is not his", () => {
    expect(check("owner")).toBe("ok");
    expect(check("owner", { events: [makeEvent({ emergency: true })] })).toMatch(/^role: .*emergency/);
  });
  test("an installer: 10 minutes, on the spot, with an end", () => {
    const short = { events: [makeEvent({ duration: 600 })] }, end = { notAfter: TEST_NOW + 3600 };
    expect(check("installer", short, end)).toBe("ok");
    expect(check("installer", { events: [makeEvent({ duration: 601 })] }, end)).toMatch(/^role: .*600 s/);
    expect(check("installer", { events: [makeEvent({ start: TEST_NOW + 60, duration: 600 })] }, end)).toMatch(/^role: .*600 s/);
    expect(check("installer", short, end, "mqtt")).toMatch(/^role: .*on the spot/);
    expect(check("installer", short, end, "p1")).toMatch(/^role: .*on the spot/);
    expect(check("installer", short)).toMatch(/^role: .*must have an end/);
  });
  test("audiences of a key", () => {
    expect(check("operator", {}, { audiences: [AUD] })).toBe("ok");
    expect(check("operator", {}, { audiences: ["ean:8716*"] })).toBe("ok");
    expect(check("operator", {}, { audiences: ["all", "msr:*", "ean:8717*"] })).toMatch(/^role: .*may not speak for/);
    expect(check("operator", {}, { audiences: [] })).toMatch(/^role: .*may not speak for/);
    expect(check("operator", { aud: "all" }, { audiences: ["ean:*"] })).toMatch(/^role/);
  });
  test("a key's time, by the token's iat and by our clock; old and new overlap", () => {
    expect(check("operator", {}, { notBefore: TEST_NOW, notAfter: TEST_NOW })).toBe("ok");
    expect(check("operator", {}, { notBefore: TEST_NOW + 1 })).toMatch(/not valid yet/);
    expect(check("operator", {}, { notAfter: TEST_NOW - 1 })).toMatch(/no longer valid/);
    expect(check("operator", { iat: TEST_NOW - 100 }, { notAfter: TEST_NOW - 1 })).toMatch(/no longer valid/);
    expect(check("operator", { iat: TEST_NOW - 100 }, { notAfter: TEST_NOW - 1 }, "http", null)).toBe("ok");
    const both = [trusted(testKey("operator"), { notAfter: TEST_NOW + 60 }), trusted(testKey("owner"), { role: "operator", notBefore: TEST_NOW - 60 })];
    for (const role of ["operator", "owner"] as const) expect(checkKey(both, decoded(makeToken({ key: testKey(role) })), "mqtt", TEST_NOW).ok).toBe(true);
  });
  test("an entry of site.json and the signing key are the same point", () => {
    const entry = keyOfEntry({ ...publicEntry(key), audiences: undefined, not_before: undefined, not_after: 5 });
    expect(entry).toEqual({ ...trusted(key), notAfter: 5 });
    const token = decoded(makeToken());
    expect(verifyP256Sync(entry.point, signedBytes(token), token.message.signature)).toBe(true);
  });
});

describe("rules audience, times, sequence", () => {
  const house = { ean: TEST_EAN, msr: "T1" };
  const base: Claims = { aud: AUD, seq: 5, iat: TEST_NOW, exp: TEST_NOW + 900, events: [] };
  const say = (change: Partial<Claims>, utc: number | null = TEST_NOW, known: Parameters<typeof checkClaims>[3] = null, identity = house as { ean: string | null; msr: string | null }) => {
    const result = checkClaims({ ...base, ...change }, identity, utc, known);
    return result.ok ? (result.repeat ? "repeat" : "new") : `${result.rule}: ${result.detail}`;
  };
  test("audience", () => {
    for (const aud of [AUD, "msr:T1", "all"]) expect(say({ aud })).toBe("new");
    for (const aud of ["ean:871685900000000007", "msr:T2", "msr:", "ean:", "ean:null", "msr:null", "ALL", ""]) expect(say({ aud })).toMatch(/^audience/);
    for (const aud of ["ean:null", "ean:", "msr:null"]) expect(say({ aud }, TEST_NOW, null, { ean: null, msr: null })).toMatch(/^audience/);
    expect(say({ aud: "all" }, TEST_NOW, null, { ean: null, msr: null })).toBe("new");
  });
  test("times, each edge", () => {
    expect(say({}, TEST_NOW + 899)).toBe("new");
    expect(say({}, TEST_NOW + 900)).toMatch(/^times: expired 0 s ago/);
    expect(say({}, TEST_NOW - 300)).toBe("new");
    expect(say({}, TEST_NOW - 301)).toMatch(/^times: iat is 301 s ahead/);
    expect(say({ exp: TEST_NOW })).toMatch(/^times: exp is not after iat/);
    expect(say({ exp: TEST_NOW + 35 * 86_400 })).toBe("new");
    expect(say({ exp: TEST_NOW + 35 * 86_400 + 1 })).toMatch(/^times: exp is 3024001 s after iat/);
  });
  test("PEERS: safety check skipped while the clock is unsynchronised (Tinkerforge heating.cpp): what needs no clock still counts", () => {
    expect(say({ exp: TEST_NOW }, null)).toMatch(/^times/);
    expect(say({ exp: TEST_NOW + 36 * 86_400 }, null)).toMatch(/^times/);
    expect(say({}, null, { seq: 6, claims: null })).toMatch(/^sequence/);
    expect(say({}, null)).toBe("new");
  });
  test("PEERS: open-ended cap rejected the first time (Tinkerforge p14a_enwg): the longest event is accepted at once", () => {
    expect(say({ events: decoded(makeToken({ events: [makeEvent({ duration: 0xffff_ffff })] })).events })).toBe("new");
  });
  test("sequence: the same claims are a repeat, the same number for others is not, older is behind", () => {
    const known = { seq: 5, claims: base };
    expect(say({}, TEST_NOW, known)).toBe("repeat");
    expect(say({}, TEST_NOW + 5_000, known)).toBe("repeat");
    expect(say({ exp: base.exp + 1 }, TEST_NOW, known)).toMatch(/^sequence: sequence 5 was used for something else/);
    expect(say({ seq: 4 }, TEST_NOW, known)).toMatch(/^sequence: sequence 4 is behind 5/);
    expect(say({ seq: 6 }, TEST_NOW, known)).toBe("new");
    expect(say({}, TEST_NOW, { seq: 5, claims: null })).toMatch(/^sequence/);
  });
  test("every field of an event makes a difference", () => {
    const event: CapEvent = { id: "aabbccdd", start: 1, duration: 2, importLimit: 0, exportLimit: null, emergency: false, controllable: false, release: null };
    const known = { seq: 5, claims: { ...base, events: [event] } };
    expect(say({ events: [{ ...event }] }, TEST_NOW, known)).toBe("repeat");
    const others: Partial<CapEvent>[] = [{ id: "aabbccde" }, { start: 2 }, { duration: 3 }, { importLimit: null }, { exportLimit: 0 }, { emergency: true }, { controllable: true }, { release: 0 }];
    for (const other of others) expect(say({ events: [{ ...event, ...other }] }, TEST_NOW, known), JSON.stringify(other)).toMatch(/^sequence/);
  });
});

describe("tightenOnly", () => {
  /** The limit that binds at a time, by brute force. */
  const binding = (events: readonly CapEvent[], at: number, isControllable: boolean, direction: "importLimit" | "exportLimit") =>
    Math.min(Infinity, ...events.filter((e) => e.controllable === isControllable && e.start <= at && at < e.start + e.duration && e[direction] !== null).map((e) => e[direction]!));
  const small = fc.record({
    id: fc.constantFrom("00000001", "00000002", "00000003", "00000004", "00000005", "00000006"), start: fc.nat(50), duration: fc.integer({ min: 1, max: 50 }),
    importLimit: fc.option(fc.nat(9)), exportLimit: fc.option(fc.nat(9)), emergency: fc.boolean(), controllable: fc.boolean(), release: fc.constant(null),
  });
  const many = (count: number) => Array.from({ length: count }, (_, i): CapEvent => ({ id: String(i).padStart(8, "0"), start: i, duration: 5, importLimit: i, exportLimit: null, emergency: false, controllable: i % 5 === 0, release: null }));

  test("never lets more through than what was held, nor than the new token, at any time", () => {
    fc.assert(fc.property(fc.array(small, { maxLength: 12 }), fc.uniqueArray(small, { maxLength: 6, selector: (e) => e.id }), (held, events) => {
      const both = tightenOnly(held, events, null);
      for (let at = 0; at <= 100; at += 3) for (const scope of [true, false]) for (const direction of ["importLimit", "exportLimit"] as const) {
        expect(binding(both, at, scope, direction)).toBeLessThanOrEqual(Math.min(binding(held, at, scope, direction), binding(events, at, scope, direction)));
      }
    }), runs(200));
  });
  test("is bounded, and folds what is too many into something no looser", () => {
    let held: readonly CapEvent[] = [];
    const all: CapEvent[] = [];
    for (let round = 0; round < 10; round++) {
      const events = many(16).map((e) => ({ ...e, id: String(round * 100 + Number(e.id)).padStart(8, "0"), start: e.start + round * 3 }));
      all.push(...events);
      held = tightenOnly(held, events, null);
      expect(held.length).toBeLessThanOrEqual(TIGHTENED_EVENTS_MAX);
    }
    for (let at = 0; at < 60; at++) for (const scope of [true, false]) expect(binding(held, at, scope, "importLimit")).toBeLessThanOrEqual(binding(all, at, scope, "importLimit"));
  });
  test("leaves out what a trusted clock says is over", () => expect(tightenOnly(many(3), [], 6).map((e) => e.id)).toEqual(["00000002"]));
});

describe("the signed set of keys", () => {
  const maker = testKey("maker");
  const entries = [publicEntry(maker), { ...publicEntry(key), audiences: ["ean:8716*", "all"], not_before: 5, not_after: 9 }];
  test("comes out as it went in", () => {
    const result = decodeKeySet(encodeKeySet(3, TEST_NOW, entries, maker));
    expect(result).toMatchObject({ ok: true, set: { version: 3, kid: maker.kid } });
    if (result.ok) expect(result.set.keys).toEqual([trusted(maker), trusted(key, { audiences: ["ean:8716*", "all"], notBefore: 5, notAfter: 9 })]);
  });
  test.each<[string, Uint8Array, string]>([
    ["no maker's key in it", encodeKeySet(1, 1, [publicEntry(key)], maker), "structure"],
    ["a key twice", encodeKeySet(1, 1, [publicEntry(maker), publicEntry(maker)], maker), "structure"],
    ["no keys", encodeKeySet(1, 1, [], maker), "structure"],
    ["9 keys", encodeKeySet(1, 1, Array.from({ length: 9 }, (_, i) => ({ ...publicEntry(maker), kid: String(i).padStart(16, "0") })), maker), "structure"],
    ["too long", new Uint8Array(1_537), "size"],
    ["a cap token", makeToken(), "structure"],
  ])("%s", (_name, bytes, rule) => expect(decodeKeySet(bytes)).toMatchObject({ ok: false, rule }));
  test("a set is no cap token", () => expect(decodeToken(encodeKeySet(1, 1, [publicEntry(maker)], maker))).toMatchObject({ ok: false, rule: "structure" }));
  test("takes operators and makers away from site.json, and leaves the people on the spot", () => {
    const configured = [trusted(key), trusted(testKey("owner"))];
    expect(trustedKeys(configured, null)).toBe(configured);
    expect(trustedKeys(configured, { version: 1, keys: [trusted(maker)] })).toEqual([trusted(maker), trusted(testKey("owner"))]);
  });
});
