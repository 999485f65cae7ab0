/** Everything of hal/node as one Platform. What was opened through it, `close()` ends. */
import { randomBytes } from "node:crypto";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { DigitalOptions, ListenerOptions, Platform, SerialOptions, TCPOptions, TLSOptions } from "../ecma419.js";
import { VirtualPins } from "../virtual_pin.js";
import { monotonicClock, systemTime } from "./clock.js";
import { sha256, verifyP256 } from "./crypto.js";
import { Digital, GPIO_DIRECTORY } from "./digital.js";
import { Directory } from "./files.js";
import { KeyValue } from "./key_value.js";
import { Listener } from "./listener.js";
import { Serial } from "./serial.js";
import { TCP } from "./tcp.js";
import { nodeTimer } from "./timer.js";
import { TLS } from "./tls.js";

export interface NodePlatformOptions {
  /** Holds `store/` (key-value domains) and `files/` (evidence). Made where it is absent. */
  dataDirectory: string;
  /** Default: standard error. */
  log?: (line: string) => void;
  /** Default: the host's own clock. */
  networkTime?: () => number | null;
  /** Default: /sys/class/gpio. */
  gpioDirectory?: string;
  /** Share one between the platform and what watches its pins. Default: its own. */
  pins?: VirtualPins;
}

export type NodePlatform = Platform & { readonly pins: VirtualPins; close(): void };

export const storeDirectory = (dataDirectory: string, domain: string): string => join(dataDirectory, "store", encodeURIComponent(domain));
export const filesDirectory = (dataDirectory: string): string => join(dataDirectory, "files");

export function nodePlatform(options: NodePlatformOptions): NodePlatform {
  mkdirSync(options.dataDirectory, { recursive: true, mode: 0o700 });
  const pins = options.pins ?? new VirtualPins();
  const digitalHost = { pins, gpioDirectory: options.gpioDirectory ?? GPIO_DIRECTORY };
  const open = new Set<{ close(): void }>();
  const timer = nodeTimer();
  return {
    pins,
    Serial: class extends Serial {
      constructor(given: SerialOptions) { super(given); open.add(this); }
      override close(): void { open.delete(this); super.close(); }
    },
    TCP: class extends TCP {
      constructor(given: TCPOptions) { super(given); open.add(this); }
      override close(): void { open.delete(this); super.close(); }
    },
    TLS: class extends TLS {
      constructor(given: TLSOptions) { super(given); open.add(this); }
      override close(): void { open.delete(this); super.close(); }
    },
    Listener: class extends Listener {
      constructor(given: ListenerOptions) { super(given); open.add(this); }
      override close(): void { open.delete(this); super.close(); }
    },
    Digital: class extends Digital {
      constructor(given: DigitalOptions) { super(given, digitalHost); open.add(this); }
      override close(): void { open.delete(this); super.close(); }
    },
    storage: { open: ({ path }) => new KeyValue(storeDirectory(options.dataDirectory, path)) },
    files: new Directory(filesDirectory(options.dataDirectory)),
    timer,
    monotonic: monotonicClock(),
    networkTime: options.networkTime ?? systemTime,
    random: () => randomBytes(4).readUInt32LE(),
    sha256,
    verifyP256,
    log: options.log ?? ((line) => process.stderr.write(`${line}\n`)),
    close() {
      timer.clearAll();
      for (const one of [...open]) one.close();
    },
  };
}
