/** Parts that a board lacks, for now or for good: whoever asks is told, and the controller goes on. */
import type { Directory, TCPStream, TLSOptions } from "../../ecma419.js";
import type { Log } from "../guard.js";
import { later } from "../timer.js";

/** The flash of the files cannot be mounted: the evidence log counts each refused write. */
export const noFiles: Directory = {
  openFile() { throw new Error("files: cannot be mounted"); },
  delete: () => false,
  move() { throw new Error("files: cannot be mounted"); },
  scan: () => [],
};

/** Never plain TCP in its stead: a broker that wants TLS is not reached at all. */
export class NoTLS implements TCPStream {
  readonly remoteAddress = undefined;
  readonly remotePort = undefined;
  #closed = false;

  constructor(options: TLSOptions, log: Log) {
    later(log, () => { if (!this.#closed) options.onError?.(new Error("this build has no TLS")); });
  }

  read(): undefined { return undefined; }
  write(): void { throw new Error("this build has no TLS"); }
  close(): void { this.#closed = true; }
}
