/**
 * The way of a cap token, whatever channel it came by:
 *
 *   offer ─ size, structure, kid, role, range ─ queue ─ signature ─ audience, times, sequence ─ store ─ handed on
 *              │ refused at once                │ full: busy  │ later turn          │                  │
 *              └────────────── onRefused ───────┴─────────────┴─────────────────────┘             onAccepted
 *
 * One signature is checked at a time, off the JavaScript loop. The sequence and the token are in the
 * store, in one record, before the token acts: a power cut before the write leaves the old one, a
 * cut after it finds the new one at boot. Nothing is lost and the sequence never goes back.
 *
 * Two troubles leave a token that may only tighten, the union of token/tighten.ts, until they are
 * over; `tick` then hands the token on again, whole:
 * - no trusted clock (CAPS.md, Life 6). A token that turns out to have expired before the clock could
 *   tell has only tightened; it is refused then (rule "times"), and its sequence stays used;
 * - the store refuses the write. A looser cap, or a cancel, must not act before its sequence is
 *   kept: after a power cut the older, tighter token would be what the house remembers, and the
 *   newer one could be replayed. A tighter cap must act all the same: a broken flash is no reason
 *   to overload a transformer. The record is tried again every TOKEN_STORE_RETRY_MS.
 */
import {
  BAD_SIGNATURE_WAIT_MAX_MS, BAD_SIGNATURE_WAIT_MIN_MS, REFUSAL_REPORT_EVERY_MS, REFUSAL_REPORTS_MAX, TOKEN_BYTES_MAX, TOKEN_QUEUE_CHANNEL_MAX, TOKEN_QUEUE_MAX, TOKEN_SLOTS_MAX,
  TOKEN_STORE_RETRY_MS, VERIFY_TIMEOUT_MS,
} from "../constants.js";
import type { AcceptedToken, CapChannel } from "../token/cap.js";
import { checkClaims, checkTimes, isAddressed, type Identity } from "../token/claims.js";
import { decodeToken, hex, signedBytes, type DecodedToken } from "../token/decode.js";
import { checkKey, findKey, type TrustedKey } from "../token/keys.js";
import { refuse, type Refusal, type TokenRule } from "../token/rules.js";
import { tokenFromText } from "../token/text.js";
import { tightenOnly } from "../token/tighten.js";
import type { EpochSeconds, Millis } from "../units.js";
import { signatureInRange } from "../wire/p256.js";
import { decodeRecord, encodeRecord, type CapRecord } from "./cap_record.js";

/** What is used of services/store.ts: records that outlive power cuts. */
export interface RecordStore {
  load(key: string): { readonly kind: "absent" | "corrupt" } | { readonly kind: "value"; readonly bytes: Uint8Array };
  /** True when it is kept: from then on `load` gives it, after a power cut too. */
  write(key: string, bytes: Uint8Array): boolean;
}

/** The part of hal/ecma419.ts Platform that is used. */
export interface TokenPlatform {
  monotonic(): Millis;
  sha256(data: Uint8Array): Uint8Array;
  verifyP256(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array, done: (valid: boolean) => void): void;
}

/** "busy": the queue is full; not a word about the token, which may be offered again. */
export type InboxRule = TokenRule | "busy";

export interface TokenRefusal {
  readonly rule: InboxRule;
  readonly detail: string;
  readonly channel: CapChannel;
  /** First 16 hex digits of the SHA-256 of the bytes; "" where they were too many or no token at all. */
  readonly hash: string;
}

/**
 * Why a token is handed on: it is "new", was "restored" at boot, or is the same as before, now that
 * the clock is trusted ("clock") or the store has taken it ("stored"). Only "new" is a reception.
 */
export type Occasion = "new" | "restored" | "clock" | "stored";

export type Outcome = { readonly kind: "accepted" | "repeat"; readonly token: AcceptedToken } | ({ readonly kind: "refused" } & TokenRefusal);

export interface CapInboxOptions {
  readonly identity: Identity;
  /** Asked for each token: the set may change. */
  readonly keys: () => readonly TrustedKey[];
  readonly store: RecordStore;
  readonly platform: TokenPlatform;
  /** Null while the clock is not trusted. */
  readonly utc: () => EpochSeconds | null;
  readonly onAccepted: (token: AcceptedToken, occasion: Occasion) => void;
  readonly onRefused: (refusal: TokenRefusal) => void;
  readonly onRepeat?: (token: AcceptedToken, channel: CapChannel) => void;
  /** The store failed: a line for the log and the evidence. */
  readonly onStoreFault?: (detail: string) => void;
}

/** What is held for one (kid, aud). */
interface Held {
  readonly slot: number;
  readonly kid: string;
  readonly aud: string;
  seq: number;
  /** The newest token as it stands. Null where a restored record's token cannot be read any more. */
  token: AcceptedToken | null;
  /** As it was handed on last: `token`, or its union with what was held before. */
  inForce: AcceptedToken | null;
  /** What the store holds of it, or should. */
  record: CapRecord;
  isStored: boolean;
  /** Handed on whole, or refused by the clock afterwards: nothing is left to do. */
  isSettled: boolean;
}

interface Waiting {
  readonly token: DecodedToken;
  readonly key: TrustedKey;
  readonly bytes: Uint8Array;
  readonly hash: string;
  readonly channel: CapChannel;
  readonly done: ((outcome: Outcome) => void) | undefined;
}

const CHANNELS: readonly CapChannel[] = ["mqtt", "p1", "http", "file", "store"];

export class CapInbox {
  /** Since start. A rule's name counts its refusals. */
  readonly counters = {
    accepted: 0, repeats: 0, size: 0, structure: 0, kid: 0, role: 0, range: 0, signature: 0, audience: 0, times: 0, sequence: 0,
    busy: 0, storeFailures: 0,
    /** Refusals that `onRefused` was not told of, lest a flood wear the flash and push the evidence out. */
    unreported: 0,
  };
  readonly #options: CapInboxOptions;
  readonly #held: Held[] = [];
  /** Slots whose record was lost, until an operator is heard again. */
  #lost: number[] = [];
  readonly #queue: Waiting[] = [];
  #verifying: Waiting | null = null;
  #verifyDeadline: Millis = 0;
  /** Per channel: bad signatures since the last accepted token, and when the next one may be checked. */
  readonly #bad: number[] = [0, 0, 0, 0, 0];
  readonly #notBefore: Millis[] = [0, 0, 0, 0, 0];
  #retryAt: Millis = 0;
  #reportsLeft = REFUSAL_REPORTS_MAX;
  #reportsAt: Millis = 0;

  constructor(options: CapInboxOptions) {
    this.#options = options;
  }

  /**
   * At boot, before any channel opens: hands on what the store holds. Gives the number of records
   * that were lost: what they held is not known, so limits must not take the house for uncapped. A
   * lost record stays as it is, and counts at the next boot too, until an operator is heard anew.
   */
  restore(): number {
    const { platform, store, utc } = this.#options;
    let lost = 0;
    for (let slot = 0; slot < TOKEN_SLOTS_MAX; slot++) {
      const loaded = store.load(slotKey(slot));
      if (loaded.kind === "absent" || (loaded.kind === "value" && loaded.bytes.length === 0)) continue;
      const record = loaded.kind === "value" ? decodeRecord(loaded.bytes, (data) => platform.sha256(data)) : null;
      if (record === null) {
        lost++;
        this.#lost.push(slot);
        this.#storeFault(`${slotKey(slot)} holds no readable record`);
        continue;
      }
      const { kid, aud, seq, role } = record;
      const decoded = decodeToken(record.token);
      const token = decoded.ok ? accepted(decoded.token, role, "store", this.#hash(record.token)) : null;
      if (token === null) {
        lost++;
        this.#storeFault(`${slotKey(slot)}: the token of ${kid} for ${aud} cannot be read; its sequence ${seq} is kept`);
      }
      const isLate = token !== null && !record.isTimely && checkTimes(token, utc()) !== null;
      const held: Held = { slot, kid, aud, seq, token, inForce: null, record, isStored: true, isSettled: token === null || isLate };
      this.#held.push(held);
      if (!held.isSettled) this.#handOn(held, utc(), "restored");
    }
    return lost;
  }

  /** The text field of the meter. Texts without our prefix are not counted. */
  offerText(text: string, done?: (outcome: Outcome) => void): void {
    const read = tokenFromText(text);
    if (read === null) return;
    if (read.ok) this.offer(read.bytes, "p1", done);
    else this.#refuse(read, "p1", "", done);
  }

  /** `bytes` may be reused by the caller. `done` is called once, at once or on a later turn. */
  offer(bytes: Uint8Array, channel: CapChannel, done?: (outcome: Outcome) => void): void {
    const { keys, utc } = this.#options;
    const own = bytes.length <= TOKEN_BYTES_MAX ? bytes.slice() : bytes;
    const decoded = decodeToken(own);
    const hash = own.length > TOKEN_BYTES_MAX ? "" : this.#hash(own);
    if (!decoded.ok) return this.#refuse(decoded, channel, hash, done);
    const { token } = decoded;
    // The very bytes that were verified before: a retained message, or a text field that is repeated.
    const held = this.#find(token.kid, token.aud);
    if (held !== null && held.token !== null && held.token.hash === hash) return this.#repeat(held.token, channel, done);
    const allowed = checkKey(keys(), token, channel, utc());
    if (!allowed.ok) return this.#refuse(allowed, channel, hash, done);
    if (!signatureInRange(token.message.signature)) return this.#refuse(refuse("range", "r or s is not within 1 and n - 1"), channel, hash, done);
    let ofChannel = 0;
    for (const waiting of this.#queue) if (waiting.channel === channel) ofChannel++;
    if (this.#queue.length >= TOKEN_QUEUE_MAX || ofChannel >= TOKEN_QUEUE_CHANNEL_MAX) {
      return this.#refused("busy", `${this.#queue.length} tokens wait for their signature to be checked`, channel, hash, done);
    }
    this.#queue.push({ token, key: allowed.key, bytes: own, hash, channel, done });
    this.#next();
  }

  /** To be called about once a second: deadlines, tokens slowed down, the store, the clock. */
  tick(): void {
    const now = this.#options.platform.monotonic(), utc = this.#options.utc();
    if (this.#verifying !== null && now >= this.#verifyDeadline) {
      this.#finish(this.#verifying, refuse("signature", `the check did not answer within ${VERIFY_TIMEOUT_MS} ms`));
    }
    const isRetry = now >= this.#retryAt;
    for (const held of this.#held) {
      if (!held.isStored && isRetry) {
        this.#write(held);
        if (held.isStored && !held.isSettled) this.#handOn(held, utc, "stored");
      }
      if (!held.isSettled && held.isStored && utc !== null) this.#clockCame(held, utc);
    }
    this.#next();
  }

  /** Tokens that wait or are being checked. */
  get pending(): number {
    return this.#queue.length + (this.#verifying === null ? 0 : 1);
  }

  #next(): void {
    if (this.#verifying !== null) return;
    const { platform } = this.#options;
    const now = platform.monotonic();
    const at = this.#queue.findIndex((waiting) => this.#notBefore[CHANNELS.indexOf(waiting.channel)]! <= now);
    if (at < 0) return;
    const waiting = this.#queue.splice(at, 1)[0]!;
    this.#verifying = waiting;
    this.#verifyDeadline = now + VERIFY_TIMEOUT_MS;
    platform.verifyP256(waiting.key.point, signedBytes(waiting.token), waiting.token.message.signature, (valid) => {
      // A second answer, or one to a verification that was given up, finds another at work.
      if (this.#verifying !== waiting) return;
      this.#finish(waiting, valid ? null : refuse("signature", `not signed by ${waiting.key.kid}`));
    });
  }

  #finish(waiting: Waiting, refusal: Refusal | null): void {
    this.#verifying = null;
    if (refusal !== null) {
      const channel = CHANNELS.indexOf(waiting.channel), bad = this.#bad[channel]!;
      this.#notBefore[channel] = this.#options.platform.monotonic() + Math.min(BAD_SIGNATURE_WAIT_MAX_MS, BAD_SIGNATURE_WAIT_MIN_MS * 2 ** Math.min(bad, 16));
      this.#bad[channel] = bad + 1;
      this.#refuse(refusal, waiting.channel, waiting.hash, waiting.done);
    } else {
      this.#verified(waiting);
    }
    this.#next();
  }

  #verified({ token, key, bytes, hash, channel, done }: Waiting): void {
    const { identity } = this.#options;
    const utc = this.#options.utc();
    const before = this.#find(token.kid, token.aud);
    const known = before === null ? null : { seq: before.seq, claims: before.token };
    const checked = checkClaims(token, identity, utc, known);
    if (!checked.ok) return this.#refuse(checked, channel, hash, done);
    if (checked.repeat && before?.token) return this.#repeat(before.token, channel, done);
    const slot = before?.slot ?? this.#freeSlot(utc);
    if (slot === null) return this.#refuse(refuse("sequence", `no room to keep a sequence: ${TOKEN_SLOTS_MAX} of key and audience are held`), channel, hash, done);

    const record: CapRecord = { role: key.role, isTimely: utc !== null, kid: token.kid, aud: token.aud, seq: token.seq, token: bytes };
    const held: Held = before ?? { slot, kid: token.kid, aud: token.aud, seq: 0, token: null, inForce: null, record, isStored: false, isSettled: false };
    if (before === null) this.#held.push(held);
    held.seq = token.seq;
    held.token = accepted(token, key.role, channel, hash);
    held.record = record;
    held.isSettled = false;
    this.#write(held);
    this.counters.accepted++;
    this.#bad[CHANNELS.indexOf(channel)] = 0;
    this.#handOn(held, utc, "new");
    done?.({ kind: "accepted", token: held.inForce! });
  }

  #handOn(held: Held, utc: EpochSeconds | null, occasion: Occasion): void {
    const token = held.token!;
    held.isSettled = utc !== null && held.isStored && held.record.isTimely;
    const events = held.isSettled || held.inForce === null ? token.events : tightenOnly(held.inForce.events, token.events, utc);
    held.inForce = { ...token, events, clockTrusted: utc !== null };
    // The same word ends the doubt in limits: nobody waits any more for what stood in these slots.
    if (utc !== null && token.role === "operator" && token.channel !== "store") this.#mend();
    this.#options.onAccepted(held.inForce, occasion);
  }

  /** The times of a token that came before the clock was trusted. */
  #clockCame(held: Held, utc: EpochSeconds): void {
    const token = held.token!;
    if (!held.record.isTimely) {
      const late = checkTimes(token, utc);
      if (late !== null) {
        held.isSettled = true;
        return this.#refuse(late, token.channel, token.hash, undefined);
      }
      held.record = { ...held.record, isTimely: true };
      this.#write(held);
      // It was kept before, so the sequence is safe whether or not this write was.
      held.isStored = true;
    }
    this.#handOn(held, utc, "clock");
  }

  #mend(): void {
    this.#lost = this.#lost.filter((slot) => !this.#held.some((held) => held.slot === slot) && !this.#options.store.write(slotKey(slot), NO_RECORD));
  }

  #write(held: Held): void {
    const { platform, store } = this.#options;
    held.isStored = store.write(slotKey(held.slot), encodeRecord(held.record, (data) => platform.sha256(data)));
    if (held.isStored) return;
    this.#retryAt = platform.monotonic() + TOKEN_STORE_RETRY_MS;
    this.#storeFault(`${slotKey(held.slot)} was not written: sequence ${held.seq} of ${held.kid} for ${held.aud} may only tighten`);
  }

  /** A slot nobody uses, or one whose key or audience is no longer ours and whose caps are over. */
  #freeSlot(utc: EpochSeconds | null): number | null {
    for (let slot = 0; slot < TOKEN_SLOTS_MAX; slot++) {
      if (!this.#held.some((held) => held.slot === slot)) return slot;
    }
    if (utc === null) return null;
    const { identity, keys } = this.#options;
    const at = this.#held.findIndex(({ kid, aud, inForce }) =>
      (findKey(keys(), kid) === null || !isAddressed(aud, identity))
      && (inForce === null || (inForce.exp <= utc && inForce.events.every(({ start, duration }) => start + duration <= utc))));
    return at < 0 ? null : this.#held.splice(at, 1)[0]!.slot;
  }

  #find(kid: string, aud: string): Held | null {
    for (const held of this.#held) if (held.kid === kid && held.aud === aud) return held;
    return null;
  }

  #hash(bytes: Uint8Array): string {
    return hex(this.#options.platform.sha256(bytes).subarray(0, 8));
  }

  #repeat(token: AcceptedToken, channel: CapChannel, done: Waiting["done"]): void {
    this.counters.repeats++;
    this.#options.onRepeat?.(token, channel);
    done?.({ kind: "repeat", token });
  }

  #refuse(refusal: Refusal, channel: CapChannel, hash: string, done: Waiting["done"]): void {
    this.#refused(refusal.rule, refusal.detail, channel, hash, done);
  }

  #refused(rule: InboxRule, detail: string, channel: CapChannel, hash: string, done: Waiting["done"]): void {
    this.counters[rule]++;
    if (this.#mayReport()) this.#options.onRefused({ rule, detail, channel, hash });
    else this.counters.unreported++;
    done?.({ kind: "refused", rule, detail, channel, hash });
  }

  #mayReport(): boolean {
    const now = this.#options.platform.monotonic();
    const earned = Math.floor((now - this.#reportsAt) / REFUSAL_REPORT_EVERY_MS);
    this.#reportsAt += earned * REFUSAL_REPORT_EVERY_MS;
    this.#reportsLeft = Math.min(REFUSAL_REPORTS_MAX, this.#reportsLeft + earned);
    if (this.#reportsLeft === 0) return false;
    this.#reportsLeft--;
    return true;
  }

  #storeFault(detail: string): void {
    this.counters.storeFailures++;
    this.#options.onStoreFault?.(detail);
  }
}

/** In place of a record that was lost and is no longer missed. */
const NO_RECORD = new Uint8Array(0);

const slotKey = (slot: number): string => `cap${slot}`;

/** The token itself as it would be handed on with everything well. */
function accepted(token: DecodedToken, role: TrustedKey["role"], channel: CapChannel, hash: string): AcceptedToken {
  const { kid, aud, seq, iat, exp, events } = token;
  return { kid, role, aud, seq, iat, exp, events, clockTrusted: true, channel, hash };
}
