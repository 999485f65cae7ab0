/** The platform of an ESP32 board: what its provider names, over the SDK's modules and our own. */
import type { Digital, DigitalOptions, Directory as DirectoryInterface, Platform, SerialOptions, Stream, TLSConstructor } from "../../ecma419.js";
import { systemTime } from "../clock.js";
import type { Log } from "../guard.js";
import { moddablePlatform } from "../platform.js";
import { moddableTimer } from "../timer.js";
import type { BoardDevice, Contact, SerialPort } from "./board.js";
import { KeyValue } from "./key_value.js";
import { chipVerifier } from "./verifier.js";

export interface EspPlatformOptions {
  readonly device: BoardDevice;
  readonly files: DirectoryInterface;
  readonly TLS: TLSConstructor;
  readonly log: Log;
}

export function espPlatform({ device, files, TLS, log }: EspPlatformOptions): Platform {
  const timer = moddableTimer(log);
  return {
    ...moddablePlatform({
      log, TLS, files,
      Digital: classOf((options: DigitalOptions): Digital => {
        const contact = contactOf(device, options.pin);
        return new contact.io({ ...options, pin: contact.pin }, timer);
      }),
      storage: { open: ({ path }) => new KeyValue(path) },
      networkTime: systemTime,
      verifyP256: chipVerifier(log),
    }),
    Serial: classOf((options: SerialOptions): Stream => {
      const port = portOf(device, options.device);
      return new port.io({ ...options, ...pinsOf(port) }, log);
    }),
  };
}

/** A class whose `new` is `make`. */
function classOf<Options, Instance extends object>(make: (options: Options) => Instance): new (options: Options) => Instance {
  return class { constructor(options: Options) { return make(options); } } as unknown as new (options: Options) => Instance;
}

function pinsOf({ port, receive, transmit, direction, invert }: SerialPort): Partial<SerialOptions> {
  return {
    port, receive, ...(transmit === undefined ? {} : { transmit }), ...(direction === undefined ? {} : { direction }), ...(invert === undefined ? {} : { invert }),
  };
}

function portOf(device: BoardDevice, name: string | undefined): SerialPort {
  const found = Object.entries(device.Serial).find(([known]) => known === name);
  if (found === undefined) throw new Error(`serial "${name ?? ""}": this board has ${Object.keys(device.Serial).join(", ")}`);
  return found[1];
}

function contactOf(device: BoardDevice, pin: number | string): Contact {
  const contacts = Object.entries(device.Digital);
  const named = contacts.find(([name]) => name === pin);
  if (named !== undefined) return named[1];
  const bare = Number(pin);
  if (!Number.isInteger(bare) || bare < 0) throw new Error(`pin "${pin}": a GPIO number, or one of ${contacts.map(([name]) => name).join(", ")}`);
  return { io: contacts[0]![1].io, pin: bare };
}
