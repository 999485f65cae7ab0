/** Writes telegrams of every P1 version from a plain state, with the right CRC. Shares no code with the reader but the CRC. */
import { Buffer } from "node:buffer";
import { crc16 } from "../../src/wire/crc16.js";

export type P1Version = "2.2" | "3.0" | "4.2" | "5.0" | "BE";
export const P1_VERSIONS: readonly P1Version[] = ["2.2", "3.0", "4.2", "5.0", "BE"];

/** How each version's line runs, and how often it speaks. */
export const P1_LINES: Record<P1Version, { baud: number; dataBits: 7 | 8; parity: "none" | "even"; periodMs: number }> = {
  "2.2": { baud: 9_600, dataBits: 7, parity: "even", periodMs: 10_000 },
  "3.0": { baud: 9_600, dataBits: 7, parity: "even", periodMs: 10_000 },
  "4.2": { baud: 115_200, dataBits: 8, parity: "none", periodMs: 10_000 },
  "5.0": { baud: 115_200, dataBits: 8, parity: "none", periodMs: 1_000 },
  BE: { baud: 115_200, dataBits: 8, parity: "none", periodMs: 1_000 },
};

export interface P1MeterState {
  /** UTC. */
  readonly time: number;
  /** Signed watts per phase; its length is the number of phases (1 or 3). */
  readonly power: readonly number[];
  /** mV per phase. */
  readonly voltage: readonly number[];
  /** mA per phase, unsigned; default |P| / V. */
  readonly current?: readonly number[];
  /** Wh per tariff: [low, normal] in the Netherlands, [high, low] in Belgium. */
  readonly imported: readonly [number, number];
  readonly exported: readonly [number, number];
  readonly tariff?: 1 | 2;
  /** Text of 0-0:96.13.0, "" for none. */
  readonly text?: string;
  readonly equipmentId?: string;
  /** W: 1-0:1.4.0 and 1-0:1.6.0 (BE). */
  readonly quarterAverage?: number;
  readonly monthPeak?: { readonly power: number; readonly time: number };
  /** Gas meter on channel 1: litres, and the time of its reading. */
  readonly gas?: { readonly litres: number; readonly time: number; readonly id?: string } | null;
}

const IDENTIFICATION: Record<P1Version, string> = {
  "2.2": "ISk5\\2VNG22-1001", "3.0": "ISk5\\2VNG30-1001", "4.2": "KFM5VANGNET-42", "5.0": "Ene5\\VANGNET-50", BE: "FLU5\\253700000_A",
};

/** The whole telegram, `/` to the line end after the CRC. */
export function writeTelegram(state: P1MeterState, version: P1Version): Uint8Array {
  return closeTelegram([`/${IDENTIFICATION[version]}`, "", ...linesOf(state, version)], version !== "2.2" && version !== "3.0");
}

/** Lines, without `!`, to a telegram with its CRC (or the bare `!` of DSMR 2.2 and 3.0). */
export function closeTelegram(lines: readonly string[], withCrc = true): Uint8Array {
  const body = Buffer.from(`${lines.join("\r\n")}\r\n!`, "latin1");
  const crc = withCrc ? crc16(body, 0, body.length, 0).toString(16).toUpperCase().padStart(4, "0") : "";
  return Buffer.concat([body, Buffer.from(`${crc}\r\n`, "latin1")]);
}

function linesOf(state: P1MeterState, version: P1Version): string[] {
  return version === "2.2" || version === "3.0" ? oldLines(state, version) : newLines(state, version);
}

function oldLines(state: P1MeterState, version: P1Version): string[] {
  const net = total(state.power);
  const kwh = (wh: number): string => fixed(wh, 5, 3);
  const kw = (watts: number): string => `${fixed(Math.round(watts / 10) * 10, version === "2.2" ? 4 : 3, 3).slice(0, -1)}*kW`;
  return [
    `0-0:96.1.1(${hex(state.equipmentId ?? "VANGNET000000001")})`,
    `1-0:1.8.1(${kwh(state.imported[0])}*kWh)`, `1-0:1.8.2(${kwh(state.imported[1])}*kWh)`,
    `1-0:2.8.1(${kwh(state.exported[0])}*kWh)`, `1-0:2.8.2(${kwh(state.exported[1])}*kWh)`,
    `0-0:96.14.0(000${state.tariff ?? 1})`,
    `1-0:1.7.0(${kw(Math.max(0, net))})`, `1-0:2.7.0(${kw(Math.max(0, -net))})`,
    version === "2.2" ? "0-0:17.0.0(0999.00*kW)" : "0-0:17.0.0(016*A)", "0-0:96.3.10(1)",
    "0-0:96.13.1()", `0-0:96.13.0(${hex(state.text ?? "")})`,
    ...(state.gas ? [
      `0-1:24.1.0(${version === "2.2" ? "3" : "03"})`, `0-1:96.1.0(${hex(state.gas.id ?? "VANGNETGAS000001")})`,
      `0-1:24.3.0(${localTime(state.gas.time).slice(0, 12)})(00)(60)(1)(0-1:24.2.1)(m3)`, `(${fixed(state.gas.litres, 5, 3)})`, "0-1:24.4.0(1)",
    ] : []),
  ];
}

function newLines(state: P1MeterState, version: P1Version): string[] {
  const belgian = version === "BE";
  const net = total(state.power);
  const kwh = (wh: number): string => `${fixed(wh, 6, 3)}*kWh`;
  const kw = (watts: number): string => `${fixed(watts, 2, 3)}*kW`;
  const phases = state.power.map((_, index) => index);
  const amperes = phases.map((phase) => state.current?.[phase] ?? Math.round((Math.abs(state.power[phase]!) * 1e6) / Math.max(1, state.voltage[phase]!)));
  const lines = [
    belgian ? "0-0:96.1.4(50217)" : `1-3:0.2.8(${version.replace(".", "")})`,
    `0-0:1.0.0(${localTime(state.time)})`,
    `0-0:96.1.1(${hex(state.equipmentId ?? "VANGNET000000001")})`,
    `1-0:1.8.1(${kwh(state.imported[0])})`, `1-0:1.8.2(${kwh(state.imported[1])})`,
    `1-0:2.8.1(${kwh(state.exported[0])})`, `1-0:2.8.2(${kwh(state.exported[1])})`,
    `0-0:96.14.0(000${state.tariff ?? 1})`,
  ];
  if (belgian) {
    lines.push(`1-0:1.4.0(${kw(state.quarterAverage ?? Math.max(0, net))})`);
    const peak = state.monthPeak ?? { power: 2_500, time: state.time - 86_400 };
    lines.push(`1-0:1.6.0(${localTime(peak.time)})(${kw(peak.power)})`);
  }
  lines.push(`1-0:1.7.0(${kw(Math.max(0, net))})`, `1-0:2.7.0(${kw(Math.max(0, -net))})`);
  if (!belgian) {
    lines.push("0-0:96.7.21(00004)", "0-0:96.7.9(00002)", "1-0:99.97.0(0)(0-0:96.7.19)");
    for (const event of ["32.0", "36.0"]) for (const phase of phases) lines.push(`1-0:${32 + 20 * phase}.${event}(00000)`);
    if (version === "4.2") lines.push("0-0:96.13.1()");
    lines.push(`0-0:96.13.0(${hex(state.text ?? "")})`);
  }
  if (version !== "4.2") for (const phase of phases) lines.push(`1-0:${32 + 20 * phase}.7.0(${fixed(Math.round(state.voltage[phase]! / 100), 3, 1)}*V)`);
  // The Netherlands: whole amperes, cut off. Belgium: 0.01 A.
  for (const phase of phases) lines.push(`1-0:${31 + 20 * phase}.7.0(${belgian ? fixed(Math.round(amperes[phase]! / 10), 3, 2) : fixed(Math.trunc(amperes[phase]! / 1000), 3, 0)}*A)`);
  for (const phase of phases) lines.push(`1-0:${21 + 20 * phase}.7.0(${kw(Math.max(0, state.power[phase]!))})`);
  for (const phase of phases) lines.push(`1-0:${22 + 20 * phase}.7.0(${kw(Math.max(0, -state.power[phase]!))})`);
  if (belgian) lines.push("0-0:96.3.10(1)", "0-0:17.0.0(999.9*kW)", "1-0:31.4.0(999*A)", `0-0:96.13.0(${hex(state.text ?? "")})`);
  if (state.gas) {
    lines.push("0-1:24.1.0(003)", `0-1:96.1.${belgian ? 1 : 0}(${hex(state.gas.id ?? "VANGNETGAS000001")})`);
    lines.push(`0-1:24.2.${belgian ? 3 : 1}(${localTime(state.gas.time)})(${fixed(state.gas.litres, 5, 3)}*m3)`);
  }
  return lines;
}

const total = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0);
const hex = (text: string): string => Buffer.from(text, "latin1").toString("hex").toUpperCase();

/** An integer of 10^-decimals units as `000.00`, with that many digits before the point. */
function fixed(value: number, digits: number, decimals: number): string {
  const text = Math.round(value).toString().padStart(digits + decimals, "0");
  return decimals === 0 ? text : `${text.slice(0, -decimals)}.${text.slice(-decimals)}`;
}

/** UTC seconds → YYMMDDhhmmssX in Amsterdam, by the host's own calendar: not the reader's arithmetic. */
export function localTime(epochSeconds: number): string {
  const hour = Math.floor(epochSeconds / 3600);
  if (hour !== known.hour) {
    known.hour = hour;
    known.text = calendar(hour * 3600);
  }
  // Amsterdam is whole hours away from UTC: within one of them only the last four digits run.
  const second = epochSeconds - hour * 3600;
  return `${known.text.slice(0, 8)}${two(Math.floor(second / 60))}${two(Math.floor(second) % 60)}${known.text.slice(12)}`;
}

const known = { hour: NaN, text: "" };
const two = (value: number): string => (value < 10 ? `0${value}` : `${value}`);

function calendar(epochSeconds: number): string {
  const parts = new Map(FORMAT.formatToParts(new Date(epochSeconds * 1000)).map(({ type, value }) => [type, value]));
  const text = ["year", "month", "day", "hour", "minute", "second"].map((type) => parts.get(type as Intl.DateTimeFormatPartTypes)!.padStart(2, "0")).join("");
  const local = Date.UTC(Number(text.slice(0, 2)) + 2000, Number(text.slice(2, 4)) - 1, Number(text.slice(4, 6)), Number(text.slice(6, 8)));
  const summer = local - Math.trunc(epochSeconds / 3600) * 3_600_000 === 7_200_000;
  return `${text}${summer ? "S" : "W"}`;
}

const FORMAT = new Intl.DateTimeFormat("en-GB", {
  timeZone: "Europe/Amsterdam", hourCycle: "h23", year: "2-digit", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit",
});
