/** What the ESP32 boards use of Moddable, SDK 8.2, and npm's @moddable/typings 5.6 does not declare. */
declare module "embedded:storage/key-value" {
  export interface Store extends Iterable<string> {
    /** Undefined where the key is absent. */
    read(key: string): ArrayBuffer | undefined;
    write(key: string, value: ArrayBuffer | Uint8Array): void;
    delete(key: string): void;
    close(): void;
  }
  const storage: { open(options: { path: string }): Store };
  export default storage;
}

declare module "embedded:storage/flash" {
  export interface Partition {
    status(): { readonly size: number; readonly blocks: number; readonly blockLength: number };
    read(byteLength: number, byteOffset: number): ArrayBuffer;
    close(): void;
  }
  const flash: { open(options: { path: string; mode: "r" | "r+" }): Partition };
  export default flash;
}

declare module "embedded:network/interface/ethernet" {
  export default class Ethernet {
    constructor(options: { onChanged?: (property: "connection" | "address") => void });
    configure(options: { hostname?: string }): void;
    connect(): void;
    readonly connection: number;
    readonly address: string | undefined;
  }
}

declare module "embedded:network/interface/wifi" {
  export default class WiFi {
    constructor(options: { onChanged?: (property: "connection" | "address") => void });
    configure(options: { hostname?: string }): void;
    connect(options: { SSID: string; password?: string }): void;
    readonly connection: number;
    readonly address: string | undefined;
  }
}

declare module "modules" {
  const modules: { importNow(specifier: string): unknown };
  export default modules;
}

declare module "mc/config" {
  const config: { readonly version: string };
  export default config;
}
