/** The status as a terminal shows it, redrawn in place, or as one line where there is no terminal. */
import type { Status } from "../src/services/status.js";

const kilowatts = (watts: number | null): string => (watts === null ? "    ?  " : `${(watts / 1000).toFixed(2).padStart(6)} kW`);
const bold = (text: string): string => `\x1b[1m${text}\x1b[0m`;
const dim = (text: string): string => `\x1b[2m${text}\x1b[0m`;
const colour = (text: string, code: number): string => `\x1b[${code}m${text}\x1b[0m`;

export interface Heading { readonly title: string; readonly lines: readonly string[] }

export function screen(status: Status, heading: Heading, width: number): string {
  // The heading is there to be copied: the terminal may wrap it, nothing is cut off.
  const top = [bold(heading.title), ...heading.lines.map(dim)];
  const lines: string[] = [""];
  const { reading, limits, link } = status;
  const time = status.clock.time === null ? "clock not trusted yet" : clock(status.clock.time);
  lines.push(`${time}   ${bold("net")} ${reading.freshness === "fresh" ? kilowatts(reading.net) : colour(kilowatts(reading.net), 31)}   meter ${reading.freshness}   link ${link.mqtt === null ? "none" : link.mqtt.state}`);
  reading.phases.forEach((phase, i) => {
    lines.push(`  L${i + 1} ${kilowatts(phase.power)}  ${phase.current === null ? "   ?  " : `${(phase.current / 1000).toFixed(1).padStart(5)} A`}  ${phase.voltage === null ? "  ?    " : `${(phase.voltage / 1000).toFixed(1)} V`}  ${bar(phase.power)}`);
  });
  lines.push("");
  const words = limits.import === null ? "no limit" : limits.import.words;
  lines.push(`${bold("limit")} ${limits.import !== null && ["cap", "contact", "failsafe", "start", "voltage"].includes(limits.import.source) ? colour(words, 33) : words}  ${dim(`(${limits.state})`)}`);
  if (limits.controllable !== null) lines.push(`      controllable devices: ${limits.controllable.words}`);
  if (limits.next !== null) lines.push(dim(`      next: ${limits.next.importLimit ?? "no"} W from ${clock(limits.next.start)}`));
  lines.push("");
  for (const device of status.devices) {
    const measured = device.measured.power === null ? "" : dim(`  now ${kilowatts(device.measured.power).trim()}`);
    lines.push(`  ${device.online ? "●" : colour("○", 31)} ${device.words}${measured}${device.fault === null ? "" : colour(`  ${device.fault}`, 31)}`);
  }
  lines.push("");
  for (const event of status.events.slice(-6)) lines.push(dim(`  ${event.time === null ? "" : clock(event.time)} ${event.words}`));
  return [...top, ...lines.map((line) => cut(line, width))].join("\n");
}

const clock = (epoch: number): string => new Date(epoch * 1000).toLocaleTimeString("nl-NL", { timeZone: "Europe/Amsterdam" });

function bar(watts: number | null): string {
  if (watts === null) return "";
  const length = Math.min(30, Math.round(Math.abs(watts) / 200));
  return colour((watts < 0 ? "◂" : "▪").repeat(length), watts < 0 ? 32 : 36);
}

/** Counts what is seen, not the colour codes. */
function cut(line: string, width: number): string {
  let seen = 0;
  for (let i = 0; i < line.length; i++) {
    if (line[i] === "\x1b") {
      i = line.indexOf("m", i);
      continue;
    }
    if (++seen > width) return `${line.slice(0, i)}\x1b[0m`;
  }
  return line;
}
