/** What every ESP32 board's main does: the only module that runs from RAM is the board's own main.ts. */
import type { Directory as SDKDirectory } from "embedded:storage/files";
import config from "mc/config";
import Modules from "modules";
import TextDecoder from "text/decoder";
import TextEncoder from "text/encoder";
import type { BoardDevice } from "./board.js";
import { boot } from "./boot.js";

declare const globalThis: { TextDecoder: unknown; TextEncoder: unknown };

export function main(device: BoardDevice): void {
  globalThis.TextDecoder = TextDecoder;
  globalThis.TextEncoder = TextEncoder;
  // Loaded here and not by an import, because it mounts the flash while it loads, and throws where it cannot.
  boot(device, () => Modules.importNow("embedded:storage/files") as SDKDirectory, config.version);
}
