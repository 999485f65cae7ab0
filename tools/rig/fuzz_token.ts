/** Tokens: mutated bytes, signatures at the edges of P-256, strangers' keys; and tokens in any order. */
import { sha256, verifyP256Sync } from "../../hal/node/crypto.js";
import { Flash } from "../../hal/sim/key_value.js";
import { Power } from "../../hal/sim/power.js";
import { CapInbox } from "../../src/services/cap_inbox.js";
import { Store } from "../../src/services/store.js";
import type { AcceptedToken } from "../../src/token/cap.js";
import { checkClaims } from "../../src/token/claims.js";
import { decodeToken, signedBytes } from "../../src/token/decode.js";
import { checkKey, keyOfEntry, type TrustedKey } from "../../src/token/keys.js";
import { signatureInRange } from "../../src/wire/p256.js";
import { CAP_CONTEXT, encodeClaims, encodeToken, sign1, type OperatorEvent } from "../operator/encode.js";
import { publicEntry } from "../operator/files.js";
import { mutated, type Fuzz, type Fuzzer } from "./fuzz.js";
import { EAN, rigKey, type Dice } from "./plan.js";

const NOW = 1_768_496_400;
const AUD = `ean:${EAN}`;
const trusted = (name: string): TrustedKey => keyOfEntry({ ...publicEntry(rigKey(name)), audiences: undefined, not_before: undefined, not_after: undefined });
const ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;

function someEvent(dice: Dice, at: number): OperatorEvent {
  return {
    id: (0x10000000 + dice.below(0x1000_0000)).toString(16), start: at + dice.between(-600, 3_600), duration: dice.between(1, 7_200),
    importLimit: dice.chance(800) ? dice.pick([0, 1_000, 4_200, 70_000]) : null, exportLimit: dice.chance(300) ? dice.between(0, 5_000) : null,
    emergency: dice.chance(200), controllable: dice.chance(200), release: dice.chance(300) ? dice.between(0, 3_600) : null,
  };
}

const bytesOf = (value: bigint): Uint8Array => Uint8Array.from(Buffer.from((value & ((1n << 256n) - 1n)).toString(16).padStart(64, "0"), "hex"));
const numberOf = (bytes: Uint8Array): bigint => BigInt(`0x${Buffer.from(bytes).toString("hex")}`);

export const tokens: Fuzzer = {
  name: "tokens", change: 100_000, release: 10_000_000,
  make(dice): Fuzz {
    const key = rigKey("operator");
    const keys = [trusted("operator")];
    const claims = { aud: AUD, seq: dice.between(1, 1_000_000), iat: NOW, exp: NOW + 900, events: Array.from({ length: dice.below(4) }, () => someEvent(dice, NOW)) };
    const good = encodeToken(claims, key);
    const payload = encodeClaims(claims);
    const seen: Record<string, number> = { accepted: 0, same: 0 };
    const verdict = (bytes: Uint8Array): string => {
      const decoded = decodeToken(bytes);
      if (!decoded.ok) return decoded.rule;
      const allowed = checkKey(keys, decoded.token, "mqtt", NOW);
      if (!allowed.ok) return allowed.rule;
      if (!signatureInRange(decoded.token.message.signature)) return "range";
      if (!verifyP256Sync(allowed.key.point, signedBytes(decoded.token), decoded.token.message.signature)) return "signature";
      const checked = checkClaims(decoded.token, { ean: EAN, msr: null }, NOW, null);
      return checked.ok ? "accepted" : checked.rule;
    };
    const expectRule = (bytes: Uint8Array, rules: readonly string[], what: string): string | null => {
      const said = verdict(bytes);
      seen[said] = (seen[said] ?? 0) + 1;
      return rules.includes(said) ? null : `${what}: ${said}, expected ${rules.join(" or ")}: ${Buffer.from(bytes).toString("hex")}`;
    };
    const withSignature = (r: bigint, s: bigint): Uint8Array => {
      const out = good.slice();
      out.set(bytesOf(r), out.length - 64);
      out.set(bytesOf(s), out.length - 32);
      return out;
    };
    const r = numberOf(good.subarray(good.length - 64, good.length - 32)), s = numberOf(good.subarray(good.length - 32));
    return {
      seen,
      trial(own) {
        switch (own.below(12)) {
          case 0: return expectRule(good, ["accepted"], "the very token");
          // Edges of the group: what Wycheproof's P-256 vectors try.
          case 1: return expectRule(withSignature(own.pick([0n, ORDER, ORDER + 1n, (1n << 256n) - 1n]), s), ["range"], "r out of range");
          case 2: return expectRule(withSignature(r, own.pick([0n, ORDER, ORDER + 1n, (1n << 256n) - 1n])), ["range"], "s out of range");
          case 3: return expectRule(withSignature(own.pick([1n, 2n, ORDER - 1n, ORDER - 2n, r ^ (1n << BigInt(own.below(255)))]), s), ["signature", "range"], "another r");
          case 4: return expectRule(withSignature(r, own.pick([1n, 2n, ORDER - 1n, ORDER >> 1n, s ^ (1n << BigInt(own.below(255)))])), ["signature", "range"], "another s");
          case 5: return expectRule(withSignature(r, ORDER - s), ["accepted"], "high s");
          case 6: return expectRule(encodeToken(claims, { ...rigKey("stranger"), kid: key.kid }), ["signature"], "a stranger in the operator's name");
          case 7: return expectRule(encodeToken(claims, rigKey("stranger")), ["kid"], "a stranger");
          case 8: return expectRule(sign1(payload, key, own.pick(["vangnet-keys-v1", "vangnet-cap-v2", ""])), ["signature"], "another context");
          case 9: return expectRule(sign1(payload, key, CAP_CONTEXT, own.pick([-8, -35, -36, 5, 0])), ["structure"], "another algorithm");
          default: {
            const spoilt = mutated(good, own);
            if (Buffer.compare(spoilt, good) === 0) {
              seen["same"]!++;
              return null;
            }
            const said = verdict(spoilt);
            seen[said] = (seen[said] ?? 0) + 1;
            return said === "accepted" ? `forged: ${Buffer.from(spoilt).toString("hex")}` : null;
          }
        }
      },
    };
  },
};

/** One house's inbox through tokens late, repeated, reordered, with reboots, cuts and clock jumps. */
export const tokenOrder: Fuzzer = {
  name: "token order", change: 100_000, release: 10_000_000,
  make(dice): Fuzz {
    const key = rigKey("operator");
    const seen = { accepted: 0, refused: 0, reboots: 0, cuts: 0 };
    const power = new Power();
    power.onCut = () => { power.off = true; };
    const flash = new Flash(power, dice);
    let now = 0, utc: number | null = NOW, seq = 100, held: AcceptedToken | null = null, highest = 0, promised = 0;
    const sent: { bytes: Uint8Array; seq: number }[] = [];
    const boot = (): CapInbox => {
      const inbox = new CapInbox({
        identity: { ean: EAN, msr: null }, keys: () => [trusted("operator")], store: new Store(flash.open("vangnet")), utc: () => utc,
        platform: { monotonic: () => now, sha256, verifyP256: (point: Uint8Array, message: Uint8Array, signature: Uint8Array, done: (valid: boolean) => void) => done(verifyP256Sync(point, message, signature)) } as never,
        onAccepted: (token) => { held = token; },
        onRefused: () => { seen.refused++; },
      });
      inbox.restore();
      return inbox;
    };
    let inbox = boot();
    return {
      seen,
      trial(own) {
        now += own.below(120_000);
        if (utc !== null) utc += own.below(60);
        const what = own.below(20);
        if (what === 0) utc = own.chance(500) ? null : NOW + (now - now % 1000) / 1000 + own.pick([0, 0, -400, 400, 86_400]);
        if (what === 1) {
          seen.reboots++;
          held = null;
          inbox = boot();
          // What was accepted and reported stored is not forgotten.
          const after = held as AcceptedToken | null;
          if (utc === null && promised > 0 && after !== null && after.seq < promised) return `after a reboot sequence ${after.seq}, ${promised} was accepted`;
          return null;
        }
        let bytes: Uint8Array, its: number;
        if (what < 8 && sent.length > 0) ({ bytes, seq: its } = own.pick(sent));
        else {
          const iat = utc ?? NOW;
          its = ++seq;
          bytes = encodeToken({ aud: AUD, seq: its, iat: iat + own.pick([0, 0, 0, -900, 600]), exp: iat + own.pick([900, 900, 86_400, -10]), events: own.chance(600) ? [someEvent(own, iat)] : [] }, key);
          if (own.chance(300)) {
            sent.push({ bytes, seq: its });
            if (sent.length > 30) sent.shift();
            return null; // not sent yet: it comes later, out of order
          }
          sent.push({ bytes, seq: its });
          if (sent.length > 30) sent.shift();
        }
        const cut = own.chance(50);
        if (cut) power.cutAtWrite = power.writes + own.between(1, 3);
        let outcome = "none";
        try {
          inbox.offer(bytes, "mqtt", ({ kind }) => { outcome = kind; });
          inbox.tick();
        } catch (error) {
          if (!power.off) throw error;
        }
        power.cutAtWrite = null;
        if (power.off) {
          power.off = false;
          seen.cuts++;
          inbox = boot();
          return null;
        }
        if (outcome === "accepted") {
          seen.accepted++;
          if (its <= highest) return `sequence ${its} accepted after ${highest}`;
          highest = its;
          promised = its;
        }
        return null;
      },
    };
  },
};
