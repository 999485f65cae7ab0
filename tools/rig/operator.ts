/** The grid operator of a world: its words at their time, its heartbeat, and its silences. */
import { topicOf } from "../operator/deliver.js";
import { encodeToken, toTextField, type OperatorEvent } from "../operator/encode.js";
import type { OperatorState } from "../operator/files.js";
import { reissue } from "../operator/issue.js";
import { EAN, EPOCH, rigKey, type Plan } from "./plan.js";

export const LINK_LIFE_S = 900;
const HEARTBEAT_S = 300;
const AUD = `ean:${EAN}`;

/** One token as it left the operator: what the judge knows of it. */
export interface Word {
  /** Seconds since the world began. */
  readonly at: number;
  /** Not before this may the house know it. */
  readonly via: "mqtt" | "p1";
  /** Seconds since the world began. */
  readonly exp: number;
  readonly events: readonly OperatorEvent[];
}

export interface OperatorWorld {
  /** Seconds since the world began. */
  now(): number;
  publish(topic: string, bytes: Uint8Array, expiry: number): void;
  spoke(word: Word): void;
}

export class Operator {
  /** What stands in the meter's text field. */
  text = "";
  mute = false;
  /** Seconds each word takes to reach the broker. */
  lateS = 0;
  /** Tokens that were published, newest last, for those who replay them. */
  readonly said: Uint8Array[] = [];
  readonly #plan: Plan;
  readonly #world: OperatorWorld;
  readonly #state: OperatorState = { audiences: [] };
  #late: { at: number; token: Uint8Array; word: Word }[] = [];
  #forged = 0;

  constructor(plan: Plan, world: OperatorWorld) {
    this.#plan = plan;
    this.#world = world;
  }

  second(second: number): void {
    if (second % HEARTBEAT_S === 0) this.#say((events) => events, "mqtt");
    for (const deed of this.#plan.deeds) {
      if (deed.at !== second) continue;
      if (deed.kind === "cancel") this.#say((events) => events.filter(({ id }) => id !== deed.id), "mqtt");
      if (deed.kind !== "cap") continue;
      const event: OperatorEvent = {
        id: deed.id, start: EPOCH + deed.start, duration: deed.for, importLimit: deed.watts, exportLimit: deed.exportWatts,
        emergency: deed.emergency, controllable: false, release: null,
      };
      this.#say((events) => [...events.slice(-3), event], deed.via);
    }
    const due = this.#late.filter(({ at }) => at <= second);
    if (due.length === 0) return;
    this.#late = this.#late.filter(({ at }) => at > second);
    for (const { token, word } of due) this.#send(token, word);
  }

  #say(change: (events: OperatorEvent[]) => OperatorEvent[], via: "mqtt" | "p1"): void {
    if (this.mute) return;
    const now = this.#world.now();
    const { token, state } = reissue(this.#state, AUD, rigKey("operator"), EPOCH + Math.floor(now), LINK_LIFE_S, change);
    const word: Word = { at: now + this.lateS, via, exp: state.exp - EPOCH, events: state.events };
    if (this.lateS > 0) this.#late.push({ at: now + this.lateS, token, word });
    else this.#send(token, word);
  }

  #send(token: Uint8Array, word: Word): void {
    this.said.push(token);
    if (this.said.length > 40) this.said.shift();
    this.#world.spoke(word);
    if (word.via === "p1") this.text = toTextField(token).text;
    else this.#world.publish(topicOf(AUD), token, LINK_LIFE_S);
  }

  /** An old token again: retained, so that it stands before the newest one. */
  replay(n: number): void {
    const token = this.said[n % Math.max(1, this.said.length)];
    if (token) this.#world.publish(topicOf(AUD), token, LINK_LIFE_S);
  }

  /** A stranger who sets the house free: his own key, the operator's name, bytes changed. */
  forge(n: number): void {
    const now = EPOCH + Math.floor(this.#world.now());
    const stranger = rigKey("stranger"), operator = rigKey("operator");
    const claims = { aud: AUD, seq: now + 1_000_000 + this.#forged++, iat: now, exp: now + 86_400, events: [] };
    let token: Uint8Array;
    if (n % 3 === 0) token = encodeToken(claims, stranger);
    else if (n % 3 === 1) token = encodeToken(claims, { ...stranger, kid: operator.kid });
    else {
      token = (this.said.at(-1) ?? encodeToken(claims, stranger)).slice();
      token[(n * 7919) % token.length]! ^= 1 << (n % 8);
    }
    this.#world.publish(topicOf(AUD), token, 60);
  }
}
