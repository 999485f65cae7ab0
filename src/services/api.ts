/** The routes: GET / (page), GET /api/status, GET /api/evidence, POST /api/cap, POST /api/keys. docs/api.md describes them. */
import { HTTP_BAD_POST_ADDRESSES_MAX, HTTP_BAD_POST_FORGIVEN_MS, HTTP_BAD_POSTS_MAX } from "../constants.js";
import type { Millis } from "../units.js";
import { json, problem, type Answer, type ByteSource, type Handler } from "./http_server.js";
import { digits, type HttpRequest } from "./http_request.js";
import { PAGE_SCRIPT, PAGE_STYLE, pageSource } from "./page.js";

/** What became of a signed document: a cap token, or a set of keys. */
export type PostOutcome =
  | { readonly kind: "accepted" }
  /** The same again: not an error (CAPS, Life 2). */
  | { readonly kind: "repeat" }
  /** `rule`: the first rule that failed; "busy" where too many wait already, "store" where it could not be kept. */
  | { readonly kind: "refused"; readonly rule: string };

export interface ApiOptions {
  monotonic(): Millis;
  sha256(data: Uint8Array): Uint8Array;
  /** The status as JSON text. */
  status(): string;
  /** Records from that sequence number on. */
  evidence(from: number, format: "json" | "csv"): ByteSource;
  /** A token's raw bytes; `respond` once, on any turn. */
  cap(bytes: Uint8Array, respond: (outcome: PostOutcome) => void): void;
  /** The same for a signed set of keys. */
  keys(bytes: Uint8Array, respond: (outcome: PostOutcome) => void): void;
}

export function makeApi(options: ApiOptions): Handler {
  const bad = new BadPosts();
  const policy = contentPolicy(options.sha256);
  return (request, address, answer) => {
    switch (request.path) {
      case "/":
        return answer(reading(request) ?? { status: 200, type: "text/html; charset=utf-8", body: pageSource(), headers: [policy] });
      case "/api/status":
        return answer(reading(request) ?? { status: 200, type: "application/json", body: new TextEncoder().encode(options.status()) });
      case "/api/evidence":
        return answer(reading(request) ?? evidence(request, options));
      case "/api/cap":
        return signed("application/cwt", options.cap, request, address, answer, options, bad);
      case "/api/keys":
        return signed("application/cose", options.keys, request, address, answer, options, bad);
      default:
        return answer(problem({ status: 404, rule: "path" }));
    }
  };
}

/** Null where the request only reads. */
function reading({ method }: HttpRequest): Answer | null {
  return method === "POST" ? problem({ status: 405, rule: "method" }, ["Allow: GET, HEAD"]) : null;
}

function evidence({ query }: HttpRequest, options: ApiOptions): Answer {
  let from: number | null = 0;
  let format = "json";
  for (const part of query === "" ? [] : query.split("&")) {
    const [key, value = ""] = part.split("=");
    if (key === "from") from = digits(value);
    else if (key === "format") format = value;
    else return problem({ status: 400, rule: "query" });
  }
  if (from === null || (format !== "json" && format !== "csv")) return problem({ status: 400, rule: "query" });
  const body = options.evidence(from, format);
  return format === "csv"
    ? { status: 200, type: "text/csv; charset=utf-8", body, headers: ['Content-Disposition: attachment; filename="vangnet-evidence.csv"'] }
    : { status: 200, type: "application/json", body };
}

function signed(
  type: string, take: ApiOptions["cap"], request: HttpRequest, address: string, answer: (answer: Answer) => void, options: ApiOptions, bad: BadPosts,
): void {
  if (request.method !== "POST") return answer(problem({ status: 405, rule: "method" }, ["Allow: POST"]));
  const wait = bad.wait(address, options.monotonic());
  if (wait > 0) return answer(problem({ status: 429, rule: "too_many_refused" }, [`Retry-After: ${Math.ceil(wait / 1000)}`]));
  // Another type also keeps out the forms of other sites, which cannot send this one unasked.
  if (request.contentType !== type) return answer(problem({ status: 415, rule: "content_type" }));
  if (request.body.length === 0) return answer(problem({ status: 400, rule: "empty" }));
  take(request.body, (outcome) => {
    if (outcome.kind !== "refused") return answer(json({ result: outcome.kind }));
    if (outcome.rule === "busy" || outcome.rule === "store") return answer(problem({ status: 503, rule: outcome.rule }, ["Retry-After: 1"]));
    bad.count(address, options.monotonic());
    answer(problem({ status: 422, rule: outcome.rule }));
  });
}

/** Refused documents, per address, each forgiven after a while. The oldest address gives way to a new one. */
class BadPosts {
  #entries: { address: string; count: number; since: Millis }[] = [];

  /** Milliseconds until the next try is allowed, 0 = now. */
  wait(address: string, now: Millis): Millis {
    const entry = this.#find(address, now);
    return entry === null || entry.count < HTTP_BAD_POSTS_MAX ? 0 : entry.since + HTTP_BAD_POST_FORGIVEN_MS - now;
  }

  count(address: string, now: Millis): void {
    const entry = this.#find(address, now);
    if (entry !== null) {
      entry.count++;
      return;
    }
    if (this.#entries.length >= HTTP_BAD_POST_ADDRESSES_MAX) this.#entries.shift();
    this.#entries.push({ address, count: 1, since: now });
  }

  #find(address: string, now: Millis): { count: number; since: Millis } | null {
    const entry = this.#entries.find((one) => one.address === address);
    if (entry === undefined) return null;
    const forgiven = Math.min(entry.count, Math.floor((now - entry.since) / HTTP_BAD_POST_FORGIVEN_MS));
    entry.count -= forgiven;
    entry.since += forgiven * HTTP_BAD_POST_FORGIVEN_MS;
    if (entry.count > 0) return entry;
    this.#entries = this.#entries.filter((one) => one !== entry);
    return null;
  }
}

/** Only our own script and style run, known by their hash, and they may speak to us alone. */
function contentPolicy(sha256: ApiOptions["sha256"]): string {
  const hash = (text: string): string => `'sha256-${base64(sha256(new TextEncoder().encode(text)))}'`;
  return `Content-Security-Policy: default-src 'none'; script-src ${hash(PAGE_SCRIPT)}; style-src ${hash(PAGE_STYLE)}; `
    + "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
}

function base64(bytes: Uint8Array): string {
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  let text = "";
  for (let i = 0; i < bytes.length; i += 3) {
    const left = bytes.length - i;
    const word = ((bytes[i] as number) << 16) | ((left > 1 ? bytes[i + 1] as number : 0) << 8) | (left > 2 ? bytes[i + 2] as number : 0);
    text += alphabet.charAt(word >> 18) + alphabet.charAt((word >> 12) & 63)
      + (left > 1 ? alphabet.charAt((word >> 6) & 63) : "=") + (left > 2 ? alphabet.charAt(word & 63) : "=");
  }
  return text;
}
