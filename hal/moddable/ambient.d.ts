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

interface BigIntConstructor { fromArrayBuffer(bytes: ArrayBuffer): bigint }

/** The C function of that name, called with `this` as its xsThis. */
declare function native<F extends (...values: never[]) => unknown>(name: string): F;
/** The base class of objects that C holds data in; `destructor` frees it. */
declare function Native(destructor: string): new () => object;
