import fc from "fast-check";
import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import type { KeyValueStore } from "../../hal/ecma419.js";
import {
  BAD_SIGNATURE_WAIT_MAX_MS, REFUSAL_REPORT_EVERY_MS, REFUSAL_REPORTS_MAX, STORE_KEY_CHARACTERS_MAX, STORE_VALUE_BYTES_MAX, TOKEN_QUEUE_CHANNEL_MAX, TOKEN_SLOTS_MAX, TOKEN_STORE_RETRY_MS,
  VERIFY_TIMEOUT_MS,
} from "../../src/constants.js";
import { CapInbox, type CapInboxOptions, type Outcome, type RecordStore, type TokenRefusal } from "../../src/services/cap_inbox.js";
import { decodeRecord, encodeRecord } from "../../src/services/cap_record.js";
import { KeyRing, type KeySetOutcome } from "../../src/services/key_ring.js";
import { Store } from "../../src/services/store.js";
import type { AcceptedToken, CapChannel } from "../../src/token/cap.js";
import type { TrustedKey } from "../../src/token/keys.js";
import { TOKEN_RULES } from "../../src/token/rules.js";
import { CAP_CONTEXT, encodeClaims, encodeKeySet, newKey, sign1, toTextField, type OperatorEvent } from "../../tools/operator/encode.js";
import { publicEntry } from "../../tools/operator/files.js";
import { makeEvent, makeToken, TEST_EAN, TEST_NOW, testKey, trusted, verifyNow, type TokenOptions } from "../helpers/token.js";

const runs = (count: number) => ({ numRuns: count * Number(process.env["VANGNET_RUNS"] ?? 1) });
const sha256 = (data: Uint8Array) => new Uint8Array(createHash("sha256").update(data).digest());
const N = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;

class PowerCut extends Error {}

/** A store whose writes can fail, or cut the power before or after they are kept. */
class Disk implements RecordStore {
  readonly kept = new Map<string, Uint8Array>();
  writes = 0;
  isBroken = false;
  cutAt: { write: number; after: boolean } | null = null;
  load(key: string): ReturnType<RecordStore["load"]> {
    const bytes = this.kept.get(key);
    return bytes === undefined ? { kind: "absent" } : { kind: "value", bytes };
  }
  write(key: string, bytes: Uint8Array): boolean {
    expect(key.length).toBeLessThanOrEqual(STORE_KEY_CHARACTERS_MAX);
    expect(bytes.length).toBeLessThanOrEqual(STORE_VALUE_BYTES_MAX);
    const isCut = this.cutAt?.write === this.writes++;
    if (isCut && !this.cutAt!.after) throw new PowerCut();
    if (this.isBroken) return false;
    this.kept.set(key, bytes.slice());
    if (isCut) throw new PowerCut();
    return true;
  }
}

/** A house's inbox under virtual time. `now` is kept for limits by (kid, aud), as limits would. */
function house(more: Partial<CapInboxOptions> & { disk?: Disk; keys?: () => readonly TrustedKey[] } = {}) {
  const disk = more.disk ?? new Disk();
  const world = {
    disk, ms: 0, utc: TEST_NOW as number | null, verifications: 0,
    accepted: [] as [AcceptedToken, string][], refused: [] as TokenRefusal[], repeats: [] as CapChannel[], faults: [] as string[],
    inForce: new Map<string, AcceptedToken>(),
    say(options: TokenOptions | Uint8Array, channel: CapChannel = "mqtt"): string {
      let answer = "later";
      world.inbox.offer(options instanceof Uint8Array ? options : makeToken(options), channel, (outcome) => { answer = outcome.kind === "refused" ? outcome.rule : outcome.kind; });
      return answer;
    },
    limits: (): (number | null)[] => [...world.inForce.values()].flatMap((token) => token.events.map((event) => event.importLimit)).sort(),
    pass(ms: number): void {
      for (let left = ms; left > 0; left -= 1_000) {
        world.ms += Math.min(1_000, left);
        if (world.utc !== null) world.utc = TEST_NOW + Math.floor(world.ms / 1_000);
        world.inbox.tick();
      }
    },
    inbox: null as unknown as CapInbox,
  };
  world.inbox = new CapInbox({
    identity: { ean: TEST_EAN, msr: "T1" }, keys: () => [trusted(testKey())], store: disk, utc: () => world.utc,
    platform: { monotonic: () => world.ms, sha256, verifyP256: (...args) => { world.verifications++; verifyNow(...args); } },
    onAccepted: (token, occasion) => { world.accepted.push([token, occasion]); world.inForce.set(`${token.kid} ${token.aud}`, token); },
    onRefused: (refusal) => world.refused.push(refusal),
    onRepeat: (_token, channel) => world.repeats.push(channel),
    onStoreFault: (detail) => world.faults.push(detail),
    ...more,
  });
  return world;
}

/** Verification that answers when told to. */
function slowHouse() {
  const waiting: (() => void)[] = [];
  let ms = 0;
  const world = house({ platform: { monotonic: () => ms, sha256, verifyP256: (point, message, signature, done) => waiting.push(() => verifyNow(point, message, signature, done)) } });
  return { ...world, waiting, answer: () => waiting.shift()!(), pass: (by: number) => { ms += by; world.inbox.tick(); } };
}

const withSignature = (bytes: Uint8Array, r: bigint | null, s: bigint | null): Uint8Array => {
  const out = Buffer.from(bytes);
  if (r !== null) out.write(r.toString(16).padStart(64, "0"), out.length - 64, "hex");
  if (s !== null) out.write(s.toString(16).padStart(64, "0"), out.length - 32, "hex");
  return new Uint8Array(out);
};
const sOf = (bytes: Uint8Array) => BigInt(`0x${Buffer.from(bytes.subarray(-32)).toString("hex")}`);
const forged = (options: TokenOptions = {}) => { const bytes = makeToken(options); return withSignature(bytes, null, sOf(bytes) === 1n ? 2n : 1n); };

describe("the rules in their order", () => {
  test("a token that breaks all from one rule on is refused by that one", () => {
    const stranger = newKey("operator");
    const late = { aud: "msr:other", iat: TEST_NOW - 1000, exp: TEST_NOW - 100, seq: 1 };
    const h = house({ keys: () => [trusted(testKey()), trusted(testKey("maker"))] });
    expect(h.say({ seq: 5 })).toBe("accepted");
    const cases: Record<string, Uint8Array> = {
      size: new Uint8Array(721),
      structure: withSignature(makeToken({ ...late, key: stranger }), 0n, 0n).subarray(0, -1),
      kid: withSignature(makeToken({ ...late, key: stranger }), 0n, 0n),
      role: withSignature(makeToken({ ...late, key: testKey("maker") }), 0n, 0n),
      range: withSignature(makeToken(late), 0n, 0n),
      signature: forged(late),
      audience: makeToken(late),
      times: makeToken({ ...late, aud: `ean:${TEST_EAN}` }),
      sequence: makeToken({ seq: 4 }),
    };
    expect(Object.keys(cases)).toEqual(TOKEN_RULES);
    for (const rule of TOKEN_RULES) {
      expect(h.say(cases[rule]!, "http"), rule).toBe(rule);
      h.pass(BAD_SIGNATURE_WAIT_MAX_MS);
    }
    expect(h.refused.map(({ rule }) => rule)).toEqual(TOKEN_RULES);
    for (const rule of TOKEN_RULES) expect(h.inbox.counters[rule], rule).toBe(1);
    // Nothing that was refused changed anything.
    expect([h.accepted.length, h.disk.writes, h.inbox.counters.accepted]).toEqual([1, 1, 1]);
  });

  test("r and s of 0, n and above are refused and no verifier sees them", () => {
    const h = house(), token = makeToken();
    for (const wrong of [0n, N, N + 1n, N + 5n, 2n ** 256n - 1n]) {
      expect(h.say(withSignature(token, wrong, null))).toBe("range");
      expect(h.say(withSignature(token, null, wrong))).toBe("range");
    }
    expect([h.verifications, h.inbox.counters.range]).toEqual([0, 10]);
    expect(h.say(token)).toBe("accepted");
  });

  test("high s and low s of one signature are both right; the second is a repeat", () => {
    const token = makeToken(), other = withSignature(token, null, N - sOf(token));
    for (const [first, second] of [[token, other], [other, token]] as const) {
      const h = house();
      expect([h.say(first), h.say(second)]).toEqual(["accepted", "repeat"]);
    }
  });

  test("a signature under other external data is worth nothing", () => {
    const claims = { aud: `ean:${TEST_EAN}`, seq: 1, iat: TEST_NOW, exp: TEST_NOW + 9, events: [] };
    for (const context of ["", "vangnet-cap-v2", "vangnet-keys-v1"]) expect(house().say(sign1(encodeClaims(claims), testKey(), context))).toBe("signature");
    expect(house().say(sign1(encodeClaims(claims), testKey(), CAP_CONTEXT))).toBe("accepted");
  });

  test("what is handed on says whose word it is, by which channel, and its hash", () => {
    const h = house(), bytes = makeToken({ events: [makeEvent({ importLimit: 0 })] });
    h.inbox.offerText(toTextField(bytes).text);
    expect(h.accepted).toEqual([[{
      kid: testKey().kid, role: "operator", aud: `ean:${TEST_EAN}`, seq: 1, iat: TEST_NOW, exp: TEST_NOW + 900, events: [makeEvent({ importLimit: 0 })],
      clockTrusted: true, channel: "p1", hash: createHash("sha256").update(bytes).digest("hex").slice(0, 16),
    }, "new"]]);
  });

  test("texts for people pass by; a broken one of ours is counted", () => {
    const h = house();
    h.inbox.offerText("Er is een storing in uw wijk");
    expect([h.refused.length, h.accepted.length]).toEqual([0, 0]);
    h.inbox.offerText("VN1:!!!!");
    expect(h.refused).toMatchObject([{ rule: "structure", channel: "p1", hash: "" }]);
  });

  test("the caller may reuse its buffer while the signature is being checked", () => {
    const h = slowHouse(), bytes = makeToken();
    h.inbox.offer(bytes, "mqtt");
    bytes.fill(0);
    h.answer();
    expect(h.accepted[0]![0].seq).toBe(1);
  });
});

describe("repeats, replays, reorder", () => {
  test("the same token again is a repeat and costs no verification, past its exp too", () => {
    const h = house(), token = makeToken();
    expect([h.say(token), h.say(token), h.say(token, "p1")]).toEqual(["accepted", "repeat", "repeat"]);
    h.pass(2_000_000);
    expect(h.say(token)).toBe("repeat");
    expect([h.verifications, h.disk.writes, h.accepted.length]).toEqual([1, 1, 1]);
  });

  test("in any order, with any repeats: sequences only rise, and the highest that came is in force", () => {
    fc.assert(fc.property(fc.array(fc.tuple(fc.integer({ min: 1, max: 8 }), fc.constantFrom("all", `ean:${TEST_EAN}`, "msr:T1")), { maxLength: 30 }), (order) => {
      const h = house(), highest = new Map<string, number>();
      for (const [seq, aud] of order) {
        const before = highest.get(aud) ?? 0;
        const answer = h.say({ seq, aud, events: [makeEvent({ importLimit: seq * 1000 })] });
        expect(answer).toBe(seq > before ? "accepted" : seq === before ? "repeat" : "sequence");
        highest.set(aud, Math.max(before, seq));
        expect(h.inForce.get(`${testKey().kid} ${aud}`)!.events[0]!.importLimit).toBe(highest.get(aud)! * 1000);
      }
      const again = house({ disk: h.disk });
      expect(again.inbox.restore()).toBe(0);
      expect(new Map([...again.inForce.values()].map((token) => [token.aud, token.seq]))).toEqual(highest);
      for (const [seq, aud] of order) expect(again.say({ seq, aud, events: [makeEvent({ importLimit: seq * 1000 })] })).toBe(seq === highest.get(aud) ? "repeat" : "sequence");
    }), runs(40));
  });

  test("the same sequence for other claims is refused", () => {
    const h = house();
    expect([h.say({ seq: 3 }), h.say({ seq: 3, events: [] })]).toEqual(["accepted", "sequence"]);
    expect(h.limits()).toEqual([4_200]);
  });
});

describe("the queue", () => {
  test("is bounded, by channel too, and what finds no room is told so", () => {
    const h = slowHouse();
    const answers: Outcome[] = [];
    const offer = (seq: number, channel: CapChannel) => h.inbox.offer(makeToken({ seq }), channel, (outcome) => answers.push(outcome));
    for (let seq = 1; seq <= 1 + TOKEN_QUEUE_CHANNEL_MAX; seq++) offer(seq, "mqtt");
    expect(answers).toEqual([]);
    offer(9, "mqtt");
    expect(answers).toMatchObject([{ kind: "refused", rule: "busy" }]);
    offer(10, "p1");
    expect([answers.length, h.inbox.pending]).toEqual([1, 5]);
    offer(11, "http");
    expect(answers).toMatchObject([{ rule: "busy" }, { rule: "busy" }]);
    while (h.waiting.length > 0) h.answer();
    expect(h.accepted.map(([token]) => token.seq)).toEqual([1, 2, 3, 4, 10]);
    expect([h.inbox.pending, h.inbox.counters.busy]).toEqual([0, 2]);
  });

  test("a verifier that never answers is given up, its late answer is not heard, and the next goes on", () => {
    const h = slowHouse();
    h.inbox.offer(makeToken({ seq: 1 }), "mqtt");
    h.inbox.offer(makeToken({ seq: 2 }), "http");
    expect(h.waiting.length).toBe(1);
    h.pass(VERIFY_TIMEOUT_MS - 1);
    expect(h.refused).toEqual([]);
    h.pass(1);
    expect(h.refused).toMatchObject([{ rule: "signature", channel: "mqtt" }]);
    h.answer();
    expect(h.accepted).toEqual([]);
    h.answer();
    expect(h.accepted.map(([token]) => token.seq)).toEqual([2]);
  });

  test("bad signatures slow their channel down, doubling up to the bound, and no other channel", () => {
    const h = house();
    const waits: number[] = [];
    for (let i = 0; i < 9; i++) {
      const before = h.verifications, start = h.ms;
      h.say(forged({ seq: i + 2 }));
      while (h.verifications === before) h.pass(1_000);
      waits.push(h.ms - start);
    }
    expect(waits).toEqual([0, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
    expect(h.say({ seq: 50 }, "http")).toBe("accepted");
    expect(h.say({ seq: 51, exp: TEST_NOW + 9_000 })).toBe("later");
    h.pass(BAD_SIGNATURE_WAIT_MAX_MS);
    expect(h.accepted.map(([token]) => token.seq)).toEqual([50, 51]);
    // A token that was accepted is the end of the slowness; an old one that is replayed is not.
    expect([h.say(forged({ seq: 90 })), h.inbox.counters.signature]).toEqual(["signature", 10]);
  });

  test("a flood of refusals is counted whole and told in part", () => {
    const h = house();
    for (let i = 0; i < 1_000; i++) h.say(new Uint8Array(30).fill(i));
    expect([h.refused.length, h.inbox.counters.structure, h.inbox.counters.unreported]).toEqual([REFUSAL_REPORTS_MAX, 1_000, 1_000 - REFUSAL_REPORTS_MAX]);
    h.pass(3 * REFUSAL_REPORT_EVERY_MS);
    for (let i = 0; i < 10; i++) h.say(new Uint8Array(30));
    expect(h.refused.length).toBe(REFUSAL_REPORTS_MAX + 3);
  });
});

describe("the store", () => {
  test("the sequence is kept before the token acts", () => {
    const disk = new Disk();
    const h = house({ disk, onAccepted: () => { throw new PowerCut(); } });
    expect(() => h.say({ seq: 7 })).toThrow(PowerCut);
    const again = house({ disk });
    again.inbox.restore();
    expect(again.accepted).toMatchObject([[{ seq: 7, channel: "store" }, "restored"]]);
  });

  test("power cut at every write, before and after it: old or new, never back, none lost", () => {
    const script: TokenOptions[] = [
      { seq: 1, aud: "all", events: [makeEvent({ importLimit: 8_000 })] }, { seq: 1, events: [makeEvent({ importLimit: 4_200 })] }, { seq: 2, aud: "all", events: [] },
      { seq: 3, events: [makeEvent({ importLimit: 0 })] }, { seq: 4, events: [] }, { seq: 9, aud: "msr:T1", events: [makeEvent({ importLimit: 6_000 })] }, { seq: 7, aud: "all", events: [makeEvent({ importLimit: 1_000 })] },
    ];
    for (let write = 0; write < script.length; write++) for (const after of [false, true]) {
      const disk = new Disk();
      const told = new Map<string, number>();
      disk.cutAt = { write, after };
      const first = house({ disk });
      let at = 0;
      try {
        for (; at < script.length; at++) {
          first.say(script[at]!);
          told.set(script[at]!.aud ?? `ean:${TEST_EAN}`, script[at]!.seq!);
        }
        expect.fail("the power was to be cut");
      } catch (error) {
        if (!(error instanceof PowerCut)) throw error;
      }
      disk.cutAt = null;
      const second = house({ disk });
      second.inbox.restore();
      for (const [aud, seq] of told) {
        const restored = second.inForce.get(`${testKey().kid} ${aud}`)!.seq;
        expect(restored).toBeGreaterThanOrEqual(seq);
      }
      const { seq, aud = `ean:${TEST_EAN}` } = script[at]!;
      expect(second.inForce.get(`${testKey().kid} ${aud}`)?.seq ?? null).toBe(after ? seq : told.get(aud) ?? null);
      // Everything is sent again, in order: what was taken stays taken, what was cut off comes now.
      const answers = script.map((options) => second.say(options));
      expect(answers.slice(0, at)).not.toContain("accepted");
      expect(answers[at]).toBe(after ? "repeat" : "accepted");
      expect(answers.slice(at + 1).every((answer) => answer === "accepted")).toBe(true);
    }
  });

  test("a write that fails: a tighter cap acts, a looser one and a cancel wait until it is kept", () => {
    const h = house();
    h.say({ seq: 1, events: [makeEvent({ importLimit: 4_200 })] });
    h.disk.isBroken = true;
    expect(h.say({ seq: 2, events: [makeEvent({ importLimit: 2_000 })] })).toBe("accepted");
    expect(h.limits()).toEqual([2_000]);
    expect(h.say({ seq: 3, events: [makeEvent({ importLimit: 6_000 })] })).toBe("accepted");
    expect(h.limits()).toEqual([2_000]);
    expect(h.say({ seq: 4, events: [] })).toBe("accepted");
    expect(h.limits()).toEqual([2_000]);
    expect(h.say({ seq: 3, events: [makeEvent({ importLimit: 6_000 })] })).toBe("sequence");
    expect(h.faults.length).toBe(3);
    h.pass(TOKEN_STORE_RETRY_MS);
    expect(h.limits()).toEqual([2_000]);
    h.disk.isBroken = false;
    h.pass(TOKEN_STORE_RETRY_MS);
    expect(h.limits()).toEqual([]);
    expect(h.accepted.at(-1)).toMatchObject([{ seq: 4, clockTrusted: true }, "stored"]);
    const restored = house({ disk: h.disk });
    restored.inbox.restore();
    expect(restored.accepted).toMatchObject([[{ seq: 4, events: [] }, "restored"]]);
  });

  test("a first token acts at once though it cannot be kept; caps that are over are not carried along", () => {
    const h = house();
    h.disk.isBroken = true;
    h.say({ seq: 1, events: [makeEvent({ duration: 60 })] });
    expect(h.limits()).toEqual([4_200]);
    h.pass(61_000);
    h.say({ seq: 2, iat: TEST_NOW + 61, events: [] });
    expect(h.limits()).toEqual([]);
  });

  test("PEERS: cap lost at reboot (Tinkerforge)", () => {
    const h = house();
    h.say({ seq: 1, exp: TEST_NOW + 60 });
    const again = house({ disk: h.disk });
    again.utc = TEST_NOW + 3_600; // the link is long lost, the cap is not over
    again.inbox.restore();
    expect(again.limits()).toEqual([4_200]);
  });

  test("a key that is gone, or a house without its configuration, keeps what was stored", () => {
    const h = house();
    h.say({ seq: 1 });
    const again = house({ disk: h.disk, keys: () => [], identity: { ean: null, msr: null } });
    again.inbox.restore();
    expect(again.limits()).toEqual([4_200]);
    expect(again.say({ seq: 2 })).toBe("kid");
  });

  test("records that are damaged are counted as lost, and a sequence outlives its token", () => {
    const h = house();
    h.say({ seq: 5 });
    h.say({ seq: 6, aud: "all" });
    const [first, second] = [...h.disk.kept.keys()];
    h.disk.kept.get(first!)![30]! ^= 1;
    const record = decodeRecord(h.disk.kept.get(second!)!, sha256)!;
    h.disk.kept.set(second!, encodeRecord({ ...record, token: record.token.slice(0, -1) }, sha256));
    const again = house({ disk: h.disk });
    expect(again.inbox.restore()).toBe(2);
    expect(again.accepted).toEqual([]);
    expect(again.say({ seq: 6, aud: "all" })).toBe("sequence");
    expect(again.say({ seq: 7, aud: "all" })).toBe("accepted");
  });

  test("records: whatever happens to the bytes, none is read as another", () => {
    const record = { role: "owner" as const, isTimely: false, kid: "0123456789abcdef", aud: "all", seq: Number.MAX_SAFE_INTEGER, token: makeToken() };
    const bytes = encodeRecord(record, sha256);
    expect(decodeRecord(bytes, sha256)).toEqual(record);
    fc.assert(fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
      const spoilt = bytes.slice();
      spoilt[at]! ^= change;
      expect(decodeRecord(spoilt, sha256)).toBeNull();
      expect(decodeRecord(bytes.subarray(0, at), sha256)).toBeNull();
    }), runs(300));
  });

  test("slots: full is refused; those of keys that are gone and caps that are over make room", () => {
    let keys = Array.from({ length: TOKEN_SLOTS_MAX + 1 }, () => newKey("operator"));
    const h = house({ keys: () => keys.map((key) => trusted(key)) });
    const answers = keys.map((key) => h.say({ key, events: [makeEvent({ duration: 60 })] }));
    expect(answers).toEqual([...Array.from({ length: TOKEN_SLOTS_MAX }, () => "accepted"), "sequence"]);
    const last = keys.at(-1)!;
    keys = keys.slice(1);
    expect(h.say({ key: last, seq: 2 })).toBe("sequence");
    h.pass(901_000);
    expect(h.say({ key: last, seq: 3, iat: TEST_NOW + 901 })).toBe("accepted");
    const again = house({ disk: h.disk });
    expect(again.inbox.restore()).toBe(0);
    expect(again.accepted.length).toBe(TOKEN_SLOTS_MAX);
  });

  test("over services/store.ts, every write of the medium cut", () => {
    for (let cut = 0; cut < 8; cut++) for (const torn of [false, true]) {
      const cells = new Map<string, Uint8Array>();
      let writes = 0;
      const medium: KeyValueStore = {
        read: (key) => cells.get(key)?.slice().buffer,
        write: (key, value) => {
          const bytes = new Uint8Array(value as Uint8Array);
          if (writes++ === cut) {
            if (torn) cells.set(key, bytes.slice(0, bytes.length >> 1));
            throw new PowerCut();
          }
          cells.set(key, bytes.slice());
        },
        delete: (key) => { cells.delete(key); }, keys: () => [...cells.keys()], close: () => undefined,
      };
      const h = house({ store: new Store(medium) });
      let kept = 0;
      for (let seq = 1; seq <= 8; seq++) {
        h.say({ seq, events: [makeEvent({ importLimit: seq })] });
        if (h.inbox.counters.storeFailures > 0) break;
        kept = seq;
      }
      expect(kept).toBe(cut);
      const again = house({ store: new Store(medium) });
      expect(again.inbox.restore()).toBe(kept === 0 && torn ? 1 : 0);
      expect(again.accepted.map(([token]) => token.seq)).toEqual(kept === 0 ? [] : [kept]);
    }
  });
});

describe("while the clock is not trusted", () => {
  const cap = (importLimit: number, more: Partial<OperatorEvent> = {}) => makeEvent({ importLimit, ...more });

  test("only tightening acts; when the clock comes the newest token acts whole", () => {
    const h = house();
    h.say({ seq: 1, events: [cap(4_200)] });
    h.utc = null;
    expect(h.say({ seq: 2, events: [cap(9_000), cap(1_000, { id: "ffffffff" })] })).toBe("accepted");
    expect(h.accepted.at(-1)).toMatchObject([{ clockTrusted: false, seq: 2 }, "new"]);
    expect(h.limits()).toEqual([1_000, 4_200]);
    expect(h.say({ seq: 3, events: [] })).toBe("accepted");
    expect(h.limits()).toEqual([1_000, 4_200]);
    h.pass(5_000);
    expect(h.limits()).toEqual([1_000, 4_200]);
    h.utc = TEST_NOW + 5;
    h.pass(1_000);
    expect(h.limits()).toEqual([]);
    expect(h.accepted.at(-1)).toMatchObject([{ clockTrusted: true, seq: 3, events: [] }, "clock"]);
    const count = h.accepted.length;
    h.pass(10_000);
    expect(h.accepted.length).toBe(count);
  });

  test("after a reboot what is stored comes first without and then with the clock", () => {
    const h = house();
    h.say({ seq: 1 });
    const again = house({ disk: h.disk });
    again.utc = null;
    again.inbox.restore();
    expect(again.accepted).toMatchObject([[{ clockTrusted: false, channel: "store" }, "restored"]]);
    again.utc = TEST_NOW + 10;
    again.pass(1_000);
    expect(again.accepted).toMatchObject([[{ clockTrusted: false }, "restored"], [{ clockTrusted: true }, "clock"]]);
  });

  test("a token that had expired before the clock could tell has tightened and relaxes nothing, after a reboot neither", () => {
    const h = house();
    h.say({ seq: 1, events: [cap(4_200)] });
    h.utc = null;
    expect(h.say({ seq: 5, iat: TEST_NOW - 5_000, exp: TEST_NOW - 4_000, events: [] })).toBe("accepted");
    const disk = new Disk();
    for (const [key, bytes] of h.disk.kept) disk.kept.set(key, bytes);
    h.utc = TEST_NOW;
    h.pass(2_000);
    expect(h.limits()).toEqual([4_200]);
    expect(h.refused).toMatchObject([{ rule: "times", channel: "mqtt" }]);
    expect(h.say({ seq: 4 })).toBe("sequence");
    expect(h.say({ seq: 6, events: [] })).toBe("accepted");
    expect(h.limits()).toEqual([]);
    const again = house({ disk });
    again.inbox.restore();
    again.pass(5_000);
    expect(again.accepted).toEqual([]);
    expect(again.say({ seq: 4 })).toBe("sequence");
  });

  test("clock that comes and goes, store that fails and heals, in any order: never looser than the newest whole token and what it has yet to replace", () => {
    const step = fc.oneof(
      fc.record({ do: fc.constant("token" as const), limit: fc.option(fc.integer({ min: 0, max: 9 })) }),
      fc.record({ do: fc.constantFrom("clock", "no clock", "break", "heal", "pass", "reboot") }),
    );
    fc.assert(fc.property(fc.array(step, { maxLength: 25 }), (steps) => {
      const disk = new Disk();
      let h = house({ disk }), seq = 0, isBroken = false, hasClock = true;
      // What may bind: the tightest since the last moment at which all was well.
      let newest: number | null = null;
      for (const s of steps) {
        const before = Math.min(Infinity, ...h.limits().map(Number));
        if ("limit" in s) {
          newest = s.limit;
          h.say({ seq: ++seq, iat: TEST_NOW, exp: TEST_NOW + 86_400, events: s.limit === null ? [] : [cap(s.limit, { duration: 86_400 })] });
        } else if (s.do === "clock" || s.do === "no clock") { hasClock = s.do === "clock"; h.utc = hasClock ? TEST_NOW : null; }
        else if (s.do === "break" || s.do === "heal") disk.isBroken = isBroken = s.do === "break";
        else if (s.do === "pass") h.pass(2 * TOKEN_STORE_RETRY_MS);
        else if (!isBroken && hasClock) { h.pass(2 * TOKEN_STORE_RETRY_MS); h = house({ disk }); h.inbox.restore(); }
        const now = Math.min(Infinity, ...h.limits().map(Number));
        expect(now).toBeLessThanOrEqual(newest ?? Infinity);
        if (isBroken || !hasClock) expect(now).toBeLessThanOrEqual(before);
      }
      disk.isBroken = false;
      h.utc = TEST_NOW;
      h.pass(3 * TOKEN_STORE_RETRY_MS);
      expect(h.limits()).toEqual(newest === null ? [] : [newest]);
    }), runs(150));
  });
});

describe("the key ring", () => {
  const maker = testKey("maker"), next = newKey("operator");
  const ring = (disk = new Disk()) => {
    const keys = new KeyRing({ configured: [trusted(maker), trusted(testKey()), trusted(testKey("owner"))], store: disk, platform: { verifyP256: verifyNow, monotonic: () => 0 }, utc: () => TEST_NOW });
    const offer = (bytes: Uint8Array): KeySetOutcome => { let answer: KeySetOutcome | null = null; keys.offer(bytes, (outcome) => { answer = outcome; }); return answer!; };
    return { keys, offer, disk, kids: () => keys.keys().map(({ kid }) => kid) };
  };
  const set = (version: number, ...keys: ReturnType<typeof newKey>[]) => encodeKeySet(version, TEST_NOW, [publicEntry(maker), ...keys.map(publicEntry)], maker);

  test("old and new overlap, then the old one goes; versions only rise; a reboot keeps them", () => {
    const r = ring();
    expect(r.offer(set(2, testKey(), next))).toEqual({ ok: true, version: 2, repeat: false });
    expect(r.kids()).toEqual([maker.kid, testKey().kid, next.kid, testKey("owner").kid]);
    expect(r.offer(set(3, next))).toMatchObject({ ok: true, version: 3 });
    expect(r.kids()).not.toContain(testKey().kid);
    expect(r.offer(set(3, next))).toMatchObject({ ok: true, repeat: true });
    expect(r.offer(set(2, testKey(), next))).toMatchObject({ ok: false, rule: "sequence" });
    const again = ring(r.disk);
    expect([again.keys.restore(), again.keys.version, again.kids()]).toEqual([true, 3, r.kids()]);
  });
  test("only a maker's key signs a set, and only as a set", () => {
    const r = ring(), before = r.kids();
    expect(r.offer(encodeKeySet(2, TEST_NOW, [publicEntry(maker)], testKey()))).toMatchObject({ ok: false, rule: "role" });
    expect(r.offer(encodeKeySet(2, TEST_NOW, [publicEntry(maker)], newKey("maker")))).toMatchObject({ ok: false, rule: "kid" });
    const bytes = set(2, next);
    expect(r.offer(withSignature(bytes, null, 1n))).toMatchObject({ ok: false, rule: "signature" });
    expect(r.offer(withSignature(bytes, null, 0n))).toMatchObject({ ok: false, rule: "range" });
    expect(r.offer(makeToken({ key: maker }))).toMatchObject({ ok: false, rule: "structure" });
    r.disk.isBroken = true;
    expect(r.offer(bytes)).toMatchObject({ ok: false, rule: "store" });
    expect(r.kids()).toEqual(before);
  });
  test("one at a time; a check that never answers holds up nobody for long, and answers for nobody later", () => {
    let ms = 0;
    const waiting: ((valid: boolean) => void)[] = [], answers: string[] = [];
    const keys = new KeyRing({
      configured: [trusted(maker)], store: new Disk(), utc: () => TEST_NOW,
      platform: { monotonic: () => ms, verifyP256: (_point, _message, _signature, done) => waiting.push(done) },
    });
    const offer = (version: number) => keys.offer(set(version, next), (outcome) => answers.push(`${version} ${outcome.ok ? "taken" : outcome.rule}`));
    offer(1);
    offer(2);
    ms = VERIFY_TIMEOUT_MS;
    offer(3);
    expect(answers).toEqual(["2 busy", "1 signature"]);
    waiting[0]!(true);
    expect([keys.version, answers.length]).toEqual([0, 2]);
    waiting[1]!(true);
    waiting[1]!(true);
    expect([keys.version, answers.slice(2)]).toEqual([3, ["3 taken"]]);
    offer(4);
    waiting[2]!(true);
    expect(answers.at(-1)).toBe("4 taken");
  });
  test("a set that is lost leaves site.json's keys, and the house one with an operator until a new set says otherwise", () => {
    const configured = [trusted(maker)];
    const make = (disk: Disk) => new KeyRing({ configured, store: disk, platform: { verifyP256: verifyNow, monotonic: () => 0 }, utc: () => TEST_NOW });
    const disk = new Disk();
    const keys = make(disk);
    expect([keys.restore(), keys.hasOperator]).toEqual([true, false]);
    keys.offer(set(1, next), () => {});
    expect(keys.hasOperator).toBe(true);
    for (const spoilt of [new Uint8Array(0), disk.kept.get("keys")!.subarray(1)]) {
      disk.kept.set("keys", spoilt);
      const again = make(disk);
      expect([again.restore(), again.hasOperator, again.version, again.keys()]).toEqual([false, true, 0, configured]);
      again.offer(set(2), () => {});
      expect([again.hasOperator, again.version]).toEqual([false, 2]);
    }
  });
});
