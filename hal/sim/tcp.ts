/** TCP between the platforms of one world. TLS is the same: certificates are not simulated. */
import { ByteQueue } from "../byte_queue.js";
import type { TCPOptions, TCPStream } from "../ecma419.js";
import type { Link } from "./link.js";
import type { SimPlatform } from "./platform.js";
import { SimStream, WRITE_BYTES_MAX } from "./stream.js";

/** The peer's receive buffer: beyond it the bytes wait on the way, and the writer with them. */
const WINDOW_BYTES = 65_536;

/** One end of a connection. It lives on without an owner while it waits in a Listener. */
export class Side {
  readonly platform: SimPlatform;
  readonly link: Link;
  readonly port: number;
  peer: Side | null = null;
  owner: SimStream | null = null;
  readonly unread = new ByteQueue();
  /** Written here and not yet taken by the peer. */
  underway = 0;
  #stalled: Uint8Array[] = [];
  #peerEnded = false;
  /** Closed here, or lost with its platform's power. */
  gone = false;
  failure: { error: unknown } | null = null;

  constructor(platform: SimPlatform, link: Link, port: number) {
    this.platform = platform;
    this.link = link;
    this.port = port;
    platform.sides.add(this);
  }

  free(): number {
    if (this.peer === null || this.failure) return 0;
    return Math.min(WRITE_BYTES_MAX, WRITE_BYTES_MAX + WINDOW_BYTES - this.underway);
  }

  send(bytes: Uint8Array): void {
    const peer = this.peer as Side;
    this.underway += bytes.length;
    const carried = this.link.tamper ? this.link.tamper(bytes, this.platform.name) : bytes;
    this.link.carry(() => {
      if (carried) peer.#arrive(carried, bytes.length);
      else this.#taken(bytes.length);
    });
  }

  #arrive(bytes: Uint8Array, size: number): void {
    if (this.platform.off) return;
    if (this.gone) {
      // Nobody here knows this connection any more: a reset goes back.
      this.link.carry(() => this.peer?.fail(new Error("connection reset by the peer")));
      return;
    }
    if (this.failure) return;
    if (this.#stalled.length > 0 || (this.unread.length > 0 && this.unread.length + bytes.length > WINDOW_BYTES)) {
      this.#stalled.push(bytes);
      return;
    }
    this.#accept(bytes, size);
  }

  #accept(bytes: Uint8Array, size: number): void {
    this.unread.push(bytes);
    (this.peer as Side).#taken(size);
    this.owner?.signal("readable");
  }

  #taken(size: number): void {
    this.underway -= size;
    if (!this.gone) this.owner?.signal("writable");
  }

  afterRead(): void {
    while (this.#stalled.length > 0) {
      const bytes = this.#stalled[0] as Uint8Array;
      if (this.unread.length > 0 && this.unread.length + bytes.length > WINDOW_BYTES) return;
      this.#stalled.shift();
      this.#accept(bytes, bytes.length);
    }
    if (this.#peerEnded) this.fail(new Error("ended by the peer"));
  }

  close(): void {
    if (this.gone) return;
    this.lose();
    if (this.peer === null || this.failure) return;
    const peer = this.peer;
    this.link.carry(() => peer.#ended());
  }

  /** Gone without a word: power loss. */
  lose(): void {
    this.gone = true;
    this.owner = null;
    this.platform.sides.delete(this);
  }

  #ended(): void {
    if (this.gone || this.platform.off) return;
    this.#peerEnded = true;
    if (this.#stalled.length === 0) this.fail(new Error("ended by the peer"));
  }

  fail(error: unknown): void {
    if (this.gone || this.failure) return;
    this.failure = { error };
    this.platform.sides.delete(this);
    this.owner?.signal(this.failure);
  }
}

export class SimTCP extends SimStream implements TCPStream {
  #side: Side | null = null;
  #connecting: (() => void) | null = null;

  constructor(platform: SimPlatform, options: TCPOptions | { side: Side }) {
    super(platform, "side" in options ? {} : options);
    if ("side" in options) {
      this.#side = options.side;
    } else if (options.from !== undefined) {
      const from = options.from;
      if (!(from instanceof SimTCP) || !from.#side || from.#side.owner) throw new Error("from: not a connection that a Listener gave");
      this.#side = from.#side;
      from.#side = null;
      this.#side.owner = this;
      this.signal("writable");
      if (this.#side.unread.length > 0) this.signal("readable");
      if (this.#side.failure) this.signal(this.#side.failure);
    } else {
      this.#connect(options);
    }
  }

  #connect(options: TCPOptions): void {
    const { world } = this.platform;
    const host = options.address ?? options.host ?? "";
    const port = options.port ?? 0;
    const target = world.resolve(host, port, this.platform);
    if (target === null) {
      this.platform.post(() => this.signal({ error: new Error(`${host}: no such host`) }), world.latencyMs);
      return;
    }
    const link = world.link(this.platform.name, target.name);
    const side = new Side(this.platform, link, port);
    side.owner = this;
    this.#side = side;
    const late = this.platform.post(() => side.fail(new Error(`${host}:${port}: timed out`)), world.connectTimeoutMs);
    this.#connecting = () => world.cancel(late);
    link.carry(() => {
      if (target.off) return;
      const remote = side.gone ? null : target.accept(port, link);
      link.carry(() => {
        world.cancel(late);
        if (side.gone || side.failure) link.carry(() => remote?.fail(new Error("ended by the peer")));
        else if (remote === null) side.fail(new Error(`${host}:${port}: connection refused`));
        else {
          side.peer = remote;
          this.signal("writable");
        }
      });
      if (remote) remote.peer = side;
    });
  }

  protected override free(): number {
    return this.#side?.free() ?? 0;
  }
  protected override unread(): ByteQueue {
    return this.#side?.unread ?? new ByteQueue();
  }
  protected override send(bytes: Uint8Array): void {
    this.#side?.send(bytes);
  }
  protected override afterRead(): void {
    this.#side?.afterRead();
  }
  protected override end(): void {
    this.#connecting?.();
    this.#side?.close();
    this.#side = null;
  }

  get remoteAddress(): string | undefined {
    return this.#side?.peer?.platform.address;
  }
  get remotePort(): number | undefined {
    return this.#side?.peer?.port;
  }
}
