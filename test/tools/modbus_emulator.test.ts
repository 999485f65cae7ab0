/** The emulators as strangers see them: modbus-serial and jsmodbus over real TCP, and virtual time. */
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import jsmodbus from "jsmodbus";
import modbusSerial from "modbus-serial";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { nodePlatform, type NodePlatform } from "../../hal/node/platform.js";
import type { Setpoint } from "../../src/allocation/decision.js";
import { matchesReadBack, planReads, planWatchdog, planWrites, readQuantities, usesSunSpec, type PlanContext } from "../../src/actuation/plan.js";
import type { Profile, RegisterTable } from "../../src/actuation/profile.js";
import { profileById, profiles } from "../../src/actuation/profiles/index.js";
import { NO_MODELS, sunspecNext, sunspecStart, type ModelMap } from "../../src/actuation/sunspec.js";
import { EmulatedDevice } from "../../tools/emulators/modbus_device.js";
import { BatteryModel, EvModel, InverterModel, MeterModel, MILD, RelayModel, type DeviceModel } from "../../tools/emulators/models.js";
import { serveTcp, type ModbusServer } from "../../tools/emulators/modbus_server.js";

// A CommonJS package whose declaration says "default": that is where it keeps its class.
const ModbusRTU = modbusSerial.default;

let directory: string, platform: NodePlatform, server: ModbusServer | null, client: InstanceType<typeof ModbusRTU>;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "vangnet-modbus-"));
  platform = nodePlatform({ dataDirectory: directory, log: () => {} });
  server = null;
  client = new ModbusRTU();
});
afterEach(async () => {
  await new Promise<void>((done) => { if (client.isOpen) client.close(() => done()); else done(); });
  server?.close();
  platform.close();
  rmSync(directory, { recursive: true, force: true });
});

const profile = (id: string): Profile => profileById(id)!;
async function serve(devices: EmulatedDevice[]): Promise<number> {
  server = serveTcp(platform, devices, { port: 0, address: "127.0.0.1" });
  while (server.port === 0) await new Promise((turn) => setImmediate(turn));
  await client.connectTCP("127.0.0.1", { port: server.port });
  client.setTimeout(500);
  return server.port;
}
const modelFor = (one: Profile): DeviceModel =>
  one.kind === "ev" ? new EvModel({ seed: 1 })
  : one.kind === "battery" ? new BatteryModel({ seed: 1 })
  : one.kind === "inverter" ? new InverterModel({ seed: 1 })
  : one.kind === "relay" ? new RelayModel()
  : new MeterModel(() => [1_200, -300, 450]);
const run = (device: EmulatedDevice, ms: number) => {
  for (let passed = 0; passed < ms; passed += 100) device.step(100, MILD);
};

/** What services/device.ts does, over a stranger's client. */
async function master(one: Profile) {
  const memory = new Map<string, number>();
  const context = (models: ModelMap): PlanContext => ({ models, rated: 5_000, words: (table, address) => memory.get(table + address) ?? null });
  const read = async (table: RegisterTable, start: number, count: number) =>
    (await (table === "input" ? client.readInputRegisters(start, count) : client.readHoldingRegisters(start, count))).data;
  let models: ModelMap = NO_MODELS;
  if (usesSunSpec(one)) {
    let step = sunspecStart();
    while (step.kind === "read") step = sunspecNext(step, await read("holding", step.address, 2).catch(() => null));
    if (step.kind === "fault") throw new Error(step.fault.rule);
    models = step.models;
  }
  const poll = async () => {
    for (const { table, start, count } of planReads(one, models)) (await read(table, start, count)).forEach((word, i) => memory.set(table + (start + i), word));
    return readQuantities(one, models, context(models).words);
  };
  const perform = async (plan: ReturnType<typeof planWrites>) => {
    if (!plan.ok) throw new Error(JSON.stringify(plan.fault));
    for (const write of plan.writes) {
      if (write.function === 6) await client.writeRegister(write.address, write.words[0]!);
      else await client.writeRegisters(write.address, [...write.words]);
    }
  };
  return {
    poll, models,
    tell: async (setpoint: Setpoint) => perform(planWrites(one, setpoint, context(models))),
    guard: async (safe: Setpoint) => perform(planWatchdog(one, safe, context(models))),
    holds: (setpoint: Setpoint) => matchesReadBack(one, setpoint, context(models)),
  };
}
const kindOf = (one: Profile, value: number): Setpoint =>
  one.setpoint === "A" ? { kind: "current", value } : one.kind === "inverter" ? { kind: "production", value } : { kind: "power", value };

describe("every profile against its emulator, through modbus-serial", () => {
  for (const one of profiles.filter(({ kind }) => kind !== "relay")) {
    it(one.id, async () => {
      const model = modelFor(one), device = new EmulatedDevice({ profile: one, model, unit: 9 });
      await serve([device]);
      client.setID(9);
      run(device, 60_000);
      const { poll, tell, guard, holds } = await master(one);
      let said = await poll();
      expect(said.fault).toBeNull();
      if (one.kind === "meter") {
        expect(said.power).toBe(1_350);
        expect(said.phasePower).toEqual([1_200, -300, 450]);
        expect(said.current[1]).toBeCloseTo(-300_000 / 230, -2);
        expect(said.voltage).toEqual([230_000, 230_000, 230_000]);
        return;
      }
      const [high, low, zero] = (one.setpoint === "A" ? [12_000, 6_000, 0] : [2_000, 500, 0]).map((value) => kindOf(one, value)) as [Setpoint, Setpoint, Setpoint];
      await guard(one.kind === "inverter" ? kindOf(one, 500) : zero);
      for (const setpoint of [high, low, zero, high]) {
        await tell(setpoint);
        expect(model.setpoint! - setpoint.value).toBeLessThanOrEqual(0);
        expect(setpoint.value - model.setpoint!).toBeLessThan(one.id === "victron_ess_3p" ? 3 : one.kind === "ev" ? 1 : 10);
        run(device, 30_000);
        said = await poll();
        expect(said.fault).toBeNull();
        expect(holds(setpoint)).not.toBe(false);
        const drawn = model.watts.reduce((sum, watts) => sum + watts, 0);
        if (one.read.power) expect(Math.abs(said.power! - drawn)).toBeLessThan(10);
        if (one.read.wants) expect(said.wants).toBe(true);
        if (setpoint === zero) expect(Math.abs(drawn)).toBeLessThan(1);
        else expect(Math.abs(drawn)).toBeGreaterThan(0);
      }
      // Silence: the device falls by itself where it can, no higher than its safe value.
      if (one.watchdog) {
        run(device, (one.watchdog.seconds + 1) * 1000);
        expect(device.fallen).toBe(true);
        if (one.kind !== "battery" || one.watchdog.fallback) expect(model.setpoint).toBe(one.kind === "inverter" ? 500 : 0);
        await tell(low);
        expect(device.fallen).toBe(false);
        expect(model.setpoint).toBeGreaterThan(0);
      }
    });
  }

  it("waveshare_relay: coils one by one, in the order they were written", async () => {
    const relay = new RelayModel(), moves: string[] = [];
    relay.onCoil = (coil, value) => moves.push(`${coil}=${value}`);
    await serve([new EmulatedDevice({ profile: profile("waveshare_relay"), model: relay })]);
    client.setID(1);
    await client.writeCoil(1, true);
    await client.writeCoil(0, true);
    expect(moves).toEqual(["1=1", "0=1"]);
    expect((await client.readCoils(0, 8)).data.slice(0, 8)).toEqual([true, true, false, false, false, false, false, false]);
    await client.writeCoils(0, [false, false]);
    expect(relay.coils.slice(0, 2)).toEqual([0, 0]);
    await expect(client.readCoils(0, 9)).rejects.toMatchObject({ modbusCode: 2 });
  });
});

describe("an emulated device", () => {
  it("refuses what its maker refuses", async () => {
    await serve([new EmulatedDevice({ profile: profile("keba_p30"), model: new EvModel({ seed: 1 }) })]);
    client.setID(255);
    await expect(client.readHoldingRegisters(1008, 6)).rejects.toMatchObject({ modbusCode: 3 });
    await expect(client.readHoldingRegisters(2000, 1)).rejects.toMatchObject({ modbusCode: 2 });
    await expect(client.writeRegisters(5004, [8000])).rejects.toMatchObject({ modbusCode: 1 });
    await expect(client.writeRegister(1008, 1)).rejects.toMatchObject({ modbusCode: 2 });
    await expect(client.readHoldingRegisters(1008, 2)).resolves.toMatchObject({ data: [0, 0] });
  });
  it("shares a port with others, each by its unit", async () => {
    const one = new EmulatedDevice({ profile: profile("alfen"), model: new EvModel({ seed: 1 }), unit: 1 });
    const two = new EmulatedDevice({ profile: profile("alfen"), model: new EvModel({ seed: 2 }), unit: 2 });
    await serve([one, two]);
    client.setID(2);
    await client.writeRegisters(1210, [0x4120, 0]);
    expect([one.model.setpoint, two.model.setpoint]).toEqual([0, 10_000]);
    client.setID(3);
    await expect(client.readHoldingRegisters(1210, 2)).rejects.toMatchObject({ modbusCode: 0x0b });
  });
  it("fails as it is told to, and recovers", async () => {
    const device = new EmulatedDevice({ profile: profile("alfen"), model: new EvModel({ seed: 1 }) });
    await serve([device]);
    client.setID(1);
    client.setTimeout(200);
    device.faults.exception = 6;
    await expect(client.readHoldingRegisters(1210, 2)).rejects.toMatchObject({ modbusCode: 6 });
    device.faults.exception = null;
    device.faults.deaf = true;
    await client.writeRegisters(1210, [0x4120, 0]);
    expect(device.model.setpoint).toBe(0);
    device.faults.deaf = false;
    device.faults.silent = true;
    await expect(client.readHoldingRegisters(1210, 2)).rejects.toMatchObject({ name: "TransactionTimedOutError" });
    device.faults.silent = false;
    device.faults.delayMs = 30;
    const asked = Date.now();
    await client.readHoldingRegisters(1210, 2);
    expect(Date.now() - asked).toBeGreaterThanOrEqual(25);
  });
  it("tears answers and answers for others", async () => {
    const device = new EmulatedDevice({ profile: profile("alfen"), model: new EvModel({ seed: 1 }) });
    const port = await serve([device]);
    const raw = (): Promise<Buffer> => new Promise((done) => {
      const socket = connect(port, "127.0.0.1", () => socket.write(Buffer.from("000700000006010304ba0002", "hex")));
      socket.once("data", (bytes) => { socket.destroy(); done(bytes); });
    });
    expect((await raw()).toString("hex")).toBe("00070000000701030400000000");
    device.faults.wrongUnit = true;
    expect((await raw()).toString("hex")).toBe("00070000000702030400000000");
    device.faults.wrongUnit = false;
    device.faults.torn = true;
    expect((await raw()).toString("hex")).toBe("000700000007");
  });
  it("speaks to jsmodbus too", async () => {
    const device = new EmulatedDevice({ profile: profile("sunspec_inverter"), model: new InverterModel({ seed: 1 }), rated: 8_000 });
    const port = await serve([device]);
    const socket = connect(port, "127.0.0.1");
    const other = new jsmodbus.client.TCP(socket, 1, 1_000);
    await new Promise((done) => socket.once("connect", done));
    const answer = await other.readHoldingRegisters(40_000, 4);
    expect(answer.response.body.valuesAsArray).toEqual([0x5375, 0x6e53, 1, 66]);
    socket.destroy();
  });
});

describe("models", () => {
  it("an EV follows within 5 s, stops at once, and takes nothing below 6 A", () => {
    for (let seed = 1; seed <= 20; seed++) {
      const ev = new EvModel({ seed });
      ev.told(16_000);
      for (let ms = 0; ms < 30_000; ms += 100) ev.step(100, MILD);
      expect(ev.amps[0]).toBeCloseTo(15.8, 5);
      ev.told(8_000);
      for (let ms = 0; ms < 5_000; ms += 100) ev.step(100, MILD);
      expect(ev.amps[0]).toBeLessThanOrEqual(8);
      ev.told(5_900);
      for (let ms = 0; ms < 5_000; ms += 100) ev.step(100, MILD);
      expect(ev.watts).toEqual([0, 0, 0]);
    }
  });
  it("an EV on one phase draws on one phase, and is full some day", () => {
    const ev = new EvModel({ seed: 3, phases: [false, true, false], need: 100 });
    ev.told(16_000);
    for (let ms = 0; ms < 60_000; ms += 1_000) ev.step(1_000, MILD);
    expect(ev.watts[0]).toBe(0);
    expect(ev.watts[1]).toBeCloseTo(15.8 * 230, 3);
    for (let ms = 0; ms < 600_000; ms += 1_000) ev.step(1_000, MILD);
    expect(ev.wants).toBe(false);
    expect(ev.watts[1]).toBe(0);
  });
  it("the same seed and steps give the same model", () => {
    const day = () => {
      const roof = new InverterModel({ seed: 7 }), said: unknown[] = [];
      for (let i = 0; i < 2_000; i++) {
        roof.step(1_000, { ...MILD, sun: (i % 1_000) / 1_000 });
        said.push(roof.watts[0]);
      }
      return said;
    };
    expect(day()).toEqual(day());
  });
});
