import { EVENT_SECONDS_MAX, HELD_EVENTS_MAX, LINK_LIFE_MAX_S, LINKS_MAX } from "../constants.js";
import type { AcceptedToken, CapEvent } from "../token/cap.js";
import type { EpochSeconds, Millis, Seconds, Watts } from "../units.js";
import type { CapFacts, LimitsEvent } from "./event.js";
import type { HeldEvent, Link, Timing } from "./state.js";

/*
 * What the operators have said, and when it holds. An event has two clocks: the epoch times of the
 * token, and the same instants on the monotonic clock, fixed when the token came. It begins when
 * EITHER says so and ends when BOTH do. So no jump of the clock within its trust starts a cap late
 * or ends one early; the worst it does is to hold one for the length of the jump.
 */

/** What is known of the time while the clock is not trusted. */
export interface Untrusted {
  /** The least utc can be. */
  readonly floor: EpochSeconds;
  /** `floor` is the time: the clock was trusted in this run and has been carried on since. */
  readonly carried: boolean;
}

/**
 * A token taken over. `utc` null: it only tightens, see tighten(). The same sequence again is no
 * error: the cap inbox hands a token on anew when the clock becomes trusted, and after a reboot.
 */
export function acceptToken(
  links: readonly Link[], token: AcceptedToken, utc: EpochSeconds | null, untrusted: Untrusted, now: Millis, log: LimitsEvent[],
): readonly Link[] {
  let at = 0;
  while (at < links.length && !(links[at]!.kid === token.kid && links[at]!.aud === token.aud)) at++;
  const old = links[at] ?? null;
  const { kid, aud, seq, hash } = token;
  if (old !== null && seq < old.seq) {
    log.push({ kind: "token", kid, aud, seq, hash, effect: "old" });
    return links;
  }
  log.push({ kind: "token", kid, aud, seq, hash, effect: utc === null ? "tightening_only" : "replaces" });
  const base: Link = old ?? { kid, operator: token.role === "operator", aud, seq, exp: token.exp, aliveUntil: null, events: [], waiting: null };
  const link = utc === null
    ? { ...base, seq, events: tighten(base, token, untrusted, now, log), waiting: { exp: token.exp, events: token.events } }
    : { ...replace(base, token.exp, token.events, utc, now, log), seq };
  const next = links.slice();
  next[at] = link;
  return next;
}

/** The token's events become the link's, whole; an event known already keeps its instants. */
function replace(
  link: Link, exp: EpochSeconds, events: readonly CapEvent[], utc: EpochSeconds, now: Millis, log: LimitsEvent[],
): Link {
  const held: HeldEvent[] = [];
  for (const event of events) {
    const old = findHeld(link.events, event);
    if (old !== null && old.timing === "clock" && sameTimes(old.event, event)) {
      if (!sameLimits(old.event, event)) log.push({ kind: "cap_replaced", cap: facts(link, event) });
      held.push(old.event === event ? old : { ...old, event });
      continue;
    }
    if (endOf(event) <= utc) {
      if (old !== null && old.inForce) log.push({ kind: "cap_ended", cap: facts(link, old.event) });
      continue;
    }
    const inForce = old !== null && old.inForce && event.start <= utc;
    log.push({ kind: old === null ? "cap_scheduled" : "cap_replaced", cap: facts(link, event) });
    held.push({ ...byClock(event, utc, now), inForce });
  }
  for (const old of link.events) {
    if (!events.some((event) => event.id === old.event.id)) log.push({ kind: "cap_cancelled", cap: facts(link, old.event) });
  }
  return { ...link, exp, aliveUntil: aliveUntil(exp, utc, now), events: held, waiting: null };
}

/**
 * Without a trusted clock nothing that holds is given up: the token's events are added, each from
 * its arrival for its whole length, and where one is known already the tighter of both counts.
 * Where the clock was never trusted in this run, only exp says how late it can be: an event that
 * starts after it begins that much after the arrival, any other at once. The time is at least
 * `floor`, which says how late the event can really begin: its length runs from there.
 */
function tighten(link: Link, token: AcceptedToken, untrusted: Untrusted, now: Millis, log: LimitsEvent[]): readonly HeldEvent[] {
  const latest = untrusted.carried ? untrusted.floor : Math.max(untrusted.floor, token.exp);
  let held = link.events;
  for (const event of token.events) {
    const known = held.findIndex((h) => h.event.id === event.id && sameTimes(h.event, event) && h.event.controllable === event.controllable);
    const old = held[known];
    if (old !== undefined) {
      const tighter = tighterOf(old.event, event);
      if (sameLimits(tighter, old.event)) continue;
      log.push({ kind: "cap_replaced", cap: facts(link, tighter) });
      held = held.map((h, i) => (i === known ? { ...h, event: tighter } : h));
      continue;
    }
    // Time has come at least as far as `floor`: an event that was over then is over.
    if (endOf(event) <= untrusted.floor) continue;
    const startsAt = now + milliseconds(Math.max(0, event.start - latest));
    const endsAt = now + milliseconds(Math.max(0, event.start - untrusted.floor)) + milliseconds(event.duration);
    log.push({ kind: "cap_scheduled", cap: facts(link, event) });
    held = [...held, { event, startsAt, endsAt, inForce: false, timing: "arrival" }];
  }
  return held.length <= HELD_EVENTS_MAX ? held : fold(held);
}

/** Bounded: the two oldest entries become one that is at least as strict as both at any time. */
function fold(held: readonly HeldEvent[]): readonly HeldEvent[] {
  let rest = held;
  while (rest.length > HELD_EVENTS_MAX) {
    const a = rest[0]!;
    const b = rest[1]!;
    const event = tighterOf(a.event, b.event);
    rest = [{
      event: { ...event, controllable: a.event.controllable && b.event.controllable },
      startsAt: Math.min(a.startsAt, b.startsAt), endsAt: Math.max(a.endsAt, b.endsAt), inForce: a.inForce || b.inForce, timing: "arrival",
    }, ...rest.slice(2)];
  }
  return rest;
}

/** Each tick: what begins, what is over. The same array where nothing does. */
export function advance(links: readonly Link[], utc: EpochSeconds | null, now: Millis, log: LimitsEvent[]): readonly Link[] {
  let next: Link[] | null = null;
  for (let i = 0; i < links.length; i++) {
    const link = links[i]!;
    let events: HeldEvent[] | null = null;
    for (let k = link.events.length - 1; k >= 0; k--) {
      const held = link.events[k]!;
      const over = now >= held.endsAt && (utc === null || utc >= endOf(held.event));
      const begun = !over && !held.inForce && (now >= held.startsAt || (utc !== null && utc >= held.event.start));
      if (!over && !begun) continue;
      events ??= link.events.slice();
      if (over) events.splice(k, 1);
      else events[k] = { ...held, inForce: true };
      log.push({ kind: over ? "cap_ended" : "cap_in_force", cap: facts(link, held.event) });
    }
    if (events === null) continue;
    next ??= links.slice();
    next[i] = { ...link, events };
  }
  return next ?? links;
}

/**
 * The clock has become trusted: tokens that waited replace what they tightened, and all that was
 * counted from an arrival gets its true instants. What turns out to be over stays for this tick
 * with its true length, by which its release is measured; advance() ends it in the next.
 */
export function retime(links: readonly Link[], utc: EpochSeconds, now: Millis, log: LimitsEvent[]): readonly Link[] {
  return links.map((link) => {
    if (link.waiting !== null && link.waiting.exp > utc) return replace(link, link.waiting.exp, link.waiting.events, utc, now, log);
    const events = link.events.map((held) =>
      held.timing === "clock" ? held : { ...byClock(held.event, utc, now), inForce: held.inForce && held.event.start <= utc });
    return { ...link, aliveUntil: link.aliveUntil ?? aliveUntil(link.exp, utc, now), events, waiting: null };
  });
}

/** Alive while the operator's promise to speak again (exp) is not broken; unknown is not alive. */
export function isAlive(link: Link, utc: EpochSeconds | null, now: Millis): boolean {
  return link.aliveUntil !== null && now < link.aliveUntil && (utc === null || utc < link.exp);
}

/** Links that can no longer say anything. The bound is that of the keys; beyond it the oldest dead go. */
export function prune(links: readonly Link[], utc: EpochSeconds | null, now: Millis): readonly Link[] {
  if (links.length <= LINKS_MAX) return links;
  return links.filter((link) => isAlive(link, utc, now) || link.events.length > 0 || link.waiting !== null);
}

export function endOf(event: CapEvent): EpochSeconds {
  return event.start + event.duration;
}

export function facts(link: Link, event: CapEvent): CapFacts {
  return {
    id: event.id, kid: link.kid, aud: link.aud, importLimit: event.importLimit, exportLimit: event.exportLimit,
    start: event.start, end: endOf(event),
  };
}

export function milliseconds(seconds: Seconds): Millis {
  return Math.max(-EVENT_SECONDS_MAX, Math.min(EVENT_SECONDS_MAX, seconds)) * 1_000;
}

export function byClock(event: CapEvent, utc: EpochSeconds, now: Millis): HeldEvent {
  const startsAt = now + milliseconds(event.start - utc);
  const timing: Timing = "clock";
  return { event, startsAt, endsAt: startsAt + milliseconds(event.duration), inForce: false, timing };
}

function aliveUntil(exp: EpochSeconds, utc: EpochSeconds, now: Millis): Millis {
  return now + Math.max(0, Math.min(LINK_LIFE_MAX_S, exp - utc)) * 1_000;
}

function findHeld(held: readonly HeldEvent[], event: CapEvent): HeldEvent | null {
  let found: HeldEvent | null = null;
  for (const h of held) {
    if (h.event.id !== event.id) continue;
    if (sameTimes(h.event, event)) return h;
    found = h;
  }
  return found;
}

function sameTimes(a: CapEvent, b: CapEvent): boolean {
  return a.start === b.start && a.duration === b.duration;
}

function sameLimits(a: CapEvent, b: CapEvent): boolean {
  return a.importLimit === b.importLimit && a.exportLimit === b.exportLimit && a.emergency === b.emergency
    && a.controllable === b.controllable && a.release === b.release;
}

function tighterOf(a: CapEvent, b: CapEvent): CapEvent {
  return {
    ...a, importLimit: lower(a.importLimit, b.importLimit), exportLimit: lower(a.exportLimit, b.exportLimit),
    emergency: a.emergency || b.emergency,
  };
}

/** The stricter of two; null is none. */
function lower(a: Watts | null, b: Watts | null): Watts | null {
  return a === null ? b : b === null ? a : Math.min(a, b);
}
