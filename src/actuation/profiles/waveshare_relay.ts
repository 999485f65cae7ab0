import type { Profile } from "../profile.js";

/**
 * A relay board for SG Ready contacts. Which coils are contacts 1 and 2 stands in site.json
 * (`contacts.coils`): coil n - 1 is channel n. Read by function 1, written one by one by function 5, so
 * that the order of the two contacts is ours. Hardware V2 protocol (since September 2021). The board
 * has no watchdog: a relay keeps its position when the controller falls silent, and opens without
 * power, which is SG Ready 2.
 */
export const waveshareRelay: Profile = {
  id: "waveshare_relay",
  maker: "Waveshare",
  models: "Modbus RTU Relay (8 channels)",
  document: "Waveshare wiki, Modbus RTU Relay, Development Protocol V2: 0x01, 0x05, 0x0F, coils from 0x0000 (as transcribed in public drivers, with its example frames)",
  kind: "relay",
  unit: 1,
  read: {},
  write: [],
  readBack: null,
  setpoint: "state",
};
