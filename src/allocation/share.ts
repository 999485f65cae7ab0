import { EV_START_EXTRA_MA, EV_START_HOLD_MS, OFF_TIME_MIN_MS, ON_TIME_MIN_MS } from "../constants.js";
import type { Millis } from "../units.js";
import { firstShort, fits, most, take, tightest, NET, SCOPED, type Consumer, type Rooms } from "./rooms.js";
import type { DeviceState } from "./state.js";

/**
 * Admission, CONTROL.md "Allocation": at the minimum on all the phases a device uses. Running ones
 * by priority first; then those that are off, by priority and longest off. A start of a higher
 * priority may end a running device of a lower one whose on-time is over. `list` is in priority
 * order; returns when each device's room for a start began, by place in `list`.
 */
export function admit(rooms: Rooms, list: readonly Consumer[], states: readonly DeviceState[], mayStart: boolean, now: Millis): (Millis | null)[] {
  const startSince: (Millis | null)[] = [];
  let waiting = 0;
  for (let place = 0; place < list.length; place++) {
    const one = list[place]!;
    startSince.push(null);
    if (one.maximum < one.minimum || one.maximum === 0) continue;
    if (!one.running) {
      waiting += 1;
      continue;
    }
    const short = firstShort(rooms, one, one.minimum);
    if (short < 0) enter(rooms, one);
    else refuse(one, short);
  }
  // Longest off first within a priority: at most eight devices, so a scan for each does.
  for (let done = 0; done < waiting; done++) {
    const place = nextToStart(list, states, startSince);
    if (place < 0) break;
    startSince[place] = tryStart(rooms, list, list[place]!, states, mayStart, now);
  }
  for (let place = 0; place < startSince.length; place++) if (startSince[place] === SEEN) startSince[place] = null;
  return startSince;
}

/** Marks a device whose start was tried in this tick and found no room. */
const SEEN = -1;

function nextToStart(list: readonly Consumer[], states: readonly DeviceState[], startSince: readonly (Millis | null)[]): number {
  let best = -1;
  for (let place = 0; place < list.length; place++) {
    const one = list[place]!;
    if (one.running || one.maximum < one.minimum || one.maximum === 0 || startSince[place] !== null) continue;
    if (best < 0) {
      best = place;
      continue;
    }
    const other = list[best]!;
    if (one.priority !== other.priority) break;
    if ((states[one.index]!.offSince ?? -1) < (states[other.index]!.offSince ?? -1)) best = place;
  }
  return best;
}

function tryStart(rooms: Rooms, list: readonly Consumer[], one: Consumer, states: readonly DeviceState[], mayStart: boolean, now: Millis): Millis {
  const state = states[one.index]!;
  const trial = rooms.slice();
  let short = startShort(trial, one);
  let leaving = 0;
  for (let place = list.length - 1; short >= 0 && place >= 0; place--) {
    const other = list[place]!;
    if (other.priority <= one.priority) break;
    if (!other.admitted || !other.running || other.cost[short] === 0) continue;
    const since = states[other.index]!.onSince;
    if (since !== null && now - since < ON_TIME_MIN_MS) {
      other.reason = "on_time";
      continue;
    }
    take(trial, other, -other.minimum);
    leaving |= 1 << place;
    short = startShort(trial, one);
  }
  if (short >= 0) {
    refuse(one, short);
    return SEEN;
  }
  const since = state.startSince ?? now;
  if (state.offSince !== null && now - state.offSince < OFF_TIME_MIN_MS) one.reason = "waits_off_time";
  else if (now - since < EV_START_HOLD_MS || !mayStart) one.reason = "waits_start";
  else {
    for (let place = 0; place < list.length; place++) {
      const other = list[place]!;
      if ((leaving & (1 << place)) === 0) continue;
      take(rooms, other, -other.minimum);
      refuse(other, tightest(trial, one));
    }
    enter(rooms, one);
  }
  return since;
}

/**
 * The room that is short for a start: the minimum and 1.5 A more, everywhere but in the scope of
 * the controllable devices, whose limit no other load moves (and where 6 A on three phases must
 * fit under 4.2 kW).
 */
function startShort(rooms: Rooms, one: Consumer): number {
  const short = firstShort(rooms, one, one.minimum);
  if (short >= 0) return short;
  const wanted = one.minimum + EV_START_EXTRA_MA * one.scale;
  for (let place = 0; place <= NET; place++) {
    const each = one.cost[place]!;
    if (each > 0 && rooms[place]! < wanted * each) return place;
  }
  return -1;
}

function enter(rooms: Rooms, one: Consumer): void {
  one.admitted = true;
  one.target = one.minimum;
  one.reason = one.reason === "on_time" ? "on_time" : "asked_in_full";
  one.bind = -1;
  take(rooms, one, one.minimum);
}

function refuse(one: Consumer, short: number): void {
  one.admitted = false;
  one.target = 0;
  one.reason = "below_minimum";
  one.bind = short;
}

/** What is left, by priority; equal shares within one. `list` is in priority order. */
export function distribute(rooms: Rooms, list: readonly Consumer[]): void {
  let from = 0;
  while (from < list.length) {
    let to = from + 1;
    while (to < list.length && list[to]!.priority === list[from]!.priority) to += 1;
    if (to === from + 1) fillOne(rooms, list[from]!);
    else fillEqually(rooms, list, from, to);
    from = to;
  }
  for (let place = 0; place < list.length; place++) {
    const one = list[place]!;
    if (one.admitted && one.target < one.maximum) one.bind = tightest(rooms, one);
  }
}

function fillOne(rooms: Rooms, one: Consumer): void {
  if (!one.admitted) return;
  const target = Math.min(one.maximum, onGrid(one, one.target + Math.max(0, most(rooms, one))));
  if (target > one.target) {
    take(rooms, one, target - one.target);
    one.target = target;
  }
}

/**
 * Raises the lowest together until a room is full or a maximum is reached (max-min fairness, in mA
 * per phase), brings each down to its step grid, then adds one step each in turn.
 */
function fillEqually(rooms: Rooms, list: readonly Consumer[], from: number, to: number): void {
  const level: number[] = [];
  const open: boolean[] = [];
  let any = false;
  for (let place = from; place < to; place++) {
    const one = list[place]!;
    level.push(one.target / one.scale);
    open.push(one.admitted && one.target < one.maximum);
    any ||= one.admitted && one.target < one.maximum;
  }
  if (!any) return;
  for (let round = 0; round < 2 * (to - from) + 5; round++) {
    if (!raiseLowest(rooms, list, from, level, open)) break;
  }
  for (let place = from; place < to; place++) {
    const one = list[place]!;
    if (!one.admitted) continue;
    const reached = level[place - from]! * one.scale;
    one.target = Math.max(one.target, Math.min(one.maximum, onGrid(one, reached + 1e-6)));
    take(rooms, one, one.target - reached);
  }
  let given = true;
  for (let round = 0; given && round < 8; round++) {
    given = false;
    for (let place = from; place < to; place++) {
      const one = list[place]!;
      if (!one.admitted || one.target + one.step > one.maximum || !fits(rooms, one, one.step)) continue;
      take(rooms, one, one.step);
      one.target += one.step;
      given = true;
    }
  }
}

/** One round: all that share the lowest level rise by as much as every room, maximum and the next level allow. */
function raiseLowest(rooms: Rooms, list: readonly Consumer[], from: number, level: number[], open: boolean[]): boolean {
  let low = Infinity;
  let next = Infinity;
  for (let place = 0; place < level.length; place++) {
    if (!open[place]) continue;
    const here = level[place]!;
    if (here < low) {
      next = low;
      low = here;
    } else if (here > low && here < next) next = here;
  }
  if (low === Infinity) return false;
  let rise = next - low;
  let first = 0, second = 0, third = 0, watts = 0;
  for (let place = 0; place < level.length; place++) {
    if (!open[place] || level[place] !== low) continue;
    const { cost, scale, maximum } = list[from + place]!;
    if (maximum / scale - low < rise) rise = maximum / scale - low;
    first += cost[0]! * scale;
    second += cost[1]! * scale;
    third += cost[2]! * scale;
    watts += cost[NET]! * scale;
  }
  let full = -1;
  const lower = (room: number, together: number): void => {
    if (together <= 0 || rooms[room]! / together >= rise) return;
    rise = rooms[room]! / together;
    full = room;
  };
  lower(0, first);
  lower(1, second);
  lower(2, third);
  lower(NET, watts);
  lower(SCOPED, watts);
  rise = Math.max(0, rise);
  for (let place = 0; place < level.length; place++) {
    if (!open[place] || level[place] !== low) continue;
    const one = list[from + place]!;
    take(rooms, one, rise * one.scale);
    level[place] = rise === next - low ? next : low + rise;
    if (level[place]! * one.scale >= one.maximum - 1e-6 || (full >= 0 && one.cost[full]! > 0)) open[place] = false;
  }
  return true;
}

function onGrid(one: Consumer, value: number): number {
  return Math.floor(value / one.step) * one.step;
}
