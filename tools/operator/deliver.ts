/** The ways out of a token: broker, house, file, or the meter's text field. */
import { readFileSync, writeFileSync } from "node:fs";
import type { AudienceState } from "./files.js";

const TIMEOUT_MS = 15_000;

/** vangnet/cap/ean/<ean>, vangnet/cap/msr/<id>, vangnet/cap/all (CAPS.md). */
export const topicOf = (aud: string): string => `vangnet/cap/${aud.replace(":", "/")}`;

/** Raw bytes, retained, QoS 1, message expiry at exp. Resolves once the broker has acknowledged. */
export async function publish(url: string, state: AudienceState, token: Uint8Array, now: number, caFile?: string): Promise<string> {
  const scheme = new URL(url).protocol;
  if (scheme !== "mqtt:" && scheme !== "mqtts:") throw new Error(`--mqtt ${url}: give mqtt://host:port or mqtts://host:port`);
  // The package is large and the other verbs do without it.
  const { connectAsync } = await import("mqtt");
  const client = await connectAsync(url, {
    protocolVersion: 5, clean: true, reconnectPeriod: 0, connectTimeout: TIMEOUT_MS,
    ...(caFile === undefined ? {} : { ca: readFileSync(caFile) }),
  }, false);
  const topic = topicOf(state.aud);
  try {
    await client.publishAsync(topic, Buffer.from(token), {
      qos: 1, retain: true, properties: { messageExpiryInterval: Math.max(1, state.exp - now), contentType: "application/cwt" },
    });
  } finally {
    await client.endAsync();
  }
  return `published on ${topic}, retained`;
}

/** Gives what the house answered, and throws where that is not 2xx. */
export async function post(base: string, bytes: Uint8Array, path = "/api/cap", type = "application/cwt"): Promise<string> {
  const url = new URL(path, base);
  const response = await fetch(url, {
    method: "POST", headers: { "content-type": type }, body: new Uint8Array(bytes), signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  const answer = (await response.text()).trim();
  if (!response.ok) throw new Error(`${url.href} answered ${response.status}: ${answer}`);
  return `${url.href} answered ${response.status}: ${answer}`;
}

export function save(file: string, token: Uint8Array): string {
  writeFileSync(file, token);
  return `written to ${file}`;
}
