/** The platform of hal/ecma419.ts on Moddable. The board brings what only it knows. */
import type { DigitalConstructor, Directory, KeyValueStore, ListenerOptions, Platform, SerialOptions, TCPOptions, TLSConstructor } from "../ecma419.js";
import { monotonicClock } from "./clock.js";
import { sha256 } from "./digest.js";
import type { Log } from "./guard.js";
import { Listener } from "./listener.js";
import { random32 } from "./native/host.js";
import { Serial } from "./serial.js";
import { TCP } from "./tcp.js";
import { moddableTimer } from "./timer.js";

export interface Board {
  readonly log: Log;
  readonly Digital: DigitalConstructor;
  readonly TLS: TLSConstructor;
  readonly storage: { open(options: { path: string }): KeyValueStore };
  readonly files: Directory;
  readonly networkTime: () => number | null;
  readonly verifyP256: Platform["verifyP256"];
}

export function moddablePlatform(board: Board): Platform {
  const { log } = board;
  return {
    Serial: class extends Serial { constructor(options: SerialOptions) { super(options, log); } },
    TCP: class extends TCP { constructor(options: TCPOptions) { super(options, log); } },
    TLS: board.TLS,
    Listener: class extends Listener { constructor(options: ListenerOptions) { super(options, log); } },
    Digital: board.Digital,
    storage: board.storage,
    files: board.files,
    timer: moddableTimer(log),
    monotonic: monotonicClock(),
    networkTime: board.networkTime,
    random: random32,
    sha256,
    verifyP256: board.verifyP256,
    log,
  };
}
