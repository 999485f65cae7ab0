/**
 * The smart meter's port: a serial line whose setting is found by trying, or a TCP stream, kept open
 * through every error, read into checked telegrams.
 *
 *   closed ──open──▶ listening ──error, silence──▶ closed (opened again after a back-off)
 *
 * While no telegram came, each serial setting is tried for LINE_PROBE_MS in turn; one that gives a
 * telegram is kept, and searched anew only after LINE_LOST_MS without any.
 */
import type { Platform, Stream, TimerId } from "../../hal/ecma419.js";
import { LINE_LOST_MS, LINE_PROBE_MS, P1_BACKOFF_MAX_MS, P1_BACKOFF_MIN_MS, P1_SILENCE_MS } from "../constants.js";
import { TelegramReader, type CrcPolicy, type TelegramCounts, type TelegramError, type TelegramResult } from "../telegram/reader.js";
import type { Telegram } from "../telegram/telegram.js";
import { parseHostPort, type SiteFile } from "./site_config.js";
import type { Millis } from "../units.js";

export interface LineSetting {
  readonly baud: number;
  readonly dataBits: 7 | 8;
  readonly parity: "none" | "even";
}

/** In the order tried: DSMR 4 and later; DSMR 2.2 and 3.0; Landis+Gyr ZCF100. */
export const LINE_SETTINGS: readonly LineSetting[] = [
  { baud: 115_200, dataBits: 8, parity: "none" },
  { baud: 9_600, dataBits: 7, parity: "even" },
  { baud: 115_200, dataBits: 7, parity: "even" },
];

export type P1Source =
  | {
    readonly kind: "serial";
    /** As hal/ecma419.ts SerialOptions: a path on a host, pins on a board. */
    readonly device?: string;
    readonly port?: number;
    readonly receive?: number;
    readonly transmit?: number;
    readonly invert?: boolean;
    /** Null or absent: found by trying. */
    readonly setting?: LineSetting | null;
  }
  | { readonly kind: "tcp"; readonly host: string; readonly port: number };

export interface P1PortOptions {
  readonly source: P1Source;
  readonly crc?: CrcPolicy;
  /** A right CRC came from this meter before: see TelegramReaderOptions. */
  readonly crcSeen?: boolean;
  /** The first right CRC: to be remembered beyond a reboot. */
  onCrcSeen?(): void;
  /** The telegram is the reader's own object, valid until this returns. */
  onTelegram(telegram: Telegram): void;
  onError?(error: TelegramError): void;
  /** A new text in 0-0:96.13.0; "" where it was cleared. */
  onTextMessage?(text: string, at: Millis): void;
  /** The stream was opened, or lost: for the log and the page. */
  onState?(state: P1PortState): void;
}

export type P1PortState =
  | { readonly kind: "listening"; readonly setting: LineSetting | null; readonly found: boolean }
  | { readonly kind: "closed"; readonly reason: string; readonly retryIn: Millis };

export interface P1PortCounts {
  opened: number;
  streamErrors: number;
  silences: number;
  bytes: number;
}

export class P1Port {
  readonly counts: P1PortCounts = { opened: 0, streamErrors: 0, silences: 0, bytes: 0 };
  state: P1PortState = { kind: "closed", reason: "not started", retryIn: 0 };
  readonly #platform: Platform;
  readonly #options: P1PortOptions;
  readonly #reader: TelegramReader;
  readonly #onResult: (result: TelegramResult) => void;
  #stream: Stream | null = null;
  #timer: TimerId | undefined = undefined;
  #setting = 0;
  #found = false;
  #crcSeen: boolean;
  #openedAt = 0;
  #lastByteAt = 0;
  #lastTelegramAt = 0;
  #backoff = P1_BACKOFF_MIN_MS;
  #closed = false;

  constructor(platform: Platform, options: P1PortOptions) {
    this.#platform = platform;
    this.#options = options;
    this.#crcSeen = options.crcSeen ?? false;
    this.#reader = new TelegramReader({ crcSeen: this.#crcSeen, ...(options.crc === undefined ? {} : { crc: options.crc }) });
    this.#onResult = (result) => this.#handle(result);
    this.#open();
  }

  /** What the reader refused and accepted, by rule. */
  get telegrams(): TelegramCounts {
    return this.#reader.counts;
  }

  close(): void {
    this.#closed = true;
    this.#platform.timer.clear(this.#timer);
    this.#timer = undefined;
    this.#stream?.close();
    this.#stream = null;
  }

  #open(): void {
    this.#timer = undefined;
    const now = this.#platform.monotonic();
    this.#reader.reset();
    this.#openedAt = this.#lastByteAt = now;
    try {
      this.#stream = this.#makeStream();
    } catch (error) {
      this.#lost(describe(error)); // a missing device throws at once on some platforms
      return;
    }
    this.counts.opened++;
    this.#watch();
    this.#say({ kind: "listening", setting: this.#currentSetting(), found: this.#found });
  }

  #makeStream(): Stream {
    const { source } = this.#options;
    const stream: { current: Stream | null } = { current: null };
    const callbacks = {
      format: "buffer" as const,
      onReadable: (count: number) => { if (stream.current === this.#stream) this.#readable(count); },
      onError: (error?: unknown) => { if (stream.current === this.#stream) this.#failed(error); },
    };
    if (source.kind === "tcp") {
      stream.current = new this.#platform.TCP({ ...callbacks, host: source.host, port: source.port });
    } else {
      const setting = source.setting ?? LINE_SETTINGS[this.#setting]!;
      stream.current = new this.#platform.Serial({
        ...callbacks,
        ...(source.device === undefined ? {} : { device: source.device }),
        ...(source.port === undefined ? {} : { port: source.port }),
        ...(source.receive === undefined ? {} : { receive: source.receive }),
        ...(source.transmit === undefined ? {} : { transmit: source.transmit }),
        ...(source.invert === undefined ? {} : { invert: source.invert }),
        baud: setting.baud, dataBits: setting.dataBits, parity: setting.parity, stopBits: 1,
      });
    }
    return stream.current;
  }

  #readable(count: number): void {
    let bytes: ArrayBuffer | undefined;
    try {
      bytes = this.#stream?.read(count);
    } catch (error) {
      this.#failed(error);
      return;
    }
    if (bytes === undefined || bytes.byteLength === 0) return;
    this.#lastByteAt = this.#platform.monotonic();
    this.counts.bytes += bytes.byteLength;
    this.#reader.push(new Uint8Array(bytes), this.#lastByteAt, this.#onResult);
  }

  #handle(result: TelegramResult): void {
    if (this.#closed) return;
    if (result.kind === "error") {
      // A whole frame of clear characters shows the line's setting as well as a right CRC does.
      if (result.rule === "no_crc" || result.rule === "encrypted" || result.rule === "crc_x25") this.#settled();
      this.#options.onError?.(result);
      return;
    }
    this.#settled();
    const { telegram } = result;
    if (!this.#crcSeen && this.#reader.hasSeenCrc) {
      this.#crcSeen = true;
      this.#options.onCrcSeen?.();
    }
    const { message, at } = telegram;
    this.#options.onTelegram(telegram);
    if (message.changed && message.text !== null) this.#options.onTextMessage?.(message.text, at);
  }

  #settled(): void {
    this.#lastTelegramAt = this.#platform.monotonic();
    this.#backoff = P1_BACKOFF_MIN_MS;
    if (this.#found) return;
    this.#found = true;
    this.#say({ kind: "listening", setting: this.#currentSetting(), found: true });
  }

  /** Looks after the open stream: silence, and the next setting to try. */
  #watch(): void {
    this.#timer = this.#platform.timer.set(() => {
      this.#timer = undefined;
      const now = this.#platform.monotonic();
      const silent = now - this.#lastByteAt >= P1_SILENCE_MS;
      if (this.#found && now - this.#lastTelegramAt >= LINE_LOST_MS) this.#found = false;
      if (this.#searching() && now - this.#openedAt >= LINE_PROBE_MS) {
        this.#setting = (this.#setting + 1) % LINE_SETTINGS.length;
        this.#reopen();
      } else if (silent) {
        this.counts.silences++;
        this.#reopen();
      } else this.#watch();
    }, WATCH_MS);
  }

  #searching(): boolean {
    const { source } = this.#options;
    return source.kind === "serial" && !source.setting && !this.#found;
  }

  #currentSetting(): LineSetting | null {
    const { source } = this.#options;
    return source.kind === "tcp" ? null : source.setting ?? LINE_SETTINGS[this.#setting]!;
  }

  #reopen(): void {
    this.#stream?.close();
    this.#stream = null;
    this.#open();
  }

  #failed(error: unknown): void {
    this.counts.streamErrors++;
    this.#platform.timer.clear(this.#timer);
    this.#stream?.close();
    this.#stream = null;
    this.#lost(describe(error));
  }

  #lost(reason: string): void {
    if (this.#closed) return;
    const retryIn = this.#backoff;
    this.#backoff = Math.min(2 * this.#backoff, P1_BACKOFF_MAX_MS);
    this.#timer = this.#platform.timer.set(() => this.#open(), retryIn);
    this.#say({ kind: "closed", reason, retryIn });
  }

  #say(state: P1PortState): void {
    this.state = state;
    this.#options.onState?.(state);
  }
}

const WATCH_MS = 1_000;

function describe(error: unknown): string {
  return error instanceof Error ? error.message : error === undefined ? "the stream ended" : String(error);
}

/** Where site.json says the meter is. */
export function p1Source(meter: Extract<SiteFile["meter"], { type: "p1" }>): P1Source {
  const tcp = meter.tcp === undefined ? null : parseHostPort(meter.tcp);
  if (tcp !== null) return { kind: "tcp", ...tcp };
  const setting = LINE_SETTINGS.find(({ baud, dataBits, parity }) => meter.line === `${baud} ${dataBits}${parity === "none" ? "N" : "E"}1`) ?? null;
  return { kind: "serial", device: meter.device ?? "", setting };
}
