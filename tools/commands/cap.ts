import { readFileSync } from "node:fs";
import process from "node:process";
import { parseArgs } from "node:util";
import { post, publish, save } from "../operator/deliver.js";
import { toTextField, type SigningKey } from "../operator/encode.js";
import { heartbeat } from "../operator/heartbeat.js";
import { publicEntry, readKey, readState, stateFileFor, withState, type AudienceState } from "../operator/files.js";
import { eventText, inspect, readToken, type PublicKey } from "../operator/inspect.js";
import { checkAudience, duration, EXP_MAX_S, newEvent, Refused, reissue, remarks, type Issued } from "../operator/issue.js";
import { formatDuration, formatTime, isZone } from "../operator/time.js";

const HELP = `The grid operator's caps. Each verb but list and inspect makes one signed token that carries
the whole state of its audience, and sends it.

vangnet cap issue --aud AUD --for 2h [--import W] [--export W] [--start 18:00] --key FILE WAY
    --aud          ean:<18 digits>, msr:<transformer>, or all
    --import W     limit of net import in watts (4200 or 4.2kW); 0 lets nothing through
    --export W     limit of net export in watts
    --for T        its length: 90s, 15m, 2h, 1h30m, 3d (at most 35d)
    --start T      now (default), +10m, 18:00, 2026-01-15T18:00 (local time), or with Z or +01:00
    --release T    time over which the limit is given back after the end (default: min(3h, 1.5 x length))
    --emergency    may spend the heat pump's reserve of blocks
    --controllable limits the controllable devices together, not the net power at the meter
vangnet cap cancel ID --key FILE WAY      ends an event; the house releases slowly
vangnet cap refresh [--aud AUD] --key FILE WAY   says the same again with a later exp: the heartbeat
    --every 5m     and again every 5 minutes until it is stopped (ctrl-c); at once anew where the
                   broker or the house was away
vangnet cap list [--key FILE]             the events of each audience, as they were made here
vangnet cap inspect FILE|HEX|VN1:… [--key FILE]  every field, and with a key whether it signed it

WAY, one or more of:
    --mqtt URL     mqtt://host:port or mqtts://user:password@host:port [--ca FILE]
    --http URL     http://host:port of a controller
    --out FILE     the token's bytes, for a technician
    --p1           prints the hex for the smart meter's text field (0-0:96.13.0)
Also: --exp 15m (the promise to speak again; default 15m, 7d with --p1 or --out alone, at most 35d),
    --state FILE (default: vangnet-operator-state.json beside the key), --tz Europe/Amsterdam, --json
Exit code: 0 done, 1 not delivered or not valid, 2 refused.
`;

const OPTIONS = {
  aud: { type: "string" }, import: { type: "string" }, export: { type: "string" }, for: { type: "string" }, start: { type: "string" },
  release: { type: "string" }, emergency: { type: "boolean", default: false }, controllable: { type: "boolean", default: false },
  key: { type: "string" }, state: { type: "string" }, exp: { type: "string" }, tz: { type: "string" }, json: { type: "boolean", default: false },
  every: { type: "string" }, mqtt: { type: "string" }, ca: { type: "string" }, http: { type: "string" }, out: { type: "string" }, p1: { type: "boolean", default: false },
  help: { type: "boolean", short: "h", default: false },
} as const;

function parse(args: string[]) {
  // "--import -100" is refused for what it is, and not for looking like another option.
  const joined: string[] = [];
  for (let i = 0; i < args.length; i++) {
    const isNegative = (args[i] === "--import" || args[i] === "--export") && /^-\d/.test(args[i + 1] ?? "");
    joined.push(isNegative ? `${args[i]}=${args[++i]}` : args[i]!);
  }
  try {
    return parseArgs({ args: joined, options: OPTIONS, allowPositionals: true });
  } catch (error) {
    throw new Refused(error instanceof Error ? error.message : String(error));
  }
}
type Options = ReturnType<typeof parse>["values"];

export async function run(args: string[]): Promise<number> {
  const [verb, ...rest] = args;
  try {
    const { values, positionals } = parse(rest);
    if (verb === undefined || verb === "help" || verb === "--help" || verb === "-h" || values.help) {
      (verb === undefined ? process.stderr : process.stdout).write(HELP);
      return verb === undefined ? 2 : 0;
    }
    if (!isZone(zoneOf(values))) throw new Refused(`--tz ${values.tz}: not a time zone`);
    if (values.every !== undefined && verb !== "refresh") throw new Refused("--every goes with refresh alone");
    switch (verb) {
      case "issue": return await issue(values);
      case "cancel": return await cancel(values, positionals[0]);
      case "refresh": return await (values.every === undefined ? refresh(values) : refreshEvery(values, values.every));
      case "list": return list(values);
      case "inspect": return await inspectVerb(values, positionals[0]);
      default: throw new Refused(`no verb "${verb}"; there are issue, list, cancel, refresh and inspect`);
    }
  } catch (error) {
    process.stderr.write(`vangnet cap: ${error instanceof Error ? error.message : String(error)}\n`);
    return error instanceof Refused ? 2 : 1;
  }
}

const zoneOf = (values: Options) => values.tz ?? "Europe/Amsterdam";
const nowSeconds = () => Math.floor(Date.now() / 1000);

async function issue(values: Options): Promise<number> {
  const aud = checkAudience(values.aud), key = keyOf(values), now = nowSeconds(), life = lifeOf(values);
  const event = newEvent(values as Parameters<typeof newEvent>[0], now, zoneOf(values));
  checkWays(values, 1);
  const issued = await withState(stateOf(values), (state) => reissue(state, aud, key, now, life, (events) => [...events, event]));
  return deliver([issued], values, key, now, event.id);
}

async function cancel(values: Options, id: string | undefined): Promise<number> {
  if (id === undefined) throw new Refused("say which: vangnet cap cancel ID (vangnet cap list names them)");
  const key = keyOf(values), now = nowSeconds(), life = lifeOf(values);
  checkWays(values, 1);
  const issued = await withState(stateOf(values), (state) => {
    const holder = state.audiences.find((entry) => entry.kid === key.kid && entry.events.some((event) => event.id === id.toLowerCase())
      && (values.aud === undefined || values.aud === entry.aud));
    if (!holder) throw new Refused(`no event ${id} of key ${key.kid}; vangnet cap list names them`);
    return reissue(state, holder.aud, key, now, life, (events) => events.filter((event) => event.id !== id.toLowerCase()));
  });
  return deliver([issued], values, key, now, id.toLowerCase());
}

async function refresh(values: Options): Promise<number> {
  const key = keyOf(values), now = nowSeconds(), life = lifeOf(values);
  const only = values.aud === undefined ? null : checkAudience(values.aud);
  const issued = await withState(stateOf(values), (state) => {
    const known = state.audiences.filter((entry) => entry.kid === key.kid && (only === null || entry.aud === only)).map((entry) => entry.aud);
    // An audience that was never spoken to: an empty list says "no cap, and I am here".
    const audiences = known.length === 0 && only !== null ? [only] : known;
    if (audiences.length === 0) throw new Refused(`key ${key.kid} has spoken to nobody yet: give --aud to say "no cap" to one`);
    checkWays(values, audiences.length);
    return audiences.map((aud) => reissue(state, aud, key, now, life, (events) => events));
  });
  return deliver(issued, values, key, now, null);
}

async function refreshEvery(values: Options, text: string): Promise<number> {
  const every = duration(text, "--every", EXP_MAX_S), life = lifeOf(values);
  if (2 * every > life) {
    throw new Refused(`--every ${text}: one word that goes missing must not lose the link, which lasts ${formatDuration(life)}: give at most half of --exp`);
  }
  return heartbeat(every * 1_000, async () => {
    try {
      return await refresh(values) === 0;
    } catch (error) {
      if (error instanceof Refused) throw error;
      process.stderr.write(`vangnet cap: ${reason(error)}\n`);
      return false;
    }
  }, (words) => process.stderr.write(`vangnet cap: ${words}\n`));
}

function list(values: Options): number {
  const now = nowSeconds(), zone = zoneOf(values);
  const kid = values.key === undefined ? null : readKey(values.key).kid;
  const audiences = readState(stateOf(values)).audiences.filter((entry) => kid === null || entry.kid === kid);
  if (values.json) {
    process.stdout.write(`${JSON.stringify(audiences)}\n`);
    return 0;
  }
  if (audiences.length === 0) process.stdout.write("no audience has been spoken to\n");
  for (const entry of audiences) process.stdout.write(describe(entry, now, zone));
  return 0;
}

async function inspectVerb(values: Options, text: string | undefined): Promise<number> {
  if (text === undefined) throw new Refused("say what: vangnet cap inspect FILE|HEX|VN1:…");
  const read = readToken(text);
  const result = read.ok ? await inspect(read.bytes, values.key === undefined ? [] : [publicKeyOf(values.key)]) : { ...read, generic: undefined };
  if (!result.ok) {
    process.stdout.write(values.json ? `${JSON.stringify({ ok: false, rule: result.rule, detail: result.detail })}\n` : `refused, rule "${result.rule}": ${result.detail}\n`);
    return 1;
  }
  const { token: { message, ...claims }, signature } = result;
  const isBad = signature === "invalid" || signature === "out of range";
  if (values.json) process.stdout.write(`${JSON.stringify({ ok: !isBad, signature, algorithm: "ES256", ...claims })}\n`);
  else {
    process.stdout.write(`signature  ${signature ?? (values.key === undefined ? "not checked (give --key)" : "not checked: another key's")}\n`
      + `r || s     ${Buffer.from(message.signature).toString("hex")}\n${describe(claims, nowSeconds(), zoneOf(values))}`);
  }
  return isBad ? 1 : 0;
}

function describe(entry: AudienceState, now: number, zone: string): string {
  const left = entry.exp - now;
  const lines = [
    `${entry.aud}  key ${entry.kid}  seq ${entry.seq}  made ${formatTime(entry.iat, zone)}  `
      + `speaks again by ${formatTime(entry.exp, zone)} (${left > 0 ? `${formatDuration(left)} left` : `${formatDuration(-left)} ago`})`,
  ];
  for (const event of entry.events) {
    const end = event.start + event.duration;
    const phase = now >= end ? "over" : now >= event.start ? "in force" : `in ${formatDuration(event.start - now)}`;
    lines.push(`  ${event.id}  ${formatTime(event.start, zone)} for ${formatDuration(event.duration)}  ${eventText(event)}`
      + `${event.release === null ? "" : `; release ${formatDuration(event.release)}`}  [${phase}]`);
  }
  if (entry.events.length === 0) lines.push("  no cap");
  return `${lines.join("\n")}\n`;
}

async function deliver(all: readonly Issued[], values: Options, key: SigningKey, now: number, id: string | null): Promise<number> {
  const ways: string[] = [], failures: string[] = [];
  const text = all.length === 1 && values.p1 ? toTextField(all[0]!.token) : null;
  for (const { state, token } of all) {
    if (values.out !== undefined) ways.push(save(values.out, token));
    for (const way of [
      values.mqtt === undefined ? null : () => publish(values.mqtt!, state, token, now, values.ca),
      values.http === undefined ? null : () => post(values.http!, token),
    ]) {
      if (way === null) continue;
      try {
        ways.push(await way());
      } catch (error) {
        failures.push(reason(error));
      }
    }
  }
  const notes = [...new Set(all.flatMap((issued) => remarks(issued, key, now)))];
  if (values.json) {
    const tokens = all.map(({ state, token }) => ({ ...state, token: Buffer.from(token).toString("hex") }));
    process.stdout.write(`${JSON.stringify({ id, tokens, delivered: ways, failed: failures, remarks: notes, ...(text ? { p1: text } : {}) })}\n`);
  } else {
    // The hex stands alone on stdout, to be piped on; what is for people then goes to stderr.
    const people = text ? process.stderr : process.stdout;
    if (text) process.stdout.write(`${text.hex}\n`);
    for (const { state, token } of all) people.write(`${describe(state, now, zoneOf(values))}  token of ${token.length} bytes\n`);
    for (const line of ways) people.write(`${line}\n`);
    for (const note of notes) process.stderr.write(`note: ${note}\n`);
  }
  for (const failure of failures) process.stderr.write(`vangnet cap: not delivered: ${failure}\nThe state is kept: \`vangnet cap refresh\` sends it again.\n`);
  return failures.length > 0 ? 1 : 0;
}

function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause instanceof Error ? error.cause : error;
  const first = cause instanceof AggregateError ? (cause.errors[0] as unknown) : cause;
  return first instanceof Error && first.message !== "" ? first.message : error.message || error.name;
}

function keyOf(values: Options): SigningKey {
  if (values.key === undefined) throw new Refused("--key FILE is missing (vangnet keys new makes one)");
  try {
    return readKey(values.key);
  } catch (error) {
    throw new Refused(error instanceof Error ? error.message : String(error));
  }
}

function stateOf(values: Options): string {
  if (values.state !== undefined) return values.state;
  return stateFileFor(values.key ?? "./operator.key.json");
}

function lifeOf(values: Options): number {
  if (values.exp !== undefined) return duration(values.exp, "--exp", EXP_MAX_S);
  const isSlow = values.mqtt === undefined && values.http === undefined && (values.p1 || values.out !== undefined);
  return isSlow ? 7 * 86_400 : 15 * 60;
}

function checkWays(values: Options, audiences: number): void {
  if (values.mqtt === undefined && values.http === undefined && values.out === undefined && !values.p1) {
    throw new Refused("say how it gets there: --mqtt URL, --http URL, --out FILE or --p1");
  }
  if (audiences > 1 && (values.out !== undefined || values.p1)) throw new Refused(`${audiences} audiences and one place to put a token: give --aud`);
}

/** A signing key's file, or an entry of site.json in a file of its own. */
function publicKeyOf(file: string): PublicKey {
  const json = JSON.parse(readFileSync(file, "utf8")) as Record<string, unknown>;
  if (typeof json["d"] === "string") return publicEntry(readKey(file));
  const { kid, x, y } = json;
  if (typeof kid !== "string" || typeof x !== "string" || typeof y !== "string") throw new Refused(`${file}: neither a signing key nor a public entry {kid, x, y}`);
  return { kid, x, y };
}
