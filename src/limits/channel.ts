import { LINK_LIFE_MAX_S, RAISE_DELAY_MAX_MS, RAISE_RAMP_MS, RELEASE_MAX_MS } from "../constants.js";
import type { Site } from "../site.js";
import type { EpochSeconds, Millis, Watts } from "../units.js";
import type { LimitsEvent, Scope } from "./event.js";
import { NO_LIMIT, type Limit, type LimitSource } from "./limit.js";
import { spreadOver } from "./spread.js";
import type { Binding, Channel, Rise } from "./state.js";
import { topOf } from "./top.js";

/*
 * Lower at once, higher slowly (CAPS, Life 4). The level is the least of three: the target (what
 * binds), a release (towards no cap) and a raise (towards a higher cap). A release goes on unseen
 * below a cap that comes in its middle; so a short cap, or a reboot, never shortens it.
 */

export const FREE: Channel = { level: null, binding: null, release: null, raise: null, limit: NO_LIMIT };

export interface ChannelContext {
  readonly scope: Scope;
  readonly site: Site;
  readonly utc: EpochSeconds | null;
  /** The tick before. */
  readonly before: Millis;
  readonly now: Millis;
}

/** One tick of one channel. `target` null = nothing binds. */
export function channelStep(channel: Channel, target: Binding | null, ctx: ChannelContext, log: LimitsEvent[]): Channel {
  if (channel.level === null && target === null) return channel;
  let release = unlessDone(channel.release, ctx, "release_ends", log);
  let raise = unlessDone(channel.raise, ctx, "raise_ends", log);
  const from = channel.level;
  if (from !== null && !followsRelease(channel, from, ctx.before)) {
    if (target === null) {
      release = unlessDone(begin(ctx, "release_begins", releaseOf(channel, from, release, ctx), log), ctx, "release_ends", log);
      raise = null;
    } else if ((least(target.watts, release, null, ctx.now) ?? 0) <= from) {
      raise = null;
    } else if (channel.raise === null || target.watts > channel.raise.to) {
      raise = begin(ctx, "raise_begins", raiseOf(channel, from, target.watts, ctx), log);
    }
  }

  const level = least(target === null ? null : target.watts, release, raise, ctx.now);
  const binding = level === null ? null : target === null ? channel.binding : continued(channel.binding, target);
  const limit = limitOf(channel.limit, level, target, release, raise, ctx.now);
  if (level === channel.level && binding === channel.binding && release === channel.release && raise === channel.raise
    && limit === channel.limit) return channel;
  return { level, binding, release, raise, limit };
}

/** The level came from the release alone, and goes on with it. */
function followsRelease(channel: Channel, level: Watts, before: Millis): boolean {
  return channel.release !== null && channel.raise === null && riseAt(channel.release, before) === level;
}

function least(target: Watts | null, release: Rise | null, raise: Rise | null, now: Millis): Watts | null {
  let level = target;
  if (release !== null && (level === null || riseAt(release, now) < level)) level = riseAt(release, now);
  if (raise !== null && (level === null || riseAt(raise, now) < level)) level = riseAt(raise, now);
  return level;
}

/** The level a rise allows at `now`, whole watts, rounded down. */
export function riseAt(rise: Rise, now: Millis): Watts {
  const past = now - rise.begin - rise.delay;
  if (past <= 0) return rise.from;
  if (past >= rise.ramp) return rise.to;
  return rise.from + Math.floor(((rise.to - rise.from) * past) / rise.ramp);
}

/** D: the event's own wish, or min(3 h, 1.5 x its length, as far as it was in force). */
export function releaseTime(binding: Binding, now: Millis): Millis {
  if (binding.release !== null) return Math.min(binding.release, LINK_LIFE_MAX_S * 1_000);
  const held = Math.max(0, now - binding.since);
  const length = binding.length === null ? held : Math.min(held, binding.length);
  return Math.min(RELEASE_MAX_MS, Math.floor((length * 3) / 2));
}

/** After a reboot, once the clock is trusted: the delay served in the dark counts, the ramp does not. */
export function resumeRise(rise: Rise | null, utc: EpochSeconds, now: Millis): Rise | null {
  if (rise === null || rise.beginUtc === null) return rise;
  const served = Math.max(0, Math.min(rise.delay, (utc - rise.beginUtc) * 1_000));
  return now - served < rise.begin ? { ...rise, begin: now - served } : rise;
}

function unlessDone(rise: Rise | null, ctx: ChannelContext, kind: "release_ends" | "raise_ends", log: LimitsEvent[]): Rise | null {
  if (rise === null || ctx.now - rise.begin < rise.delay + rise.ramp) return rise;
  log.push({ kind, scope: ctx.scope, id: rise.id });
  return null;
}

function begin(ctx: ChannelContext, kind: "release_begins" | "raise_begins", rise: Rise, log: LimitsEvent[]): Rise {
  log.push({ kind, scope: ctx.scope, id: rise.id, from: rise.from, to: rise.to, delay: rise.delay, ramp: rise.ramp });
  return rise;
}

function releaseOf(channel: Channel, from: Watts, unseen: Rise | null, ctx: ChannelContext): Rise {
  const { now } = ctx;
  const binding = channel.binding;
  const id = binding === null ? "" : binding.id === "" ? binding.source : binding.id;
  const whole = binding === null ? 0 : releaseTime(binding, now);
  let delay = spreadOver(whole, ctx.site.serial, id);
  let ramp = Math.floor(whole / 2);
  if (unseen !== null) {
    // Not faster than the release that was under way before.
    delay = Math.max(delay, unseen.begin + unseen.delay - now);
    ramp = Math.max(ramp, unseen.begin + unseen.delay + unseen.ramp - now - delay);
  }
  return { id, from, to: Math.max(from, topOf(ctx.site, ctx.scope)), begin: now, delay, ramp, beginUtc: ctx.utc };
}

function raiseOf(channel: Channel, from: Watts, to: Watts, ctx: ChannelContext): Rise {
  const binding = channel.binding;
  const id = binding === null ? "" : binding.id === "" ? binding.source : binding.id;
  return {
    id, from, to, begin: ctx.now, delay: spreadOver(RAISE_DELAY_MAX_MS, ctx.site.serial, id), ramp: RAISE_RAMP_MS, beginUtc: ctx.utc,
  };
}

/** The same binding where nothing changed; time without a link counts as one stretch. */
function continued(before: Binding | null, target: Binding): Binding {
  if (before === null) return target;
  let since = target.since;
  if (before.since < since && withoutLink(before.source) && withoutLink(target.source)) since = before.since;
  if (before.watts === target.watts && before.source === target.source && before.id === target.id && before.until === target.until
    && before.since === since && before.length === target.length && before.release === target.release) return before;
  return since === target.since ? target : { ...target, since };
}

function withoutLink(source: LimitSource): boolean {
  return source === "start" || source === "failsafe";
}

function limitOf(
  before: Limit, level: Watts | null, target: Binding | null, release: Rise | null, raise: Rise | null, now: Millis,
): Limit {
  if (level === null) return NO_LIMIT;
  if (target !== null && level === target.watts) return limit(before, level, target.source, target.id, target.until);
  const rise = raise !== null && riseAt(raise, now) === level ? raise : release;
  if (rise === null) return limit(before, level, "release", "", null);
  const until = rise.beginUtc === null ? null : rise.beginUtc + Math.ceil((rise.delay + rise.ramp) / 1_000);
  return limit(before, level, "release", rise.id, until);
}

/** A limit object, the one before where it says the same. */
export function limit(before: Limit, watts: Watts, source: LimitSource, id: string, until: EpochSeconds | null): Limit {
  if (before.kind === "limit" && before.watts === watts && before.source === source && before.id === id && before.until === until) {
    return before;
  }
  return { kind: "limit", watts, source, id, until };
}
