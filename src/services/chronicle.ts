/**
 * What the controller tells of itself: the evidence log, the events of the status page, and the
 * operator's broker. The links of the chain (CAPS, "Proof"): received → in force → commanded →
 * measured → released.
 */
import type { Decision } from "../allocation/decision.js";
import type { ComplianceEvent } from "../compliance.js";
import { STATUS_PUBLISH_MS } from "../constants.js";
import type { Outputs } from "../controller.js";
import type { LimitsEvent } from "../limits/limits.js";
import { describeLimitsEvent, describeWatts } from "../limits/words.js";
import type { Site } from "../site.js";
import type { AcceptedToken, CapChannel } from "../token/cap.js";
import type { EpochSeconds, Millis } from "../units.js";
import type { Evidence, EvidenceData } from "./evidence.js";
import type { KeySetOutcome } from "./key_ring.js";
import type { OperatorLink } from "./operator_link.js";
import { STATUS_EVENTS_MAX, type StatusEvent } from "./status.js";
import { toJson } from "./json.js";

const HEAD_PUBLISH_MS = 60_000;
const CHANNELS: Readonly<Record<CapChannel, string>> = { mqtt: "MQTT", p1: "the meter's text field", http: "HTTP", file: "a file", store: "the store" };

export class Chronicle {
  /** Set when the broker's link is open. */
  link: OperatorLink | null = null;
  /** The newest last, STATUS_EVENTS_MAX at most. */
  readonly events: StatusEvent[] = [];
  readonly #evidence: Evidence;
  readonly #utc: () => EpochSeconds | null;
  readonly #decided: (Decision | null)[];
  /** What each key last said to each audience; as many as the inbox holds. */
  readonly #said: { readonly key: string; said: string }[] = [];
  #publishedAt = -STATUS_PUBLISH_MS;
  #headAt = -HEAD_PUBLISH_MS;

  constructor(evidence: Evidence, site: Site, utc: () => EpochSeconds | null) {
    this.#evidence = evidence;
    this.#utc = utc;
    this.#decided = site.devices.map(() => null);
  }

  record(type: string, data: EvidenceData, words?: string): void {
    const time = this.#utc();
    this.#evidence.append(type, data);
    this.events.push({ time, type, words: words ?? `${type}: ${Object.values(data).join(" ")}` });
    if (this.events.length > STATUS_EVENTS_MAX) this.events.shift();
    this.link?.publishEvent(toJson({ time, type, ...data }));
  }

  /**
   * A heartbeat says the same again, every few minutes for years: the log keeps what changed, and
   * the counter of accepted tokens the rest.
   */
  accepted(token: AcceptedToken): void {
    const key = `${token.kid} ${token.aud}`;
    const said = toJson(token.events);
    const known = this.#said.find((one) => one.key === key);
    if (known?.said === said) return;
    if (known) known.said = said;
    else this.#said.push({ key, said });
    const { channel, hash, kid, aud, seq, exp, events } = token;
    this.record("accepted", { channel, hash, kid, aud, seq, exp, events: events.length },
      `word from the operator by ${CHANNELS[channel]}: ${events.length === 0 ? "no cap" : events.length === 1 ? "one cap" : `${events.length} caps`} (sequence ${seq})`);
  }

  /** A set of keys that was offered; `hasOperator` as it is after it. */
  keySet(outcome: KeySetOutcome, channel: CapChannel, hash: string, hasOperator: boolean): void {
    const by = CHANNELS[channel];
    if (!outcome.ok) this.record("keys_refused", { rule: outcome.rule, detail: outcome.detail, channel, hash }, `set of keys by ${by} refused (${outcome.rule}): ${outcome.detail}`);
    else if (!outcome.repeat) {
      this.record("keys_accepted", { version: outcome.version, channel, hash, operator: hasOperator },
        `set of keys ${outcome.version} taken over by ${by}${hasOperator ? "" : ": no operator's key in it"}`);
    }
  }

  /** What one tick changed. */
  report(outputs: Outputs): void {
    for (const event of outputs.events) {
      // Received and accepted is told above; here only what it changed.
      if (event.kind === "token" && event.effect === "replaces") continue;
      const { kind, ...data } = event;
      this.record(kind, data as EvidenceData, isMeasured(event) ? describeMeasured(event) : describeLimitsEvent(event));
    }
    const { decisions } = outputs;
    for (let i = 0; i < decisions.length; i++) {
      const decision = decisions[i]!;
      if (decision === this.#decided[i]) continue;
      if (isTurn(this.#decided[i] ?? null, decision)) {
        const { device, setpoint, asked, reason, limit } = decision;
        this.#evidence.append("commanded", { device, kind: setpoint.kind, value: setpoint.value, asked, reason, limit });
      }
      this.#decided[i] = decision;
    }
  }

  /** To the operator: the status now and then and with each event, the head of the chain once a minute. */
  publish(isNews: boolean, status: () => string, now: Millis): void {
    if (this.link === null) return;
    if (isNews || now - this.#publishedAt >= STATUS_PUBLISH_MS) {
      this.#publishedAt = now;
      this.link.publishStatus(status());
    }
    const head = now - this.#headAt >= HEAD_PUBLISH_MS ? this.#evidence.head() : null;
    if (head === null) return;
    this.#headAt = now;
    this.link.publishHead(toJson(head));
  }
}

function isMeasured(event: LimitsEvent | ComplianceEvent): event is ComplianceEvent {
  return event.kind === "measured" || event.kind === "quarter" || event.kind === "under_limit";
}

function describeMeasured(event: ComplianceEvent): string {
  switch (event.kind) {
    case "under_limit": return `measured: under ${describeWatts(event.watts)} after ${event.after_s} s`;
    case "quarter": return `measured: quarter-hour mean ${describeWatts(event.mean_W)}${event.limit_W === null ? "" : ` with ${describeWatts(event.limit_W)} allowed`}`;
    case "measured": {
      const peak = event.max_W === null ? "" : `, highest ${describeWatts(event.max_W)}`;
      return `measured over ${event.seconds} s at ${describeWatts(event.watts)}: ${event.above_s} s above, ${event.above_uncontrolled_s} s of them by load that nobody controls${peak}`;
    }
  }
}

/** On, off, another state, another reason or limit: not each step of a ramp. */
function isTurn(before: Decision | null, after: Decision): boolean {
  return before === null || before.reason !== after.reason || before.limit !== after.limit
    || (before.setpoint.value === 0) !== (after.setpoint.value === 0)
    || (after.setpoint.kind === "sg_ready" && before.setpoint.value !== after.setpoint.value);
}
