/**
 * The core as it runs on both engines: bundled for XS by engine.ts, imported as it stands on Node.
 * Answers are JSON texts, so that what is compared is compared byte for byte.
 */
import { allocationStart, allocationTick, type AllocationInput } from "../../src/allocation/allocation.js";
import { start, tick, type Inputs, type State } from "../../src/controller.js";
import { limitsPersist, limitsRestore, limitsStart, limitsTick, type LimitsInput } from "../../src/limits/limits.js";
import { P1_METER_START, p1Reading } from "../../src/reading/p1_meter.js";
import { Narrator, Player } from "../../src/services/recording.js";
import type { Site } from "../../src/site.js";
import { TelegramReader, type CrcPolicy, type TelegramResult } from "../../src/telegram/reader.js";
import type { CapChannel } from "../../src/token/cap.js";
import { checkClaims, type Identity } from "../../src/token/claims.js";
import { decodeToken, signedBytes } from "../../src/token/decode.js";
import { checkKey, keyOfEntry, type KeyEntry, type TrustedKey } from "../../src/token/keys.js";
import { signatureInRange } from "../../src/wire/p256.js";
import type { EpochSeconds } from "../../src/units.js";

const connection: Site["connection"] = { phases: 3, delta: false, fuse: 25_000, importMax: null, exportMax: null };

function bytesOf(latin: string): Uint8Array {
  const bytes = new Uint8Array(latin.length);
  for (let i = 0; i < latin.length; i++) bytes[i] = latin.charCodeAt(i);
  return bytes;
}

const textOf = (value: unknown): string => JSON.stringify(value);

// ---- Telegrams ----

/** Each text (Latin-1) through a reader of its own, in pieces of `piece` bytes; all that it said. */
export function read(streams: readonly string[], crc: CrcPolicy, piece: number): string[] {
  return streams.map((stream) => {
    const reader = new TelegramReader({ crc });
    let meter = P1_METER_START;
    const said: unknown[] = [];
    const sink = (result: TelegramResult): void => {
      if (result.kind === "error") return void said.push(result);
      const { bytes, ...telegram } = result.telegram;
      const step = p1Reading(meter, result.telegram, connection);
      meter = step.state;
      said.push(telegram, bytes.length, step.result);
    };
    const bytes = bytesOf(stream);
    for (let p = 0; p < bytes.length; p += piece) reader.push(bytes.subarray(p, p + piece), p, sink);
    reader.flush(bytes.length, sink);
    return textOf([said, reader.counts]);
  });
}

// ---- Tokens ----

export interface TokenCase { readonly bytes: string; readonly channel: CapChannel; readonly utc: EpochSeconds | null }

/** Decoding and every rule but the signature itself. */
export function tokens(cases: readonly TokenCase[], keys: readonly KeyEntry[], identity: Identity): string[] {
  const trusted = keys.map(keyOfEntry);
  return cases.map(({ bytes, channel, utc }) => textOf(checked(bytesOf(bytes), trusted, identity, channel, utc)));
}

function checked(bytes: Uint8Array, keys: readonly TrustedKey[], identity: Identity, channel: CapChannel, utc: EpochSeconds | null): unknown {
  const decoded = decodeToken(bytes);
  if (!decoded.ok) return decoded;
  const { message, ...claims } = decoded.token;
  const key = checkKey(keys, decoded.token, channel, utc);
  return [claims, key.ok ? key.key.kid : key, signatureInRange(message.signature), [...signedBytes(decoded.token)].join(), checkClaims(decoded.token, identity, utc, null)];
}

// ---- The whole controller ----

interface Machine { player: Player; narrator: Narrator | null }
const machine: Machine = { player: new Player(), narrator: null };

/** Lines of a recording: each one's outputs and what is told of them. The first line begins anew. */
export function play(lines: readonly string[]): string[] {
  return lines.map((line) => {
    if (line.startsWith(`{"vangnet"`)) {
      machine.player = new Player();
      machine.narrator = null;
    }
    const played = machine.player.line(line);
    if (!played.ok || played.outputs === null) return textOf(played);
    machine.narrator ??= new Narrator(machine.player.site!);
    return textOf([played.outputs, machine.narrator.lines(played.outputs, played.at)]);
  });
}

// ---- Stages on their own ----

export interface LimitsCase { readonly site: Site; readonly stored: string | null; readonly steps: readonly { readonly input: LimitsInput; readonly now: number }[] }

export function limits(one: LimitsCase): string[] {
  let state = limitsStart(one.site, limitsRestore(one.stored), 0);
  return one.steps.map(({ input, now }) => {
    const outcome = limitsTick(one.site, state, input, now);
    state = outcome.state;
    return textOf([outcome.limits, outcome.events, limitsPersist(state)]);
  });
}

export interface AllocationCase { readonly site: Site; readonly steps: readonly { readonly input: AllocationInput; readonly now: number }[] }

export function allocation(one: AllocationCase): string[] {
  let state = allocationStart(one.site, [], 0);
  return one.steps.map(({ input, now }) => {
    const outcome = allocationTick(one.site, state, input, now);
    state = outcome.state;
    return textOf([outcome.decisions, outcome.state]);
  });
}

// ---- What is measured (budget.json) ----

interface Load {
  reader: TelegramReader;
  bytes: Uint8Array;
  keys: readonly TrustedKey[];
  site: Site | null;
  state: State | null;
  inputs: { inputs: Inputs; now: number }[];
  next: number;
}
const load: Load = { reader: new TelegramReader(), bytes: new Uint8Array(0), keys: [], site: null, state: null, inputs: [], next: 0 };

export function loadBytes(latin: string, keys: readonly KeyEntry[]): void {
  load.reader = new TelegramReader();
  load.bytes = bytesOf(latin);
  load.keys = keys.map(keyOfEntry);
}

/** The telegram and its reading, as services/p1_port.ts and main.ts do it. */
export function runTelegram(times: number): void {
  for (let i = 0; i < times; i++) {
    load.reader.push(load.bytes, i * 1000, (result) => {
      if (result.kind === "telegram") p1Reading(P1_METER_START, result.telegram, connection);
    });
  }
}

export function runToken(times: number): void {
  for (let i = 0; i < times; i++) {
    const decoded = decodeToken(load.bytes);
    if (!decoded.ok) throw new Error(decoded.detail);
    const key = checkKey(load.keys, decoded.token, "mqtt", decoded.token.iat);
    if (!key.ok || !signatureInRange(decoded.token.message.signature)) throw new Error("refused");
    signedBytes(decoded.token);
    checkClaims(decoded.token, { ean: null, msr: null }, decoded.token.iat, null);
  }
}

export function loadDay(site: Site, inputs: { inputs: Inputs; now: number }[]): void {
  load.site = site;
  load.state = start(site, { limits: null, sgReady: null, clock: null }, 0);
  load.inputs = inputs;
  load.next = 0;
}

export function runTicks(times: number): void {
  for (let i = 0; i < times; i++) {
    const { inputs, now } = load.inputs[load.next++]!;
    load.state = tick(load.site!, load.state!, inputs, now).state;
  }
}

export function runNothing(times: number): void {
  for (let i = 0; i < times; i++);
}

declare const gc: () => void;

/** Collects, so that all counts begin at the same place. */
export function collect(): void {
  gc();
}

/** Takes so many bytes of chunk memory, and lets go of them. */
export function fill(bytes: number): void {
  new ArrayBuffer(bytes);
}
