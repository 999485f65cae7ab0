/**
 * Starts the controller on an ESP32 board. Every throw at start would be a restart without end, so
 * each part that may be missing is tried and told: no settings, no network, no files. What the law
 * itself needs is started in any case.
 */
import type { Directory as SDKDirectory } from "embedded:storage/files";
import { Vangnet } from "../../../src/main.js";
import { readSite } from "../../../src/services/site_config.js";
import type { Directory as DirectoryInterface, Platform, TLSOptions } from "../../ecma419.js";
import { Directory } from "../files.js";
import { guarded, type Log } from "../guard.js";
import { restart, startNtp, writeLine } from "../native/chip.js";
import { armWatchdog, feedWatchdog } from "../native/firmware.js";
import { moddableTimer } from "../timer.js";
import { NoTLS, noFiles } from "./absent.js";
import type { BoardDevice, Network } from "./board.js";
import { espPlatform } from "./platform.js";
import { readSetting } from "./settings.js";
import { watchTrial } from "./trial.js";

export const HOSTNAME = "vangnet";
const NTP_SERVER = "pool.ntp.org";
/** Ticks come once a second; a TLS handshake or a first format of the files holds the loop for seconds. */
export const WATCHDOG_MS = 20_000;
/** Between a start that failed and the next. */
const RESTART_MS = 10_000;
const REMIND_MS = 60_000;

/** `mount`: the root of the files; may throw. */
export function boot(device: BoardDevice, mount: () => SDKDirectory, version: string): void {
  const log: Log = writeLine;
  const timer = moddableTimer(log);
  try {
    start(device, mount, version, log);
  } catch (error) {
    log(`start: ${String(error)}`);
    timer.set(restart, RESTART_MS);
  }
}

function start(device: BoardDevice, mount: () => SDKDirectory, version: string, log: Log): void {
  // First of all: without it no name can be looked up, and lwIP stops the chip where one tries.
  const network = startNetwork(device, log);
  guarded(log, "ntp", () => startNtp(NTP_SERVER))();
  const platform = espPlatform({
    device, log, files: openFiles(mount, log),
    TLS: class extends NoTLS { constructor(options: TLSOptions) { super(options, log); } },
  });
  watchTrial(platform.timer, () => platform.monotonic(), () => network !== null && network.address !== null, log);
  const text = readSetting("site");
  if (text === null) return remind(platform, "no site.json: npm run flash -- --site site.json");
  const read = readSite(new TextDecoder().decode(text));
  if (!read.ok) return remind(platform, read.faults.map(({ path, problem }) => `site.json: ${path === "" ? "" : `${path}: `}${problem}`).join("\n"));
  const authority = readSetting("authority");
  armWatchdog(WATCHDOG_MS);
  new Vangnet({ platform, ...read, version, ...(authority === null ? {} : { authority }), onTick: feedWatchdog });
  log(`started ${version}`);
}

function startNetwork(device: BoardDevice, log: Log): Network | null {
  try {
    return new device.network.io({ hostname: HOSTNAME, access: readAccess(), log });
  } catch (error) {
    log(`network: ${String(error)}`);
    return null;
  }
}

/** Two lines: the network's name and its password. */
function readAccess(): { ssid: string; password: string } | null {
  const text = readSetting("wifi");
  if (text === null) return null;
  const [ssid = "", password = ""] = new TextDecoder().decode(text).split("\n");
  return ssid === "" ? null : { ssid, password };
}

function openFiles(mount: () => SDKDirectory, log: Log): DirectoryInterface {
  try {
    return new Directory(mount(), "files");
  } catch (error) {
    log(`files: ${String(error)}`);
    return noFiles;
  }
}

function remind(platform: Platform, line: string): void {
  platform.log(line);
  platform.timer.repeat(() => platform.log(line), REMIND_MS);
}
