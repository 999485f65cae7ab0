/** A client under test over real sockets, with what it received and a way to wait for what it must do. */
import { nodeTimer } from "../../hal/node/timer.js";
import { TCP } from "../../hal/node/tcp.js";
import { TLS } from "../../hal/node/tls.js";
import { Listener } from "../../hal/node/listener.js";
import { monotonicClock } from "../../hal/node/clock.js";
import { MqttClient, type MqttOptions, type MqttStatus } from "../../src/services/mqtt_client.js";

export const sockets = { TCP, TLS, Listener };
export { nodeTimer };

export interface Received { topic: string; text: string; retained: boolean }

export function realClient(options: Partial<MqttOptions> & { port: number }) {
  const received: Received[] = [];
  const history: MqttStatus[] = [];
  const timer = nodeTimer();
  const client = new MqttClient({
    io: TCP, timer, random: () => 2 ** 28, monotonic: monotonicClock(), host: "127.0.0.1", clientId: `test-${process.pid}-${options.port}`,
    subscriptions: [],
    onMessage: (topic, payload, { retained }) => received.push({ topic, text: new TextDecoder().decode(payload), retained }),
    onStatus: (status) => history.push(status),
    ...options,
  });
  return { client, received, history, close() { client.close(); timer.clearAll(); } };
}

/** Polls until the condition holds; fails with the words after `limit` ms. */
export async function until(condition: () => boolean, words: string, limit = 8_000): Promise<void> {
  const end = performance.now() + limit;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`not within ${limit} ms: ${words}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
