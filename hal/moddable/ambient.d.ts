/**
 * What the firmware uses of Moddable and npm's @moddable/typings does not declare, or declares
 * otherwise than SDK 8.2 has it.
 */
declare module "embedded:storage/files" {
  export class File {
    read(count: number, position: number): ArrayBuffer;
    write(data: ArrayBuffer | Uint8Array, position: number): void;
    status(): { readonly size: number };
    setSize(length: number): void;
    flush(): void;
    close(): void;
  }
  export class Directory {
    openFile(options: { path: string; mode: "r" | "r+" | "w+" }): File;
    openDirectory(options: { path: string }): Directory;
    createDirectory(path: string): boolean;
    /** False where there was nothing. */
    delete(path: string): boolean;
    move(from: string, to: string): void;
    /** `mode` is 0 where there is nothing. */
    status(path: string): { readonly mode: number };
    scan(path?: string): IterableIterator<string>;
    close(): void;
  }
  /** The root, which a build or its host sets. */
  const files: Directory;
  export default files;
}

declare module "crypt" {
  export class Digest {
    constructor(kind: "SHA256");
    write(data: ArrayBuffer | Uint8Array): void;
    close(): ArrayBuffer;
  }
}
declare module "ecp" {
  export default class ECPoint { constructor(x: bigint, y: bigint); }
}
declare module "curve" {
  export default class Curve { constructor(name: "secp256r1"); }
}
declare module "ecdsa" {
  import type Curve from "curve";
  import type ECPoint from "ecp";
  export default class ECDSA {
    constructor(key: ECPoint, curve: Curve);
    /** `signature`: r || s. Neither is checked against the curve's order. */
    verify(hash: ArrayBuffer, signature: ArrayBuffer): boolean;
  }
}

declare module "ssl/session" {
  /** What it reads from and writes to; it keeps the two counts up to date itself. */
  interface Wire {
    readable: number;
    writable: number;
    read(into: Uint8Array): void;
    /** Gives what may be written next. */
    write(packet: ArrayBuffer | Uint8Array): number;
  }
  export default class Session {
    constructor(options: { serverName: string; certificate: Uint8Array; protocolVersion: number; cache: false });
    /** What is to be done next; -1 = wait for the peer. */
    readonly handshakeProcess: number;
    readonly alert: { readonly level: number; readonly description: number } | undefined;
    initiateHandshake(): void;
    /** One step. True when it is over, which after an alert it is too. */
    handshake(wire: Wire): boolean;
    /** Undefined: nothing yet; null: the peer has ended the session. */
    read(wire: Wire): Uint8Array | null | undefined;
    write(wire: Wire, data: ArrayBuffer | Uint8Array): number;
  }
}

interface BigIntConstructor { fromArrayBuffer(bytes: ArrayBuffer): bigint }

/** The C function of that name, called with `this` as its xsThis. */
declare function native<F extends (...values: never[]) => unknown>(name: string): F;
/** The base class of objects that C holds data in; `destructor` frees it. */
declare function Native(destructor: string): new () => object;
