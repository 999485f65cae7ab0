/**
 * A wired board's network. MAC and PHY are the SDK's module and the board's defines: nothing here
 * knows them, so that an emulated MAC needs no change above the module.
 */
import SDKEthernet from "embedded:network/interface/ethernet";
import { guarded } from "../guard.js";
import type { Network, NetworkOptions } from "./board.js";
import { isIPv4 } from "../tcp.js";

export class Ethernet implements Network {
  readonly #ethernet: SDKEthernet;

  constructor({ hostname, log }: NetworkOptions) {
    this.#ethernet = new SDKEthernet({ onChanged: guarded(log, "ethernet", () => log(`ethernet: ${this.address ?? "no address"}`)) });
    this.#ethernet.configure({ hostname });
    // Over DHCP, again at each link: the IDF's netif does that.
    this.#ethernet.connect();
  }

  get address(): string | null {
    // Before DHCP has answered this is the link-local IPv6 address, if there is one.
    const { address } = this.#ethernet;
    return address !== undefined && isIPv4(address) ? address : null;
  }
}
