import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { nodePlatform } from "../../hal/node/platform.js";
import { sha256, verifyP256Sync } from "../../hal/node/crypto.js";
import { VirtualPins } from "../../hal/virtual_pin.js";
import { SimWorld } from "../../hal/sim/world.js";
import { Vangnet } from "../../src/main.js";
import { Narrator } from "../../src/services/recording.js";
import { readSite } from "../../src/services/site_config.js";
import { CapJudge, capEvent, demoSite, SimulatedHome } from "../home.js";
import { writeKey } from "../operator/files.js";
import { version } from "../version.js";
import { screen } from "../view.js";

const usage = `Usage:
  vangnet start [--for SECONDS] [--fast] [--seed N] [--port N] [--no-view] [--record FILE]

Runs the controller against a simulated home: P1 meter, charger, battery, heat pump, broker and grid
operator, over real sockets. After 20 s a signed cap of 4.2 kW arrives, is obeyed, ends, and is
released slowly.
  --for SECONDS  ends with a summary; exit code 0 if the cap was obeyed, 1 if not or none came
  --fast         a whole winter day on virtual time
  --port N       of the status page (default 8480, or any free one where that is taken)
  --no-view      lines instead of the live screen
`;

const DEFAULT_PORT = 8480;
const CAP_W = 4_200;
const CAP_AT_S = 20;
const DAY_S = 86_400;

export async function run(args: string[]): Promise<number> {
  let options;
  try {
    options = parseArgs({ args, options: {
      for: { type: "string" }, fast: { type: "boolean" }, seed: { type: "string" }, port: { type: "string" },
      "no-view": { type: "boolean" }, record: { type: "string" }, help: { type: "boolean" },
    } }).values;
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${usage}`);
    return 2;
  }
  if (options.help) {
    process.stdout.write(usage);
    return 0;
  }
  const seed = options.seed === undefined ? Date.now() % 1_000_000 : Number(options.seed);
  const seconds = options.for === undefined ? null : Number(options.for);
  if (!Number.isInteger(seed) || (seconds !== null && !(seconds > 0))) {
    process.stderr.write(usage);
    return 2;
  }
  const port = options.port === undefined ? DEFAULT_PORT : Number(options.port);
  if (options.port === "" || !Number.isInteger(port) || port < 0 || port > 65_535) {
    process.stderr.write(`--port ${options.port}: a port is 0 (any free one) to 65535\n`);
    return 2;
  }
  const lines: string[] = [];
  const record = options.record === undefined ? undefined : (line: string) => { lines.push(line); };
  const code = options.fast
    ? fast(seed, seconds ?? DAY_S, !options["no-view"], record)
    : await live(seed, seconds, !options["no-view"], port, record);
  if (options.record !== undefined) writeFileSync(options.record, lines.join("\n") + "\n");
  return code;
}

function house(text: string) {
  const read = readSite(text);
  if (!read.ok) throw new Error(`the demo's own site is faulty: ${JSON.stringify(read.faults)}`);
  return read;
}

// ---- Real sockets ----

async function live(seed: number, seconds: number | null, view: boolean, wantedPort: number, record?: (line: string) => void): Promise<number> {
  const directory = mkdtempSync(join(tmpdir(), "vangnet-"));
  const pins = new VirtualPins();
  const quiet = () => {};
  const outside = nodePlatform({ dataDirectory: join(directory, "home"), log: quiet });
  const platform = nodePlatform({ dataDirectory: join(directory, "controller"), log: quiet, pins });
  const epoch = () => Math.floor(Date.now() / 1000);
  const home = new SimulatedHome({ platform: outside, seed, epoch, contacts: [pins.get("sg1"), pins.get("sg2")] });
  // Dinner on the stove and a heat pump that has work to do: the cap has something to bite on.
  home.house.extra[0] = 1_500;
  home.house.extra[1] = 700;
  home.pump.indoor = 18.5;
  const keyFile = join(directory, "operator.json");
  writeKey(keyFile, home.key);
  try {
    while (!home.ready) await new Promise((resolve) => setTimeout(resolve, 10));
    const port = await freePort(wantedPort);
    const read = house(demoSite(home.ports, home.key, port));
    const narrator = new Narrator(read.site);
    const began = Date.now();
    const controller = new Vangnet({
      platform, ...read, version, ...(record === undefined ? {} : { record }),
      onTick: (outputs) => {
        const told = narrator.lines(outputs, Date.now() - began);
        if (!view) for (const line of told) process.stdout.write(`${line}\n`);
      },
    });
    const judge = new CapJudge();
    const tty = view && process.stdout.isTTY === true;
    const heading = {
      title: `Vangnet ${version}: a simulated home, seed ${seed}`,
      lines: [
        `status page  http://127.0.0.1:${port}/`,
        `a cap by hand  npx vangnet cap issue --key ${keyFile} --aud ean:871234567890123456 --import 2kW --for 1m --http http://127.0.0.1:${port}`,
        `ctrl-c ends it`,
      ],
    };
    if (!tty) for (const line of [heading.title, ...heading.lines]) process.stdout.write(`${line}\n`);

    // A run that ends by itself sees the whole of the cap and the start of the release.
    const capSeconds = seconds === null ? 60 : Math.max(10, Math.min(60, Math.floor((seconds - CAP_AT_S) * 0.6)));
    let elapsed = 0;
    let caps = 0;
    home.say((events) => events);
    const end = await new Promise<string>((resolve) => {
      const every = setInterval(() => {
        elapsed++;
        if (elapsed === CAP_AT_S || (elapsed - CAP_AT_S) % 300 === 0) {
          const event = capEvent(`0000${(++caps).toString(16).padStart(4, "0")}`, epoch(), capSeconds, CAP_W, { release: 60 });
          judge.watch(event);
          home.say((events) => [...events, event]);
        }
        judge.second(epoch(), home.house.net, home.house.net - sum(home.car.watts) - sum(home.battery.watts));
        if (tty) process.stdout.write(`\x1b[H\x1b[J${screen(controller.status(), heading, process.stdout.columns ?? 100)}\n`);
        if (seconds !== null && elapsed >= seconds) finish("time");
      }, 1000);
      const finish = (why: string) => {
        clearInterval(every);
        process.removeListener("SIGINT", interrupted);
        resolve(why);
      };
      const interrupted = () => finish("interrupted");
      process.on("SIGINT", interrupted);
      process.on("SIGTERM", interrupted);
    });
    const status = controller.status();
    await new Promise<void>((done) => controller.stop(done));
    process.stdout.write(`\n${summary(home, judge, elapsed, status.counters, seed)}\n`);
    return end === "interrupted" || judge.obeyed ? 0 : 1;
  } finally {
    home.close();
    platform.close();
    outside.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

/** The wanted port if it is free, else any. */
function freePort(wanted: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", () => (wanted === 0 ? reject(new Error("no free port")) : resolve(freePort(0))));
    server.listen(wanted, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

// ---- Virtual time ----

/** 15 January 2026, 00:00 in the Netherlands. */
const WINTER_DAY = 1_768_431_600;

function fast(seed: number, seconds: number, view: boolean, record?: (line: string) => void): number {
  const world = new SimWorld({
    seed, epoch: WINTER_DAY,
    crypto: { sha256, verifyP256: verifyP256Sync },
  });
  const epoch = () => world.epochSeconds();
  const platform = world.platform("controller");
  const home = new SimulatedHome({
    platform: world.platform("home"), seed, epoch, stepMs: 1000,
    contacts: [platform.pins.get("virtual:sg1"), platform.pins.get("virtual:sg2")],
  });
  const read = house(demoSite(home.ports, home.key, null));
  const judge = new CapJudge();
  const narrator = new Narrator(read.site);
  const began = performance.now();
  const controller = new Vangnet({
    platform, ...read, version, ...(record === undefined ? {} : { record }),
    onTick: (outputs) => {
      const told = narrator.lines(outputs, platform.monotonic());
      if (!view) return;
      for (const line of told) if (isNews(line)) process.stdout.write(`${line}\n`);
    },
  });
  // The evening window of TNO 2024 R12069, known from noon on, and a sharp half hour in the morning.
  const evening = capEvent("0000ee01", WINTER_DAY + 16 * 3600, Math.min(5 * 3600, seconds), CAP_W);
  const morning = capEvent("0000aa01", WINTER_DAY + 7.5 * 3600, 1800, 1_500, { emergency: true });
  const planned = [{ at: 60, event: morning }, { at: 12 * 3600, event: evening }].filter(({ event }) => event.start - WINTER_DAY + event.duration <= seconds);
  if (planned.length === 0) planned.push({ at: CAP_AT_S, event: capEvent("00005001", WINTER_DAY + CAP_AT_S, Math.max(1, Math.floor(seconds / 2)), CAP_W) });
  home.say((events) => events);
  for (let second = 1; second <= seconds; second++) {
    world.run(second * 1000);
    for (const { at, event } of planned) {
      if (at !== second) continue;
      judge.watch(event);
      home.say((events) => [...events, event]);
    }
    // A pump that may not be blocked any more counts with what nobody controls.
    judge.second(epoch(), home.house.net, home.house.net - sum(home.car.watts) - sum(home.battery.watts));
  }
  const took = (performance.now() - began) / 1000;
  const status = controller.status();
  controller.close();
  process.stdout.write(`\n${summary(home, judge, seconds, status.counters, seed)}\n`
    + `${seconds} s in ${took.toFixed(1)} s: ${Math.round(seconds / took)} times real time, all services and the house included\n`);
  return judge.obeyed ? 0 : 1;
}

/** For the eye: starts, stops, limits; not each step of a ramp. */
function isNews(line: string): boolean {
  return !line.includes("rising") && !line.includes(" A of ") && !line.includes(" W of ");
}

const sum = (list: readonly number[]) => list.reduce((total, value) => total + value, 0);

function summary(home: SimulatedHome, judge: CapJudge, seconds: number, counters: Readonly<Record<string, number>>, seed: number): string {
  const verdict = judge.caps.length === 0 ? `no cap came within ${seconds} s` : judge.obeyed ? "the cap was obeyed" : "THE CAP WAS NOT OBEYED";
  return [
    `${seconds} s, seed ${seed}: ${verdict}`,
    ...judge.lines().map((line) => `  ${line}`),
    `  imported ${(home.house.imported / 1000).toFixed(2)} kWh, car charged ${(home.car.delivered / 1000).toFixed(2)} kWh, indoors ${home.pump.indoor.toFixed(1)} °C`,
    `  ${counters["readings"]} readings, ${counters["ticks"]} ticks, ${counters["modbusRequests"]} Modbus requests (${counters["modbusTimeouts"]} unanswered), `
      + `${counters["tokensAccepted"]} tokens accepted, ${counters["tokensRefused"]} refused, ${counters["faults"]} faults`,
  ].join("\n");
}
