/** mqtt-packet uncorks a stream on the next tick; ours (services/mqtt_packet.ts) has no cork. */
export function nextTick(task: (...values: unknown[]) => void, ...values: unknown[]): void { task(...values); }
