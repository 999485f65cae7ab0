import { PAR14A_DEVICE_W, PAR14A_LARGE_W } from "../constants.js";
import { NOMINAL_MV, type Device, type Site } from "../site.js";
import type { Watts } from "../units.js";

/** Simultaneity factor (GZF) in permille for n = 2 ... 8 devices; 450 from 9 on (BK6-22-300). */
const GZF_PERMILLE: readonly number[] = [800, 750, 700, 650, 600, 550, 500];
const GZF_MANY = 450;

/**
 * Section 14a EnWG with an energy management system: what `count` controllable devices may draw
 * together while they are dimmed. 4.2 kW + (n - 1) x GZF x 4.2 kW; where heat pumps or cooling above
 * 11 kW are among them (`large`, the sum of their power) the first term is 0.4 x that, if more.
 */
export function par14aLimit(count: number, large: Watts): Watts {
  if (count <= 0) return 0;
  const gzf = count >= 9 ? GZF_MANY : (GZF_PERMILLE[count - 2] ?? 0);
  const first = Math.max(PAR14A_DEVICE_W, Math.floor((large * 4) / 10));
  return first + Math.floor(((count - 1) * gzf * PAR14A_DEVICE_W) / 1_000);
}

/** The same for the devices of a site: all that consume on command, so not the inverters. */
export function par14aSite(devices: readonly Device[]): Watts {
  let count = 0;
  let large = 0;
  for (const device of devices) {
    if (device.kind === "inverter") continue;
    count++;
    if (device.kind !== "heat_pump") continue;
    const power = ratedConsumption(device);
    if (power > PAR14A_LARGE_W) large += power;
  }
  return par14aLimit(count, large);
}

/**
 * A limit for the controllable devices together, as section 14a reads it: 4.2 kW or more is a dim,
 * meant for each device, and becomes the sum for all of them. Less than that is no dim but an
 * emergency order and is taken at its word: 0 W stays 0 W.
 */
export function par14aRead(site: Site, watts: Watts): Watts {
  return site.par14a && watts >= PAR14A_DEVICE_W ? Math.max(watts, par14aSite(site.devices)) : watts;
}

/** The most a device draws from the house, W. An inverter draws nothing. */
export function ratedConsumption(device: Device): Watts {
  switch (device.kind) {
    case "ev": {
      const phases = (device.phases[0] ? 1 : 0) + (device.phases[1] ? 1 : 0) + (device.phases[2] ? 1 : 0);
      return Math.floor((device.maximum * phases * (NOMINAL_MV / 1_000)) / 1_000);
    }
    case "battery": return device.chargeMax;
    case "heat_pump": return device.control === "power" ? device.maximum : device.nominal;
    case "inverter": return 0;
  }
}

/** The most a device feeds into the house, W. */
export function ratedProduction(device: Device): Watts {
  if (device.kind === "inverter") return device.rated;
  return device.kind === "battery" ? device.dischargeMax : 0;
}
