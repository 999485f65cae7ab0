/** One HTTP connection: reads a request, gives it to the server, writes the answer as fast as the peer takes it. */
import { HTTP_DISCARD_BYTES_MAX, HTTP_LINGER_MS, HTTP_TIMEOUT_MS } from "../constants.js";
import type { TCPConstructor, TCPStream } from "../../hal/ecma419.js";
import type { Millis } from "../units.js";
import { RequestReader, type HttpFault, type HttpRequest } from "./http_request.js";

/** A body that is made while it is sent. `close` is called once, whether it was read to its end or not. */
export interface ByteSource {
  /** Known beforehand, or null: then it goes out chunked. */
  readonly length: number | null;
  /** The next piece, null at the end. Pieces are not empty. */
  next(): Uint8Array | null;
  close(): void;
}

export interface Answer {
  readonly status: number;
  /** Content-Type. */
  readonly type: string;
  readonly body: Uint8Array | ByteSource;
  /** Further header lines, without line ends. */
  readonly headers?: readonly string[];
}

export interface ConnectionOwner {
  readonly TCP: TCPConstructor;
  monotonic(): Millis;
  /** Answers once, now or later. */
  handle(request: HttpRequest, address: string, answer: (answer: Answer) => void): void;
  refused(fault: HttpFault): Answer;
  gone(connection: HttpConnection): void;
  readonly counters: { timeouts: number; errors: number };
}

export type ConnectionState = "request" | "waiting" | "answering" | "linger" | "ended";

const REASONS: Record<number, string> = {
  200: "OK", 400: "Bad Request", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 408: "Request Timeout", 411: "Length Required",
  413: "Content Too Large", 414: "URI Too Long", 415: "Unsupported Media Type", 417: "Expectation Failed", 421: "Misdirected Request",
  422: "Unprocessable Content", 429: "Too Many Requests", 431: "Request Header Fields Too Large", 500: "Internal Server Error",
  501: "Not Implemented", 503: "Service Unavailable", 505: "HTTP Version Not Supported",
};
/** For every answer: nothing of ours is framed, sniffed, cached or read by another site. */
const ALWAYS = [
  "X-Content-Type-Options: nosniff", "X-Frame-Options: DENY", "Referrer-Policy: no-referrer",
  "Cross-Origin-Resource-Policy: same-origin", "Cache-Control: no-store",
];
const NOTHING_ALLOWED = "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'";

export class HttpConnection {
  readonly #owner: ConnectionOwner;
  readonly #stream: TCPStream;
  #reader: RequestReader | null = new RequestReader();
  state: ConnectionState = "request";
  /** Since when it is in this state; which one is the oldest. */
  since: Millis;
  /** What happens at it depends on the state: see `expire`. */
  #deadline: Millis;
  #writable = 0;
  #out: Uint8Array | null = null;
  #outAt = 0;
  #source: ByteSource | null = null;
  #chunked = false;
  #close = false;
  #http10 = false;
  #headOnly = false;
  #discarded = 0;
  /** Requests so far: an answer belongs to one of them. */
  #turn = 0;

  constructor(owner: ConnectionOwner, from: TCPStream) {
    this.#owner = owner;
    this.since = owner.monotonic();
    this.#deadline = this.since + HTTP_TIMEOUT_MS;
    this.#stream = new owner.TCP({
      from, noDelay: true, format: "buffer",
      onReadable: () => this.#read(),
      onWritable: (count) => { this.#writable = count; this.#pump(); },
      onError: () => this.end(),
    });
  }

  /** No request has begun: it may be closed without loss. */
  get idle(): boolean { return this.state === "request" && this.#reader?.begun !== true; }

  /** Once a second: a request must be whole, and an answer move on, within HTTP_TIMEOUT_MS. */
  expire(now: Millis): void {
    if (now < this.#deadline) return;
    if (this.state !== "linger" && !this.idle) this.#owner.counters.timeouts++;
    if (this.state === "request" && !this.idle) this.#refuse({ status: 408, rule: "timeout" });
    else if (this.state === "waiting") this.#answer(this.#owner.refused({ status: 503, rule: "no_answer" }));
    else this.end();
  }

  end(): void {
    if (this.state === "ended") return;
    this.#enter("ended", 0);
    this.#closeSource();
    this.#out = null;
    try {
      this.#stream.close();
    } catch {
      // Left to its host.
    }
    this.#owner.gone(this);
  }

  #enter(state: ConnectionState, time: Millis): void {
    this.state = state;
    this.since = this.#owner.monotonic();
    this.#deadline = this.since + time;
  }

  // ---- in ----

  #read(): void {
    while (this.state !== "ended") {
      let bytes: ArrayBuffer | undefined;
      try {
        bytes = this.#stream.read();
      } catch {
        return this.end();
      }
      if (bytes === undefined || bytes.byteLength === 0) return;
      if (this.state === "request") this.#request(new Uint8Array(bytes));
      else this.#discard(bytes.byteLength);
    }
  }

  /** More than one request at a time is not served: the answer under way is the last one. */
  #discard(count: number): void {
    this.#close = true;
    this.#discarded += count;
    if (this.#discarded > HTTP_DISCARD_BYTES_MAX) this.end();
  }

  #request(bytes: Uint8Array): void {
    const reader = (this.#reader ??= new RequestReader());
    if (!reader.begun) this.#deadline = this.#owner.monotonic() + HTTP_TIMEOUT_MS;
    const progress = reader.push(bytes);
    if (progress.kind === "more") return;
    if (progress.kind === "fault") return this.#refuse(progress.fault);
    const { request } = progress;
    this.#reader = null;
    this.#http10 = request.http10;
    this.#headOnly = request.method === "HEAD";
    this.#close = request.close || progress.extra;
    this.#enter("waiting", HTTP_TIMEOUT_MS);
    const turn = ++this.#turn;
    try {
      this.#owner.handle(request, this.#stream.remoteAddress ?? "", (answer) => {
        // Once, and only while somebody waits for it.
        if (this.state === "waiting" && this.#turn === turn) this.#answer(answer);
        else if (!(answer.body instanceof Uint8Array)) answer.body.close();
      });
    } catch {
      this.#owner.counters.errors++;
      if (this.state === "waiting") this.#answer(this.#owner.refused({ status: 500, rule: "internal" }));
    }
  }

  #refuse(fault: HttpFault): void {
    this.#reader = null;
    this.#close = true;
    this.#headOnly = false;
    this.#answer(this.#owner.refused(fault));
  }

  // ---- out ----

  #answer({ status, type, body, headers = [] }: Answer): void {
    this.#enter("answering", HTTP_TIMEOUT_MS);
    const { length } = body;
    this.#chunked = length === null && !this.#http10;
    if (length === null && this.#http10) this.#close = true;
    const lines = [
      `HTTP/1.1 ${status} ${REASONS[status] ?? "Status"}`, `Content-Type: ${type}`,
      length === null ? (this.#chunked ? "Transfer-Encoding: chunked" : "") : `Content-Length: ${length}`,
      `Connection: ${this.#close ? "close" : "keep-alive"}`, ...ALWAYS, ...headers,
      headers.some((line) => line.startsWith("Content-Security-Policy:")) ? "" : NOTHING_ALLOWED,
    ];
    this.#out = new TextEncoder().encode(`${lines.filter((line) => line !== "").join("\r\n")}\r\n\r\n`);
    this.#outAt = 0;
    this.#source = body instanceof Uint8Array ? single(body) : body;
    if (this.#headOnly) this.#closeSource();
    this.#pump();
  }

  #pump(): void {
    while (this.state === "answering" && this.#writable > 0) {
      if (this.#out === null && !this.#nextPiece()) return;
      const out = this.#out;
      if (out === null) continue;
      const part = out.subarray(this.#outAt, this.#outAt + this.#writable);
      this.#writable -= part.length;
      this.#outAt += part.length;
      this.#deadline = this.#owner.monotonic() + HTTP_TIMEOUT_MS;
      if (this.#outAt === out.length) this.#out = null;
      try {
        this.#stream.write(part);
      } catch {
        return this.end();
      }
    }
    if (this.state === "answering" && this.#out === null && this.#source === null) this.#done();
  }

  /** False where the connection ended over it. */
  #nextPiece(): boolean {
    const source = this.#source;
    if (source === null) {
      this.#done();
      return false;
    }
    let piece: Uint8Array | null;
    try {
      piece = source.next();
    } catch {
      // The answer has begun: cut off, so that the peer sees that it is not whole.
      this.#owner.counters.errors++;
      this.end();
      return false;
    }
    this.#outAt = 0;
    this.#out = piece === null ? (this.#chunked ? LAST_CHUNK : null) : this.#chunked ? chunk(piece) : piece;
    if (piece === null) this.#closeSource();
    return true;
  }

  #done(): void {
    if (this.#close) return this.#enter("linger", HTTP_LINGER_MS);
    this.#enter("request", HTTP_TIMEOUT_MS);
  }

  #closeSource(): void {
    const source = this.#source;
    this.#source = null;
    try {
      source?.close();
    } catch {
      this.#owner.counters.errors++;
    }
  }
}

const LAST_CHUNK = new Uint8Array([0x30, 13, 10, 13, 10]);

function chunk(piece: Uint8Array): Uint8Array {
  const size = new TextEncoder().encode(`${piece.length.toString(16)}\r\n`);
  const whole = new Uint8Array(size.length + piece.length + 2);
  whole.set(size, 0);
  whole.set(piece, size.length);
  whole[whole.length - 2] = 13;
  whole[whole.length - 1] = 10;
  return whole;
}

function single(bytes: Uint8Array): ByteSource {
  let left: Uint8Array | null = bytes.length > 0 ? bytes : null;
  return { length: bytes.length, next: () => { const now = left; left = null; return now; }, close: () => {} };
}
