/** `vangnet modbus`: lists the device profiles, plays a device. */
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { nodePlatform } from "../../hal/node/platform.js";
import { usesSunSpec } from "../../src/actuation/plan.js";
import type { Profile } from "../../src/actuation/profile.js";
import { profileById, profiles } from "../../src/actuation/profiles/index.js";
import { HouseModel } from "../emulators/house.js";
import { EmulatedDevice } from "../emulators/modbus_device.js";
import { BatteryModel, EvModel, HeatPumpModel, InverterModel, MeterModel, RelayModel, type DeviceModel } from "../emulators/models.js";
import { serveRtu, serveTcp, type ModbusServer } from "../emulators/modbus_server.js";

const HELP = `vangnet modbus profiles [--json]
    Lists the device profiles with the register document each was made from.
vangnet modbus emulate --profile ID [--tcp [ADDRESS:]PORT | --device PATH | --pty] [options]
    Plays the device and prints what is written to it, until interrupted.
    --tcp PORT      Modbus TCP; default 127.0.0.1:1502, 0 takes any free port
    --device PATH   Modbus RTU on a serial line
    --pty           Modbus RTU on a new pseudo terminal (needs socat); prints its path
    --baud N        RTU: default 9600, 8N1
    --unit N        unit identifier; default the profile's
    --rated W       inverter, battery: what 100 % is; default 5000
    --seed N        default 1
    --json          one JSON object a line
`;

const STEP_MS = 100;
const STATUS_MS = 10_000;

export async function run(args: string[]): Promise<number> {
  const [verb, ...rest] = args;
  if (verb === undefined || verb === "help" || args.includes("--help") || args.includes("-h")) {
    (verb === undefined ? process.stderr : process.stdout).write(HELP);
    return verb === undefined ? 2 : 0;
  }
  try {
    if (verb === "profiles") return list(rest);
    if (verb === "emulate") return await emulate(rest);
    process.stderr.write(`vangnet modbus: no verb "${verb}"\n\n${HELP}`);
  } catch (error) {
    process.stderr.write(`vangnet modbus: ${error instanceof Error ? error.message : String(error)}\n`);
  }
  return 2;
}

function list(args: string[]): number {
  const { values } = parseArgs({ args, options: { json: { type: "boolean" } } });
  if (values.json) {
    process.stdout.write(`${JSON.stringify(profiles, null, 2)}\n`);
    return 0;
  }
  for (const profile of profiles) {
    const watchdog = profile.watchdog ? `; own watchdog ${profile.watchdog.seconds} s${profile.watchdog.register ? "" : ", fixed or the installer's"}` : "";
    process.stdout.write(`${profile.id.padEnd(24)}${profile.kind.padEnd(10)}${profile.maker}: ${profile.models}\n`);
    process.stdout.write(`${" ".repeat(24)}unit ${profile.unit}${usesSunSpec(profile) ? ", SunSpec" : ""}${watchdog}\n`);
    process.stdout.write(`${" ".repeat(24)}${profile.document}\n`);
    if (profile.setup) process.stdout.write(`${" ".repeat(24)}By hand: ${profile.setup}\n`);
  }
  return 0;
}

function number(text: string | undefined, otherwise: number, name: string, low: number, high: number): number {
  if (text === undefined) return otherwise;
  const value = Number(text);
  if (!Number.isInteger(value) || value < low || value > high) throw new Error(`--${name} ${text}: a whole number from ${low} to ${high}`);
  return value;
}

function modelFor(profile: Profile, seed: number, rated: number, house: () => HouseModel): DeviceModel {
  switch (profile.kind) {
    case "ev": return new EvModel({ seed });
    case "battery": return new BatteryModel({ seed, chargeMax: rated, dischargeMax: rated });
    case "inverter": return new InverterModel({ seed, rated });
    case "heat_pump": return new HeatPumpModel({ seed });
    case "relay": return new RelayModel();
    case "meter": return new MeterModel(() => house().netPhases);
  }
}

async function emulate(args: string[]): Promise<number> {
  const { values } = parseArgs({ args, options: {
    profile: { type: "string" }, tcp: { type: "string" }, device: { type: "string" }, pty: { type: "boolean" },
    baud: { type: "string" }, unit: { type: "string" }, rated: { type: "string" }, seed: { type: "string" }, json: { type: "boolean" },
  } });
  if (values.profile === undefined) throw new Error("say which: --profile ID (vangnet modbus profiles lists them)");
  const profile = profileById(values.profile);
  if (profile === null) throw new Error(`no profile "${values.profile}" (vangnet modbus profiles lists them)`);
  if ([values.tcp, values.device, values.pty].filter((way) => way !== undefined).length > 1) throw new Error("give one of --tcp, --device and --pty");
  const seed = number(values.seed, 1, "seed", 0, 0x7fffffff), rated = number(values.rated, 5_000, "rated", 100, 65_535);
  const unit = number(values.unit, profile.unit, "unit", 0, 255), baud = number(values.baud, 9_600, "baud", 1_200, 115_200);
  // A day that has sun in it: the hour is the host's.
  const house: HouseModel = new HouseModel({ seed, day: 100, timeOfDay: Date.now() % 86_400_000 });
  const model = modelFor(profile, seed, rated, () => house);
  const say = (event: Record<string, unknown>, words: string): void => {
    process.stdout.write(values.json ? `${JSON.stringify(event)}\n` : `${words}\n`);
  };
  const device = new EmulatedDevice({
    profile, model, unit, rated,
    onWrite: ({ table, address, words }, asked) => say({ event: "write", table, address, words, asked },
      `write  ${table} ${address}: ${words.join(" ")}${asked === null ? "" : `   now told ${asked} ${profile.setpoint === "A" ? "mA" : "W"}`}`),
  });
  const directory = mkdtempSync(join(tmpdir(), "vangnet-modbus-"));
  const platform = nodePlatform({ dataDirectory: directory });
  const pty = values.pty ? await makePty(directory) : null;
  const path = pty?.device ?? values.device;
  let server: ModbusServer;
  if (path !== undefined) {
    server = serveRtu(platform, [device], { device: path, baud });
    say({ event: "serving", profile: profile.id, unit, device: pty?.peer ?? path }, `${profile.id}, unit ${unit}, on ${pty ? `${pty.peer} (connect here)` : path}, ${baud} 8N1`);
  } else {
    const [address, port] = splitAddress(values.tcp ?? "1502");
    let refused: unknown = null;
    server = serveTcp({ ...platform, Listener: class extends platform.Listener {
      constructor(options: ConstructorParameters<typeof platform.Listener>[0]) { super({ ...options, onError: (error) => { refused = error; } }); }
    } }, [device], { address, port });
    while (server.port === 0 && refused === null) await new Promise((turn) => setTimeout(turn, 5));
    if (refused !== null) {
      platform.close();
      throw new Error(`cannot listen at ${address}:${port}: ${refused instanceof Error ? refused.message : String(refused)}`);
    }
    say({ event: "serving", profile: profile.id, unit, address, port: server.port }, `${profile.id}, unit ${unit}, at ${address}:${server.port}`);
  }
  let fallen = false, sinceStatus = 0;
  const ticking = platform.timer.repeat(() => {
    house.step(STEP_MS);
    device.step(STEP_MS, house.environment());
    if (device.fallen !== fallen) {
      fallen = device.fallen;
      say({ event: "watchdog", fallen, setpoint: model.setpoint }, fallen ? `watchdog: nobody wrote; fell to ${model.setpoint}` : "watchdog: written again");
    }
    sinceStatus += STEP_MS;
    if (sinceStatus < STATUS_MS) return;
    sinceStatus = 0;
    const watts = Math.round(model.watts[0] + model.watts[1] + model.watts[2]);
    if (profile.kind !== "relay" && profile.kind !== "meter") say({ event: "status", watts, setpoint: model.setpoint }, `draws  ${watts} W`);
  }, STEP_MS);
  await new Promise<void>((done) => { for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => done()); });
  platform.timer.clear(ticking);
  server.close();
  pty?.close();
  platform.close();
  rmSync(directory, { recursive: true, force: true });
  return 0;
}

function splitAddress(text: string): [string, number] {
  const at = text.lastIndexOf(":");
  return [at < 0 ? "127.0.0.1" : text.slice(0, at), number(at < 0 ? text : text.slice(at + 1), 0, "tcp", 0, 65_535)];
}

/** Two ends of a pseudo terminal: we sit at one, the master opens the other. */
async function makePty(directory: string): Promise<{ device: string; peer: string; close(): void }> {
  const device = join(directory, "device"), peer = join(directory, "line");
  const socat = spawn("socat", [`pty,raw,echo=0,link=${device}`, `pty,raw,echo=0,link=${peer}`], { stdio: "ignore" });
  let failed: Error | null = null;
  socat.once("error", (error) => { failed = error; });
  for (let tries = 0; tries < 200 && failed === null; tries++) {
    if (existsSync(device) && existsSync(peer)) return { device, peer, close: () => socat.kill() };
    await new Promise((turn) => setTimeout(turn, 10));
  }
  socat.kill();
  throw new Error(`--pty needs socat: ${failed === null ? "it made no terminal" : (failed as Error).message}`);
}
