/** Times as people at a grid operator write them. All results are whole seconds. */

const UNITS: Record<string, number> = { s: 1, m: 60, h: 3600, d: 86_400 };

/** "90s", "15m", "2h", "1h30m", "35d" → seconds; null where it is none of these. */
export function parseDuration(text: string): number | null {
  if (!/^(\d{1,6}[smhd])+$/.test(text)) return null;
  let seconds = 0;
  for (const [, count, unit] of text.matchAll(/(\d+)([smhd])/g)) seconds += Number(count) * UNITS[unit!]!;
  return seconds;
}

export function formatDuration(seconds: number): string {
  let rest = seconds, text = "";
  for (const unit of ["d", "h", "m", "s"]) {
    const count = Math.floor(rest / UNITS[unit]!);
    rest -= count * UNITS[unit]!;
    if (count > 0) text += `${count}${unit}`;
  }
  return text || "0s";
}

/**
 * "now", "+10m", "18:00" (the next time it is that late), "2026-01-15T18:00" or the same with Z or
 * an offset. Without an offset the time is local in `zone`. Null where it is none of these.
 */
export function parseStart(text: string, now: number, zone: string): number | null {
  if (text === "now") return now;
  if (text.startsWith("+")) {
    const delay = parseDuration(text.slice(1));
    return delay === null ? null : now + delay;
  }
  const clock = /^(\d{1,2}):(\d{2})$/.exec(text);
  if (clock) {
    const hour = Number(clock[1]), minute = Number(clock[2]);
    if (hour > 23 || minute > 59) return null;
    const today = localParts(now, zone);
    for (let day = 0; day <= 2; day++) {
      const at = fromLocal(Date.UTC(today.year, today.month - 1, today.day + day, hour, minute) / 1000, zone);
      if (at >= now) return at;
    }
    return null;
  }
  const date = /^(\d{4})-(\d{2})-(\d{2})[T ](\d{2}):(\d{2})(?::(\d{2}))?(Z|[+-]\d{2}:\d{2})?$/.exec(text);
  if (!date) return null;
  const [year, month, day, hour, minute, second] = date.slice(1, 7).map((part) => Number(part ?? 0)) as [number, number, number, number, number, number];
  const written = Date.UTC(year, month - 1, day, hour, minute, second);
  // 30 February rolls over to March: then what was written is no date.
  const back = new Date(written);
  if (back.getUTCMonth() !== month - 1 || back.getUTCDate() !== day || back.getUTCHours() !== hour || back.getUTCMinutes() !== minute) return null;
  const offset = date[7];
  if (offset === undefined) return fromLocal(written / 1000, zone);
  if (offset === "Z") return written / 1000;
  const shift = (Number(offset.slice(1, 3)) * 60 + Number(offset.slice(4, 6))) * 60;
  return written / 1000 - (offset.startsWith("-") ? -shift : shift);
}

export function formatTime(seconds: number, zone: string): string {
  const { year, month, day, hour, minute, second } = localParts(seconds, zone);
  const two = (value: number) => String(value).padStart(2, "0");
  return `${year}-${two(month)}-${two(day)} ${two(hour)}:${two(minute)}${second === 0 ? "" : `:${two(second)}`}`;
}

export function isZone(zone: string): boolean {
  try {
    new Intl.DateTimeFormat("en", { timeZone: zone });
    return true;
  } catch {
    return false;
  }
}

interface Parts { year: number; month: number; day: number; hour: number; minute: number; second: number }

function localParts(seconds: number, zone: string): Parts {
  const format = new Intl.DateTimeFormat("en-GB", {
    timeZone: zone, hourCycle: "h23", year: "numeric", month: "numeric", day: "numeric", hour: "numeric", minute: "numeric", second: "numeric",
  });
  const parts: Parts = { year: 0, month: 0, day: 0, hour: 0, minute: 0, second: 0 };
  for (const { type, value } of format.formatToParts(seconds * 1000)) if (type in parts) parts[type as keyof Parts] = Number(value);
  return parts;
}

/** Local wall time, counted as if it were UTC, → UTC. In the hour that comes twice, the first; in the one that never comes, the hour after. */
function fromLocal(wall: number, zone: string): number {
  const wallOf = (at: number) => {
    const p = localParts(at, zone);
    return Date.UTC(p.year, p.month - 1, p.day, p.hour, p.minute, p.second) / 1000;
  };
  const offsets = [wallOf(wall - 86_400) - (wall - 86_400), wallOf(wall + 86_400) - (wall + 86_400)];
  for (const offset of offsets) if (wallOf(wall - offset) === wall) return wall - offset;
  return wall - offsets[0]!;
}
