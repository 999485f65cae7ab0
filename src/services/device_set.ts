/**
 * The house's devices as site.json names them: buses opened, a driver for each device, contacts for
 * each SG Ready pump, the Modbus meter where there is one. What cannot be opened is a fault of that
 * device; the others go on.
 */
import type { Platform } from "../../hal/ecma419.js";
import { safeSetpoint } from "../actuation/actuation.js";
import type { Command } from "../actuation/command.js";
import type { Quantities } from "../actuation/plan.js";
import type { Profile } from "../actuation/profile.js";
import { contactMoves } from "../actuation/sg_ready.js";
import type { Limit, Limits } from "../limits/limit.js";
import { SILENT, type DeviceReport } from "../reading/report.js";
import type { Device, Site } from "../site.js";
import type { Millis, Watts } from "../units.js";
import { ContactExecutor, GpioContacts, ModbusContacts, type ContactDriver } from "./contacts.js";
import { DeviceDriver } from "./device.js";
import { ModbusRtuBus, ModbusTcpBus, type ModbusBus } from "./modbus_bus.js";
import { parseHostPort, type DeviceFile, type SiteFile } from "./site_config.js";

export interface DeviceSetOptions {
  platform: Platform;
  file: SiteFile;
  site: Site;
  profileOf: ReadonlyMap<string, Profile>;
  /** A poll of the Modbus meter, where site.json names one. */
  metered?: (quantities: Quantities, at: Millis) => void;
}

type Actor = { readonly kind: "driver"; readonly driver: DeviceDriver } | { readonly kind: "contacts"; readonly contacts: ContactExecutor } | { readonly kind: "none"; readonly fault: string };

export class DeviceSet {
  readonly #buses = new Map<string, ModbusBus>();
  readonly #actors: Actor[];
  readonly #site: Site;
  #meter: DeviceDriver | null = null;

  constructor(options: DeviceSetOptions) {
    const { file, site } = options;
    this.#site = site;
    for (const id of Object.keys(file.buses)) this.#openBus(id, options);
    this.#actors = file.devices.map((entry, i) => this.#open(entry, site.devices[i]!, options));
    if (file.meter.type === "modbus") this.#openMeter(file.meter, options);
  }

  /** In the order of site.devices. */
  reports(): DeviceReport[] {
    return this.#actors.map((actor) => {
      switch (actor.kind) {
        case "driver": return actor.driver.report();
        case "contacts": return actor.contacts.report();
        case "none": return { ...SILENT, fault: actor.fault };
      }
    });
  }

  execute(command: Command): void {
    const actor = this.#actors[command.device];
    if (command.kind === "write" && actor?.kind === "driver") actor.driver.write(command.setpoint);
    else if (command.kind === "contacts" && actor?.kind === "contacts") actor.contacts.execute(command.moves);
  }

  /**
   * Safe values for all, and no production above the limits that were last known: before an orderly
   * end, and while the core is broken.
   */
  holdSafe(limits: Limits | null): void {
    const cap = limits === null ? null : tightest(limits.export, limits.production);
    this.#site.devices.forEach((device, i) => {
      const setpoint = safeSetpoint(device);
      if (setpoint.kind === "sg_ready") return this.execute({ kind: "contacts", device: i, moves: contactMoves(setpoint.value) });
      const bounded = setpoint.kind === "production" && cap !== null ? { kind: setpoint.kind, value: Math.min(setpoint.value, cap) } : setpoint;
      this.execute({ kind: "write", device: i, setpoint: bounded });
    });
  }

  /** Counters of all buses together, for the status. */
  counters(): { requests: number; timeouts: number; exceptions: number } {
    const sum = { requests: 0, timeouts: 0, exceptions: 0 };
    for (const bus of this.#buses.values()) {
      const { counters } = bus.status;
      sum.requests += counters.requests;
      sum.timeouts += counters.timeouts;
      sum.exceptions += counters.exceptions;
    }
    return sum;
  }

  close(): void {
    this.#meter?.close();
    for (const actor of this.#actors) {
      if (actor.kind === "driver") actor.driver.close();
      if (actor.kind === "contacts") actor.contacts.close();
    }
    for (const bus of this.#buses.values()) bus.close();
  }

  #openBus(id: string, { platform, file }: DeviceSetOptions): void {
    const entry = file.buses[id]!;
    const common = { timer: platform.timer, monotonic: () => platform.monotonic() };
    try {
      if ("tcp" in entry) {
        const { host, port } = parseHostPort(entry.tcp)!;
        this.#buses.set(id, new ModbusTcpBus({ ...common, io: platform.TCP, host, port }));
      } else {
        this.#buses.set(id, new ModbusRtuBus({
          ...common, io: platform.Serial, line: { device: entry.device, baud: entry.baud, parity: entry.parity, stopBits: entry.stop_bits },
        }));
      }
    } catch (error) {
      platform.log(`bus ${id}: ${String(error)}`);
    }
  }

  #open(entry: DeviceFile, device: Device, { platform, profileOf }: DeviceSetOptions): Actor {
    const common = { timer: platform.timer, monotonic: () => platform.monotonic() };
    if (entry.kind === "heat_pump") {
      const { contacts } = entry;
      let driver: ContactDriver;
      if ("gpio" in contacts) {
        driver = new GpioContacts({ io: platform.Digital, pins: contacts.gpio, activeLow: contacts.active_low, timer: platform.timer });
      } else {
        const bus = this.#buses.get(contacts.bus);
        const profile = profileOf.get(contacts.profile)!;
        if (bus === undefined) return { kind: "none", fault: "bus_not_open" };
        driver = new ModbusContacts({ bus, unit: contacts.unit ?? profile.unit, coils: contacts.coils, monotonic: common.monotonic });
      }
      return { kind: "contacts", contacts: new ContactExecutor({ ...common, driver }) };
    }
    const bus = this.#buses.get(entry.bus);
    if (bus === undefined) return { kind: "none", fault: "bus_not_open" };
    const profile = profileOf.get(entry.profile)!;
    return {
      kind: "driver",
      driver: new DeviceDriver({
        ...common, bus, profile, safe: safeSetpoint(device), rated: ratedPower(device),
        ...(entry.unit === undefined ? {} : { unit: entry.unit }),
      }),
    };
  }

  #openMeter(meter: Extract<SiteFile["meter"], { type: "modbus" }>, { platform, profileOf, metered }: DeviceSetOptions): void {
    const bus = this.#buses.get(meter.bus);
    if (bus === undefined) return;
    this.#meter = new DeviceDriver({
      timer: platform.timer, monotonic: () => platform.monotonic(), bus, profile: profileOf.get(meter.profile)!, safe: null,
      ...(meter.unit === undefined ? {} : { unit: meter.unit }),
      ...(metered === undefined ? {} : { polled: metered }),
    });
  }
}

function tightest(a: Limit, b: Limit): Watts | null {
  if (a.kind === "none") return b.kind === "none" ? null : b.watts;
  return b.kind === "none" ? a.watts : Math.min(a.watts, b.watts);
}

/** What a write in percent is a percentage of. */
function ratedPower(device: Device): Watts | null {
  switch (device.kind) {
    case "inverter": return device.rated;
    case "battery": return Math.max(device.chargeMax, device.dischargeMax);
    case "heat_pump": return device.control === "power" ? device.maximum : null;
    case "ev": return null;
  }
}
