/**
 * What a board's provider.ts says, in the form of the SDK's providers: an IO class and its pins by
 * name. The names are what site.json uses: a meter or bus at "p1" or "rs485", contacts at "sg1" and
 * "sg2". site.json may also name a contact by its bare GPIO number.
 */
import type { Digital, DigitalOptions, SerialOptions, Stream } from "../../ecma419.js";
import type { Log } from "../guard.js";

export interface SerialPort {
  readonly io: new (options: SerialOptions, log: Log) => Stream;
  /** The chip's UART: 1 or 2; 0 is the console's. */
  readonly port: 1 | 2;
  readonly receive: number;
  readonly transmit?: number;
  /** Driver enable of an RS485 transceiver that does not find the direction itself. */
  readonly direction?: number;
  /** P1's open collector straight on the pin. */
  readonly invert?: boolean;
}

export interface Contact {
  readonly io: new (options: DigitalOptions, poll: Polling) => Digital;
  readonly pin: number;
}

/** How a pin without an interrupt is looked at. */
export interface Polling {
  repeat(callback: () => void, periodMs: number): unknown;
  clear(id: unknown): void;
}

export interface NetworkOptions {
  readonly hostname: string;
  /** Wi-Fi only; null where none was given. */
  readonly access: { readonly ssid: string; readonly password: string } | null;
  readonly log: Log;
}

export interface Network {
  /** IPv4; null while there is none. */
  readonly address: string | null;
}

export interface BoardDevice {
  readonly Serial: { readonly [name: string]: SerialPort };
  readonly Digital: { readonly [name: string]: Contact };
  readonly network: { readonly io: new (options: NetworkOptions) => Network };
}
