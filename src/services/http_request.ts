/**
 * HTTP/1.1 requests (RFC 9112), read byte by byte into fixed buffers. Only the headers that matter
 * are kept; the others are passed over, so that a browser's cookies cost nothing. What is doubtful
 * (bare LF, folded lines, two lengths, any transfer coding) is refused, not repaired.
 */
import { HTTP_BODY_BYTES_MAX, HTTP_HEADER_BYTES_MAX, HTTP_LINE_BYTES_MAX } from "../constants.js";

export interface HttpRequest {
  readonly method: "GET" | "HEAD" | "POST";
  /** As sent, without the query; starts with "/". Not decoded: our paths need no escapes. */
  readonly path: string;
  /** After the "?", else "". */
  readonly query: string;
  readonly host: string;
  readonly origin: string | null;
  /** Sec-Fetch-Site: what the browser says of who asks. */
  readonly fetchSite: string | null;
  /** Lower case, without parameters. */
  readonly contentType: string | null;
  readonly body: Uint8Array;
  readonly http10: boolean;
  readonly close: boolean;
}

/** Why a request is refused: the status, and the rule's name for the JSON of the answer. */
export interface HttpFault { readonly status: number; readonly rule: string }

export type Progress =
  | { readonly kind: "more" }
  /** `extra`: bytes came behind it, before the answer: a pipelined request, which is not read. */
  | { readonly kind: "whole"; readonly request: HttpRequest; readonly extra: boolean }
  | { readonly kind: "fault"; readonly fault: HttpFault };

const MORE: Progress = { kind: "more" };
const CR = 13;
const LF = 10;
const NO_BODY = new Uint8Array(0);

interface Head {
  method: string; target: string; http10: boolean;
  host: string | null; origin: string | null; fetchSite: string | null; contentType: string | null;
  length: number | null; close: boolean;
}

export class RequestReader {
  readonly #line = new Uint8Array(HTTP_LINE_BYTES_MAX);
  #length = 0;
  #overflow = false;
  #headerBytes = 0;
  #afterCR = false;
  #head: Head | null = null;
  #headDone = false;
  #body: Uint8Array = NO_BODY;
  #bodyAt = 0;

  /** True once a byte of a request has come. */
  get begun(): boolean { return this.#headerBytes > 0; }

  push(input: Uint8Array): Progress {
    let at = 0;
    while (at < input.length) {
      if (!this.#headDone) {
        const fault = this.#headByte(input[at++] as number);
        if (fault !== null) return { kind: "fault", fault };
        if (!this.#headDone) continue;
      }
      const count = Math.min(this.#body.length - this.#bodyAt, input.length - at);
      // On XS NO_BODY is preloaded, and a write of no bytes into it throws too.
      if (count > 0) this.#body.set(input.subarray(at, at + count), this.#bodyAt);
      this.#bodyAt += count;
      at += count;
      if (this.#bodyAt === this.#body.length) return this.#whole(at < input.length);
    }
    return MORE;
  }

  #headByte(byte: number): HttpFault | null {
    this.#headerBytes++;
    if (this.#headerBytes > HTTP_HEADER_BYTES_MAX) return { status: 431, rule: "headers_too_long" };
    if (this.#afterCR) {
      this.#afterCR = false;
      return byte === LF ? this.#lineEnd() : { status: 400, rule: "line_end" };
    }
    if (byte === CR) {
      this.#afterCR = true;
      return null;
    }
    if (byte === LF) return { status: 400, rule: "line_end" };
    if ((byte < 0x20 && byte !== 9) || byte === 0x7f) return { status: 400, rule: "control_character" };
    if (this.#length < this.#line.length) this.#line[this.#length++] = byte;
    else if (this.#head === null) return { status: 414, rule: "request_line_too_long" };
    else this.#overflow = true;
    return null;
  }

  #lineEnd(): HttpFault | null {
    const length = this.#length;
    const overflow = this.#overflow;
    this.#length = 0;
    this.#overflow = false;
    if (this.#head === null) {
      const head = requestLine(ascii(this.#line, 0, length));
      if ("status" in head) return head;
      this.#head = head;
      return null;
    }
    if (length > 0) return this.#header(this.#head, length, overflow);
    this.#headDone = true;
    return this.#begin(this.#head);
  }

  #header(head: Head, length: number, overflow: boolean): HttpFault | null {
    const line = this.#line;
    let colon = 0;
    while (colon < length && line[colon] !== 0x3a) {
      // A name is a token (RFC 9110, 5.6.2); a space before the colon or a folded line is an old way to smuggle.
      const c = line[colon] as number;
      if (c <= 0x20 || c >= 0x7f || c === 0x28 || c === 0x29 || c === 0x2c || c === 0x2f || (c >= 0x3b && c <= 0x40)) return { status: 400, rule: "header_name" };
      colon++;
    }
    if (colon === 0 || colon === length) return { status: 400, rule: "header_name" };
    const name = ascii(line, 0, colon).toLowerCase();
    switch (name) {
      case "host": case "origin": case "sec-fetch-site": case "content-type": case "content-length":
      case "transfer-encoding": case "connection": case "expect": break;
      default: return null;
    }
    if (overflow) return { status: 431, rule: "header_too_long" };
    const value = ascii(line, colon + 1, length).trim();
    switch (name) {
      case "host":
        if (head.host !== null) return { status: 400, rule: "host_twice" };
        head.host = value;
        return null;
      case "origin":
        if (head.origin !== null) return { status: 400, rule: "origin_twice" };
        head.origin = value;
        return null;
      case "sec-fetch-site": head.fetchSite = value; return null;
      case "content-type": head.contentType = (value.split(";")[0] as string).trim().toLowerCase(); return null;
      case "content-length": {
        const count = digits(value);
        if (count === null || head.length !== null) return { status: 400, rule: "content_length" };
        head.length = count;
        return null;
      }
      case "connection":
        if (value.toLowerCase() === "close") head.close = true;
        return null;
      case "expect": return { status: 417, rule: "expect" };
      default: return { status: 501, rule: "transfer_encoding" };
    }
  }

  /** The headers are whole: what the body may be. */
  #begin(head: Head): HttpFault | null {
    if (head.host === null) return { status: 400, rule: "host_missing" };
    if (head.method !== "POST") return (head.length ?? 0) > 0 ? { status: 400, rule: "body_not_expected" } : null;
    if (head.length === null) return { status: 411, rule: "content_length_missing" };
    if (head.length > HTTP_BODY_BYTES_MAX) return { status: 413, rule: "body_too_long" };
    if (head.length > 0) this.#body = new Uint8Array(head.length);
    return null;
  }

  #whole(extra: boolean): Progress {
    const head = this.#head as Head;
    const mark = head.target.indexOf("?");
    const request: HttpRequest = {
      method: head.method as HttpRequest["method"],
      path: mark < 0 ? head.target : head.target.slice(0, mark), query: mark < 0 ? "" : head.target.slice(mark + 1),
      host: head.host as string, origin: head.origin, fetchSite: head.fetchSite, contentType: head.contentType,
      body: this.#body, http10: head.http10, close: head.close || head.http10,
    };
    return { kind: "whole", request, extra };
  }
}

function requestLine(line: string): Head | HttpFault {
  const parts = line.split(" ");
  const [method, target, version] = parts;
  if (parts.length !== 3 || method === undefined || target === undefined || version === undefined || method === "") return { status: 400, rule: "request_line" };
  if (version !== "HTTP/1.1" && version !== "HTTP/1.0") return { status: version.startsWith("HTTP/") ? 505 : 400, rule: "version" };
  if (method !== "GET" && method !== "HEAD" && method !== "POST") return { status: 501, rule: "method" };
  if (!target.startsWith("/") || target.startsWith("//")) return { status: 400, rule: "target" };
  return {
    method, target, http10: version === "HTTP/1.0", host: null, origin: null, fetchSite: null, contentType: null, length: null, close: false,
  };
}

/** Decimal digits only: no sign, no space, no more than 9 of them. */
export function digits(text: string): number | null {
  if (text.length === 0 || text.length > 9) return null;
  let value = 0;
  for (let i = 0; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 48;
    if (digit < 0 || digit > 9) return null;
    value = value * 10 + digit;
  }
  return value;
}

function ascii(bytes: Uint8Array, from: number, to: number): string {
  let text = "";
  for (let i = from; i < to; i++) text += String.fromCharCode(bytes[i] as number);
  return text;
}

/**
 * The Host header names this machine: an IP address, localhost, or a configured name. A page of
 * another site whose name was made to resolve to our address (DNS rebinding) sends its own name.
 */
export function hostAllowed(host: string, names: readonly string[]): boolean {
  const name = withoutPort(host.toLowerCase());
  if (name === null) return false;
  if (name === "localhost" || names.some((own) => own.toLowerCase() === name)) return true;
  if (name.startsWith("[")) {
    for (let i = 1; i < name.length - 1; i++) {
      const c = name.charAt(i);
      if (!((c >= "0" && c <= "9") || (c >= "a" && c <= "f") || c === ":" || c === ".")) return false;
    }
    return name.length > 3 && name.includes(":");
  }
  const parts = name.split(".");
  return parts.length === 4 && parts.every((part) => part.length <= 3 && (digits(part) ?? 256) <= 255);
}

function withoutPort(host: string): string | null {
  const end = host.startsWith("[") ? host.indexOf("]") + 1 : host.includes(":") ? host.indexOf(":") : host.length;
  if (end === 0 || (host.startsWith("[") && end < 2)) return null;
  const port = host.slice(end);
  if (port !== "" && !(port.startsWith(":") && port.length <= 6 && digits(port.slice(1)) !== null)) return null;
  return host.slice(0, end);
}
