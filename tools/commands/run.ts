import { createWriteStream, readFileSync, type WriteStream } from "node:fs";
import { dirname, resolve } from "node:path";
import { parseArgs } from "node:util";
import { nodePlatform } from "../../hal/node/platform.js";
import { EVIDENCE_HOST_SEGMENTS_MAX } from "../../src/constants.js";
import { Vangnet } from "../../src/main.js";
import { Narrator } from "../../src/services/recording.js";
import { readSite } from "../../src/services/site_config.js";
import { version } from "../version.js";

const usage = `Usage:
  vangnet run --config site.json [--data DIR] [--keys FILE] [--record FILE] [--quiet]

Runs the controller on this machine's hardware until it is stopped.
  --data DIR     store and evidence log (default: "data" in site.json, else vangnet-data beside it)
  --keys FILE    a signed set of keys to begin with (vangnet keys sign)
  --record FILE  every input, for vangnet replay
  --quiet        no decisions on standard output
`;

export async function run(args: string[]): Promise<number> {
  let options;
  try {
    options = parseArgs({ args, options: {
      config: { type: "string" }, data: { type: "string" }, keys: { type: "string" }, record: { type: "string" }, quiet: { type: "boolean" }, help: { type: "boolean" },
    } }).values;
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${usage}`);
    return 2;
  }
  if (options.help || options.config === undefined) {
    (options.help ? process.stdout : process.stderr).write(usage);
    return options.help ? 0 : 2;
  }
  const folder = dirname(resolve(options.config));
  let text: string;
  try {
    text = readFileSync(options.config, "utf8");
  } catch (error) {
    process.stderr.write(`${options.config}: ${(error as NodeJS.ErrnoException).code === "ENOENT" ? "no such file" : String(error)}\n`);
    return 1;
  }
  const read = readSite(text);
  if (!read.ok) {
    for (const { path, problem } of read.faults) process.stderr.write(`${options.config}: ${path === "" ? "" : `${path}: `}${problem}\n`);
    return 1;
  }
  const ca = read.file.operator.mqtt?.ca;
  const authority = ca === undefined ? undefined : new Uint8Array(readFileSync(resolve(folder, ca)));
  const platform = nodePlatform({ dataDirectory: resolve(folder, options.data ?? read.file.data ?? "vangnet-data") });
  const recording: WriteStream | null = options.record === undefined ? null : createWriteStream(options.record);
  // Nobody to read the log, or a full disk under a recording, is no reason to let the house go.
  for (const stream of [process.stdout, process.stderr]) {
    stream.removeAllListeners("error");
    stream.on("error", () => {});
  }
  let isRecording = recording !== null;
  recording?.on("error", (error) => {
    if (isRecording) platform.log(`recording ends: ${error.message}`);
    isRecording = false;
  });
  const narrator = new Narrator(read.site);
  const controller = new Vangnet({
    platform, ...read, version, evidenceSegments: EVIDENCE_HOST_SEGMENTS_MAX,
    ...(authority === undefined ? {} : { authority }),
    ...(options.keys === undefined ? {} : { keySet: new Uint8Array(readFileSync(options.keys)) }),
    ...(recording === null ? {} : { record: (line: string) => { if (isRecording) recording.write(`${line}\n`); } }),
    onTick: (outputs) => {
      if (!options.quiet) for (const line of narrator.lines(outputs, platform.monotonic())) process.stdout.write(`${line}\n`);
    },
  });
  await new Promise<void>((done) => {
    process.once("SIGINT", done);
    process.once("SIGTERM", done);
  });
  // Safe values first: a controller that goes leaves nobody in control.
  await new Promise<void>((done) => controller.stop(done));
  // What the evidence log still has to write goes out on its next turn.
  await new Promise((done) => setTimeout(done, 50));
  platform.close();
  if (recording !== null && isRecording) await new Promise<void>((done) => recording.end(() => done()));
  return 0;
}
