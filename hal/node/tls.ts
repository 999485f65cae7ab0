/** TLS client over node:tls. The certificate must be good for `serverName` (default: the host). */
import { isIP, type Socket } from "node:net";
import { checkServerIdentity, connect } from "node:tls";
import type { Bytes, TLSOptions } from "../ecma419.js";
import { TCP } from "./tcp.js";

const DER_SEQUENCE = 0x30;

/** PEM text as it is; DER wrapped into PEM, which is what node:tls reads. */
function authority(certificate: Bytes): string {
  const bytes = Buffer.from(certificate instanceof Uint8Array ? certificate : new Uint8Array(certificate));
  if (bytes[0] !== DER_SEQUENCE) return bytes.toString("latin1");
  const lines = bytes.toString("base64").match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
}

export class TLS extends TCP {
  // Only to narrow the options: everything happens in `open`.
  constructor(options: TLSOptions) {
    super(options);
  }

  protected override open(options: TLSOptions): Socket | null {
    return this.attempt(() => {
      const { serverName, certificate } = options.secure;
      const host = options.address ?? options.host ?? "";
      const name = serverName ?? options.host ?? host;
      const socket = connect({
        host,
        port: options.port ?? 0,
        // SNI holds names only (RFC 6066, 3); an address is checked against the certificate all the same.
        servername: isIP(name) ? "" : name,
        checkServerIdentity: (_host, peer) => checkServerIdentity(name, peer),
        rejectUnauthorized: true,
        minVersion: "TLSv1.2",
        ...(certificate === undefined ? {} : { ca: authority(certificate) }),
      });
      socket.setNoDelay(options.noDelay ?? true);
      socket.once("secureConnect", () => this.opened());
      return socket;
    });
  }
}
