/** Every profile that comes with the project, in the order of docs/profiles.md. */
import type { Profile } from "../profile.js";
import { abbTerraAc } from "./abb_terra_ac.js";
import { alfen } from "./alfen.js";
import { eastronSdm630 } from "./eastron_sdm630.js";
import { goE } from "./go_e.js";
import { kebaP30 } from "./keba_p30.js";
import { phoenixCharx } from "./phoenix_charx.js";
import {
  sunspecBattery, sunspecBattery700, sunspecInverter, sunspecInverter700, sunspecMeter, sunspecMeterReversed,
} from "./sunspec.js";
import { victronEss, victronEss3p } from "./victron_ess.js";
import { waveshareRelay } from "./waveshare_relay.js";

export const profiles: readonly Profile[] = [
  abbTerraAc, alfen, goE, kebaP30, phoenixCharx,
  sunspecBattery, sunspecBattery700, victronEss, victronEss3p,
  sunspecInverter, sunspecInverter700,
  eastronSdm630, sunspecMeter, sunspecMeterReversed,
  waveshareRelay,
];

export function profileById(id: string): Profile | null {
  for (const profile of profiles) if (profile.id === id) return profile;
  return null;
}
