/** The rules after the signature: audience, times, sequence (CAPS.md, Life 1). */
import { IAT_AHEAD_MAX_S, LINK_LIFE_MAX_S } from "../constants.js";
import type { EpochSeconds } from "../units.js";
import type { CapEvent } from "./cap.js";
import { refuse, type Refusal } from "./rules.js";

export interface Claims {
  readonly aud: string;
  readonly seq: number;
  readonly iat: EpochSeconds;
  readonly exp: EpochSeconds;
  readonly events: readonly CapEvent[];
}

/** What this house answers to. */
export interface Identity {
  readonly ean: string | null;
  readonly msr: string | null;
}

/** The newest of a (kid, aud): its sequence, and its claims where an update can still read them. */
export interface Known {
  readonly seq: number;
  readonly claims: Claims | null;
}

/**
 * `repeat`: the same claims as the known ones, perhaps signed anew; nothing changes, past exp too.
 * Without a trusted clock (`utc` null) only the times that need no clock are checked.
 */
export function checkClaims(
  token: Claims, identity: Identity, utc: EpochSeconds | null, known: Known | null,
): { readonly ok: true; readonly repeat: boolean } | Refusal {
  if (!isAddressed(token.aud, identity)) return refuse("audience", `${token.aud} is not this house`);
  if (known !== null && known.claims !== null && sameClaims(token, known.claims)) return { ok: true, repeat: true };
  const late = checkTimes(token, utc);
  if (late !== null) return late;
  if (known !== null && token.seq <= known.seq) {
    return refuse("sequence", token.seq === known.seq ? `sequence ${token.seq} was used for something else` : `sequence ${token.seq} is behind ${known.seq}`);
  }
  return { ok: true, repeat: false };
}

/** Rule "times" alone: a token that came while the clock was not trusted meets it again later. */
export function checkTimes({ iat, exp }: Claims, utc: EpochSeconds | null): Refusal | null {
  if (exp <= iat) return refuse("times", "exp is not after iat");
  if (exp - iat > LINK_LIFE_MAX_S) return refuse("times", `exp is ${exp - iat} s after iat, at most ${LINK_LIFE_MAX_S}`);
  if (utc === null) return null;
  if (utc >= exp) return refuse("times", `expired ${utc - exp} s ago`);
  return iat > utc + IAT_AHEAD_MAX_S ? refuse("times", `iat is ${iat - utc} s ahead of our clock, at most ${IAT_AHEAD_MAX_S}`) : null;
}

export function isAddressed(aud: string, identity: Identity): boolean {
  if (aud === "all") return true;
  return (identity.ean !== null && aud === `ean:${identity.ean}`) || (identity.msr !== null && aud === `msr:${identity.msr}`);
}

function sameClaims(a: Claims, b: Claims): boolean {
  if (a.seq !== b.seq || a.aud !== b.aud || a.iat !== b.iat || a.exp !== b.exp || a.events.length !== b.events.length) return false;
  for (let i = 0; i < a.events.length; i++) if (!sameEvent(a.events[i]!, b.events[i]!)) return false;
  return true;
}

const sameEvent = (a: CapEvent, b: CapEvent): boolean =>
  a.id === b.id && a.start === b.start && a.duration === b.duration && a.importLimit === b.importLimit && a.exportLimit === b.exportLimit
  && a.emergency === b.emergency && a.controllable === b.controllable && a.release === b.release;
