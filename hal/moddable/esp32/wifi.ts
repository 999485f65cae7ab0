/** A wireless board's network: a station that tries again for as long as it is not connected. */
import SDKWiFi from "embedded:network/interface/wifi";
import { guarded } from "../guard.js";
import { moddableTimer } from "../timer.js";
import type { Network, NetworkOptions } from "./board.js";
import { isIPv4 } from "../tcp.js";

const RETRY_MS = 5_000;
/** ECMA-419, 2nd edition, network interface: 200 not connected, 300 connecting. */
const NOT_CONNECTED = 200;

export class WiFi implements Network {
  readonly #wifi: SDKWiFi;

  constructor({ hostname, access, log }: NetworkOptions) {
    const wifi = this.#wifi = new SDKWiFi({ onChanged: guarded(log, "wifi", () => log(`wifi: ${this.address ?? "no address"}`)) });
    wifi.configure({ hostname });
    if (access === null) {
      log("wifi: no network was given: npm run flash -- --ssid …");
      return;
    }
    const connect = guarded(log, "wifi", () => {
      if (wifi.connection === NOT_CONNECTED) wifi.connect({ SSID: access.ssid, password: access.password });
    });
    connect();
    moddableTimer(log).repeat(connect, RETRY_MS);
  }

  get address(): string | null {
    const { address } = this.#wifi;
    return address !== undefined && isIPv4(address) ? address : null;
  }
}
