/**
 * The controller, put together: the only file that knows the board's platform, the services and the
 * pipeline. Services fill the inboxes; a tick empties them, decides, and sends the commands out.
 * Whatever part fails to start or falls over later, the others go on, and the tick with them.
 */
import type { Platform } from "../hal/ecma419.js";
import type { Profile } from "./actuation/profile.js";
import { MODBUS_POLL_MS, STOP_MS, TICK_PERIOD_MS } from "./constants.js";
import { start, tick, type Inputs, type Outputs, type State } from "./controller.js";
import { utc } from "./reading/clock.js";
import { modbusReading } from "./reading/modbus_meter.js";
import { P1_METER_START, p1Reading, type P1MeterState } from "./reading/p1_meter.js";
import { PLAUSIBLE_START, type PlausibleState } from "./reading/plausible.js";
import type { Reading } from "./reading/reading.js";
import type { Site } from "./site.js";
import type { AcceptedToken, CapChannel } from "./token/cap.js";
import { hex } from "./token/decode.js";
import { keyOfEntry } from "./token/keys.js";
import type { EpochSeconds } from "./units.js";
import { makeApi, type PostOutcome } from "./services/api.js";
import { Chronicle } from "./services/chronicle.js";
import { CapInbox } from "./services/cap_inbox.js";
import { ContactInputs } from "./services/contacts.js";
import { DeviceSet } from "./services/device_set.js";
import { Evidence } from "./services/evidence.js";
import { evidenceStream } from "./services/evidence_stream.js";
import { HttpServer } from "./services/http_server.js";
import { toJson } from "./services/json.js";
import { KeyRing } from "./services/key_ring.js";
import { Keeper } from "./services/keeper.js";
import { brokerAddress, OperatorLink } from "./services/operator_link.js";
import { P1Port, p1Source } from "./services/p1_port.js";
import { P1Relay } from "./services/p1_relay.js";
import { Recorder } from "./services/recording.js";
import type { SiteFile } from "./services/site_config.js";
import { makeStatus, type Status } from "./services/status.js";
import { Store } from "./services/store.js";
import { WaitingLine } from "./services/waiting_line.js";

export interface VangnetOptions {
  platform: Platform;
  file: SiteFile;
  site: Site;
  profileOf: ReadonlyMap<string, Profile>;
  version: string;
  /** PEM of the broker's authority, where site.json names a file. */
  authority?: Uint8Array;
  /** How much evidence is kept; default what a board's flash holds. */
  evidenceSegments?: number;
  /** A signed set of keys to begin with, as by POST /api/keys. */
  keySet?: Uint8Array;
  /** Takes the lines of a recording (services/recording.ts). */
  record?: (line: string) => void;
  /** After each tick: what came out of it, and what went in. */
  onTick?: (outputs: Outputs, inputs: Inputs) => void;
}

/** Ticks in a row that may throw before the reading is given up; twice as many, and the state is. */
const FAULTS_MAX = 3;
const STORE_DOMAIN = "vangnet";
/** One byte once the meter has sent a CRC: from then on none is taken without, over reboots too. */
const CRC_SEEN = "p1crc";

export class Vangnet {
  readonly #options: VangnetOptions;
  readonly #platform: Platform;
  /** `hasOperator` rises with the keys. It does not fall before a restart: see #followKeys. */
  #site: Site;
  readonly #store: Store;
  readonly #keeper: Keeper;
  readonly #evidence: Evidence;
  readonly #chronicle: Chronicle;
  readonly #devices: DeviceSet;
  readonly #inputs: ContactInputs;
  readonly #ring: KeyRing;
  readonly #inbox: CapInbox;
  readonly #recorder: Recorder | null;
  #p1: P1Port | null = null;
  #relay: P1Relay | null = null;
  #http: HttpServer | null = null;

  #state: State;
  #outputs: Outputs | null = null;
  #meter: P1MeterState = P1_METER_START;
  #modbusMeter: PlausibleState = PLAUSIBLE_START;
  #reading: Reading | null = null;
  #tokens: AcceptedToken[] = [];
  readonly #line: WaitingLine;
  #ticking: unknown;
  #asked = false;
  #faultsInRow = 0;
  #closed = false;
  readonly #counters = { ticks: 0, faults: 0, readings: 0, implausible: 0, telegramErrors: 0, startFailures: 0 };

  constructor(options: VangnetOptions) {
    this.#options = options;
    const { platform, file, profileOf } = options;
    this.#platform = platform;
    this.#line = new WaitingLine(platform.timer);
    const now = platform.monotonic();
    this.#store = new Store(platform.storage.open({ path: STORE_DOMAIN }));
    this.#ring = new KeyRing({ configured: (file.operator.keys ?? []).map(keyOfEntry), store: this.#store, platform, utc: () => this.#utc() });
    const isRingWhole = this.#ring.restore();
    const site = this.#site = { ...options.site, hasOperator: this.#ring.hasOperator };
    this.#keeper = new Keeper(this.#store, (detail) => this.#chronicle.record("store_fault", { detail }, `store: ${detail}`));
    const stored = this.#keeper.restore();
    this.#state = start(site, stored, now);
    this.#evidence = new Evidence({ platform, utc: () => this.#utc(), ...(options.evidenceSegments === undefined ? {} : { segmentsMax: options.evidenceSegments }) });
    this.#chronicle = new Chronicle(this.#evidence, site, () => this.#utc());
    this.#evidence.append("started", { version: options.version, serial: site.serial });
    this.#devices = new DeviceSet({
      platform, site, file, profileOf,
      metered: (quantities, at) => {
        const judged = modbusReading(this.#modbusMeter, { ...quantities, at, period: MODBUS_POLL_MS, net: quantities.power, power: quantities.phasePower }, site.connection);
        this.#modbusMeter = judged.state;
        this.#take(judged.result);
      },
    });
    this.#inputs = new ContactInputs({
      io: platform.Digital, timer: platform.timer, monotonic: () => platform.monotonic(), changed: () => this.#ask(),
      inputs: file.inputs.map((input) => ({ pin: input.pin, activeLow: input.active_low })),
    });
    this.#inbox = new CapInbox({
      identity: { ean: site.ean, msr: site.msr }, keys: () => this.#ring.keys(), store: this.#store, platform, utc: () => this.#utc(),
      onAccepted: (token, occasion) => {
        this.#tokens.push(token);
        if (occasion === "new") this.#chronicle.accepted(token);
        this.#ask();
      },
      onRefused: ({ rule, detail, channel, hash }) => this.#chronicle.record("refused", { rule, detail, channel, hash }, `token refused (${rule}): ${detail}`),
      onStoreFault: (detail) => this.#chronicle.record("store_fault", { detail }, `store: ${detail}`),
    });
    if (!isRingWhole) this.#chronicle.record("store_fault", { detail: "keys: unreadable; the keys of site.json count" });
    const lostTokens = this.#inbox.restore();
    if (lostTokens > 0) this.#state = start(site, { ...stored, lostTokens }, now);
    this.#recorder = options.record === undefined ? null : new Recorder(site, lostTokens > 0 ? { ...stored, lostTokens } : stored, now, options.record);

    // Safe outputs before anything else is opened.
    this.#tick();
    this.#ticking = platform.timer.repeat(() => this.#tick(), TICK_PERIOD_MS);
    this.#open("meter", () => this.#openMeter());
    this.#open("broker", () => this.#openLink());
    this.#open("page", () => this.#openHttp());
    if (options.keySet !== undefined) this.offerKeys(options.keySet, "file");
  }

  status(): Status {
    const now = this.#platform.monotonic();
    const outputs = this.#outputs!;
    return makeStatus({
      version: this.#options.version, now, utc: this.#utc(), site: this.#site, reading: this.#state.reading, freshness: outputs.budget.freshness, limits: outputs.limits,
      decisions: outputs.decisions, reports: this.#devices.reports(), mqtt: this.#chronicle.link?.status ?? null, events: this.#chronicle.events,
      counters: this.#counts(),
    });
  }

  /** Port of the status page, 0 while it is not open. */
  get httpPort(): number { return this.#http?.port ?? 0; }

  /** A token by hand (a technician's file); the answer comes once, perhaps at once. */
  offer(bytes: Uint8Array, channel: CapChannel, done?: (outcome: PostOutcome) => void): void {
    this.#inbox.offer(bytes, channel, (outcome) => {
      this.#ask();
      done?.(outcome.kind === "refused" ? { kind: "refused", rule: outcome.rule } : { kind: outcome.kind });
    });
  }

  /** A signed set of keys; the answer comes once, perhaps at once. */
  offerKeys(bytes: Uint8Array, channel: "http" | "file", done?: (outcome: PostOutcome) => void): void {
    this.#ring.offer(bytes, (outcome) => {
      if (this.#closed) return;
      this.#chronicle.keySet(outcome, channel, hex(this.#platform.sha256(bytes).subarray(0, 8)), this.#ring.hasOperator);
      this.#followKeys();
      done?.(outcome.ok ? { kind: outcome.repeat ? "repeat" : "accepted" } : { kind: "refused", rule: outcome.rule });
    });
  }

  /**
   * An orderly end: every device is told its safe value first, and has STOP_MS to take it. Nobody is
   * in control afterwards: a pump would stay blocked for ever, a charger without a watchdog at 16 A.
   */
  stop(done: () => void): void {
    this.#closed = true;
    this.#platform.timer.clear(this.#ticking);
    this.#guard(() => this.#devices.holdSafe(this.#outputs?.limits ?? null));
    this.#evidence.append("stopped", {});
    this.#platform.timer.set(() => {
      this.close();
      done();
    }, STOP_MS);
  }

  /** At once, as when the power goes: the devices stay as they are. */
  close(): void {
    this.#closed = true;
    this.#platform.timer.clear(this.#ticking);
    this.#line.close();
    this.#p1?.close();
    this.#relay?.close();
    this.#chronicle.link?.close();
    this.#http?.close();
    this.#inputs.close();
    this.#devices.close();
    this.#evidence.close();
  }

  // ---- The tick ----

  /** A tick on the next turn: one, however many ask. */
  #ask(): void {
    if (this.#asked || this.#closed) return;
    this.#asked = true;
    this.#platform.timer.set(() => {
      this.#asked = false;
      if (!this.#closed) this.#tick();
    }, 0);
  }

  #tick(): void {
    const now = this.#platform.monotonic();
    this.#guard(() => this.#inbox.tick());
    const inputs: Inputs = {
      reading: this.#reading, tokens: this.#tokens, contacts: this.#inputs.values(), reports: this.#devices.reports(), networkTime: this.#platform.networkTime(),
    };
    this.#guard(() => this.#recorder?.tick(inputs, now, this.#site));
    this.#counters.ticks++;
    let outputs: Outputs;
    try {
      const stepped = tick(this.#site, this.#state, inputs, now);
      this.#state = stepped.state;
      outputs = stepped.outputs;
    } catch (error) {
      return this.#broken(error, now);
    }
    this.#faultsInRow = 0;
    this.#reading = null;
    this.#tokens = [];
    this.#outputs = outputs;
    // Each step on its own: none of them may stand between a decision and its contact.
    this.#guard(() => this.#keeper.keep(outputs.store, now));
    for (const command of outputs.commands) this.#guard(() => this.#devices.execute(command));
    this.#guard(() => this.#chronicle.report(outputs));
    this.#guard(() => this.#chronicle.publish(outputs.events.length > 0, () => toJson(this.status()), now));
    this.#guard(() => this.#options.onTick?.(outputs, inputs));
  }

  /** What throws here is a bug, told and counted; the rest of the tick goes on. */
  #guard(step: () => void): void {
    try {
      step();
    } catch (error) {
      this.#counters.faults++;
      this.#evidence.append("fault", { detail: String(error) });
    }
  }

  /**
   * The core threw: a bug. Everything holds its safe value, and what came in stays for the next
   * tick. Where it throws again and again the reading is given up, then the state, for what the store
   * holds. Tokens never are: a cap that no tick got through holds the house at its safe values.
   */
  #broken(error: unknown, now: number): void {
    this.#counters.faults++;
    this.#faultsInRow++;
    this.#guard(() => this.#chronicle.record("fault", { detail: String(error) }));
    this.#guard(() => this.#devices.holdSafe(this.#outputs?.limits ?? null));
    // The newest of a (kid, aud) is its whole state: what waits stays bounded.
    this.#tokens = this.#tokens.filter((token, i, all) => !all.some((later, j) => j > i && later.kid === token.kid && later.aud === token.aud));
    if (this.#faultsInRow < FAULTS_MAX) return;
    this.#reading = null;
    if (this.#faultsInRow % (2 * FAULTS_MAX) === 0) this.#guard(() => { this.#state = start(this.#site, this.#keeper.restore(), now); });
  }

  /**
   * The first operator's key makes the house one with a link to lose. The last one's going relaxes
   * nothing: caps hold to their end, the link runs out as promised, and the failsafe runs its course.
   */
  #followKeys(): void {
    if (this.#site.hasOperator || !this.#ring.hasOperator) return;
    this.#site = { ...this.#site, hasOperator: true };
    this.#ask();
  }

  #utc(): EpochSeconds | null {
    return utc(this.#state.clock, this.#platform.monotonic());
  }

  // ---- What is told ----

  #counts(): Record<string, number> {
    const { requests, timeouts, exceptions } = this.#devices.counters();
    const inbox = this.#inbox.counters;
    return {
      ...this.#counters, modbusRequests: requests, modbusTimeouts: timeouts, modbusExceptions: exceptions,
      tokensAccepted: inbox.accepted, tokensRepeated: inbox.repeats,
      tokensRefused: inbox.size + inbox.structure + inbox.kid + inbox.role + inbox.range + inbox.signature + inbox.audience + inbox.times + inbox.sequence,
      storeFailures: this.#store.counters.failed, storeCorrupt: this.#store.counters.corrupt,
      evidenceWritten: this.#evidence.counters.written, evidenceDropped: this.#evidence.counters.dropped + this.#evidence.counters.suppressed,
    };
  }

  // ---- Services ----

  /** A service that cannot start is told and left out: none of them may keep the others from running. */
  #open(name: string, open: () => void): void {
    try {
      open();
    } catch (error) {
      this.#counters.startFailures++;
      this.#chronicle.record("start_failed", { service: name, detail: String(error) });
      this.#platform.log(`${name}: ${String(error)}`);
    }
  }

  #take(result: ReturnType<typeof p1Reading>["result"]): void {
    if (result.kind === "refused") {
      this.#counters.implausible++;
      this.#evidence.append("implausible", { rule: result.rule, misfit: result.misfit });
      return;
    }
    this.#counters.readings++;
    this.#reading = result.reading;
    this.#ask();
  }

  #openMeter(): void {
    const { platform, file, site } = this.#options;
    if (file.meter.type !== "p1") return;
    const { meter } = file;
    if (file.p1_relay) this.#relay = new P1Relay(platform, { port: file.p1_relay.port, address: file.p1_relay.address });
    this.#p1 = new P1Port(platform, {
      source: p1Source(meter),
      crc: meter.crc,
      crcSeen: this.#store.load(CRC_SEEN).kind !== "absent",
      onCrcSeen: () => { this.#store.write(CRC_SEEN, Uint8Array.of(1)); },
      onTelegram: (telegram) => {
        this.#relay?.send(telegram);
        const read = p1Reading(this.#meter, telegram, site.connection);
        this.#meter = read.state;
        this.#take(read.result);
      },
      onError: (error) => {
        this.#counters.telegramErrors++;
        this.#evidence.append("telegram_error", { rule: error.rule, offset: error.offset });
      },
      onTextMessage: (text) => this.#offerText(text),
      onState: (state) => platform.log(state.kind === "closed" ? `meter: ${state.reason}` : `meter: listening${state.setting === null ? "" : ` at ${state.setting.baud} baud`}`),
    });
  }

  /** The text comes once per change: one that found the inbox full is offered again, lest it be lost. */
  #offerText(text: string, again = false): void {
    this.#inbox.offerText(text, (outcome) => {
      this.#ask();
      if (outcome.kind === "refused" && outcome.rule === "busy") this.#line.wait("p1", () => this.#offerText(text, true), again);
    });
  }

  #openLink(): void {
    const { platform, file, site, authority } = this.#options;
    const broker = file.operator.mqtt ? brokerAddress(file.operator.mqtt, authority) : null;
    if (broker === null) return;
    this.#chronicle.link = new OperatorLink({
      platform, serial: site.serial, ean: site.ean, msr: site.msr, broker,
      onToken: (bytes) => this.#offerMqtt(bytes),
    });
  }

  #offerMqtt(bytes: Uint8Array, again = false): void {
    this.#inbox.offer(bytes, "mqtt", (outcome) => {
      this.#ask();
      if (outcome.kind === "refused" && outcome.rule === "busy") this.#line.wait("mqtt", () => this.#offerMqtt(bytes, true), again);
    });
  }

  #openHttp(): void {
    const { platform, file } = this.#options;
    if (!file.http) return;
    const { port, address, names } = file.http;
    this.#http = new HttpServer({
      platform, port, ...(address === undefined ? {} : { address }), names: names ?? [],
      handler: makeApi({
        monotonic: () => platform.monotonic(), sha256: (data) => platform.sha256(data),
        status: () => toJson(this.status()),
        evidence: (from, format) => evidenceStream(this.#evidence.iterate(Math.max(1, from)), format),
        cap: (bytes, respond) => this.offer(bytes, "http", respond),
        keys: (bytes, respond) => this.offerKeys(bytes, "http", respond),
      }),
    });
  }
}
