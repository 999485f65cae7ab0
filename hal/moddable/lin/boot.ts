/** Starts the controller on the Linux target: reads site.json, makes the platform, says when and why not. */
import type { Directory as SDKDirectory } from "embedded:storage/files";
import { Vangnet } from "../../../src/main.js";
import { readSite } from "../../../src/services/site_config.js";
import type { DigitalOptions, Platform, TLSOptions } from "../../ecma419.js";
import { paced, type Pace } from "../../paced.js";
import { systemTime } from "../clock.js";
import { verifyP256 } from "../crypto.js";
import { Directory, readWhole } from "../files.js";
import { memory } from "../native/memory.js";
import { moddablePlatform } from "../platform.js";
import { TLS } from "../tls.js";
import { Digital } from "./digital.js";
import { KeyValue } from "./key_value.js";

const VERSION = "linux";
const MEASURE_MS = 10_000;

/** The host, tools/linhost. */
export interface Screen {
  postMessage(message: string): void;
  onMessage?: (message: string) => void;
}

export function boot(root: SDKDirectory, screen: Screen): void {
  const log = (line: string) => screen.postMessage(line);
  const stop = (line: string, code: number) => {
    log(line);
    screen.postMessage(`exit:${code}`);
  };
  const text = readWhole(root, "site.json");
  if (text === null) return stop("site.json cannot be read", 2);
  const read = readSite(new TextDecoder().decode(text));
  if (!read.ok) {
    for (const { path, problem } of read.faults) log(`site.json: ${path === "" ? "" : `${path}: `}${problem}`);
    return stop("site.json is faulty", 2);
  }
  const authority = readWhole(root, "authority.pem");
  const keySet = readWhole(root, "keys.cwt");
  const pace = readWhole(root, "pace.json");
  const board = linuxPlatform(root, log);
  const controller = new Vangnet({
    platform: pace === null ? board : paced(board, JSON.parse(new TextDecoder().decode(pace)) as Pace, () => Date.now() / 1000),
    ...read, version: VERSION, ...(authority === null ? {} : { authority }), ...(keySet === null ? {} : { keySet }),
  });
  screen.onMessage = (message) => {
    if (message !== "quit") return;
    controller.close();
    screen.postMessage("exit:0");
  };
  // A file of that name asks for it: a collection each ten seconds is not what the firmware does by itself.
  if (readWhole(root, "measure") !== null) board.timer.repeat(() => log(memory()), MEASURE_MS);
  log("started");
}

export function linuxPlatform(root: SDKDirectory, log: (line: string) => void): Platform {
  root.createDirectory("store");
  const pins = new Directory(root, "pins");
  const platform: Platform = moddablePlatform({
    log,
    Digital: class extends Digital { constructor(options: DigitalOptions) { super(options, pins, platform.timer); } },
    TLS: class extends TLS { constructor(options: TLSOptions) { super(options, log); } },
    storage: { open: ({ path }) => new KeyValue(root, `store/${path}`) },
    files: new Directory(root, "files"),
    networkTime: systemTime,
    verifyP256: (publicKey, message, signature, done) => verifyP256(log, publicKey, message, signature, done),
  });
  return platform;
}
