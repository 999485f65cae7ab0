/**
 * The evidence log as it goes out over HTTP: record by record, so that two years of it need no more
 * memory than one. JSON as `vangnet evidence export` writes it (without its check, which takes the
 * whole log); CSV with the data of each record as one JSON cell.
 */
import type { ByteSource } from "./http_connection.js";
import { hex, type EvidenceRecord } from "./evidence_log.js";
import { isoTime } from "./recording.js";

export function evidenceStream(records: Iterator<EvidenceRecord, void>, format: "json" | "csv"): ByteSource {
  const encoder = new TextEncoder();
  let count = 0;
  let ended = false;
  const text = (): string | null => {
    if (ended) return null;
    const step = records.next();
    const first = count++ === 0;
    if (step.done === true) {
      ended = true;
      if (format === "json") return first ? `${JSON_HEAD}\n]}\n` : "\n]}\n";
      return first ? CSV_HEAD : null;
    }
    if (format === "json") return `${first ? JSON_HEAD : ","}\n${asJson(step.value)}`;
    return `${first ? CSV_HEAD : ""}${asCsv(step.value)}`;
  };
  return {
    length: null,
    next: () => { const piece = text(); return piece === null ? null : encoder.encode(piece); },
    close: () => { ended = true; records.return?.(); },
  };
}

const JSON_HEAD = '{"vangnet":"evidence","version":1,"records":[';
const CSV_HEAD = "n,utc,up_ms,type,data,hash\r\n";

const iso = (t: number | null): string => (t === null ? "" : isoTime(t));

function asJson({ n, t, up, type, data, hash }: EvidenceRecord): string {
  const time = t === null ? `"t":null,"utc":null` : `"t":${t},"utc":"${isoTime(t)}"`;
  return `{"n":${n},${time},"up":${up},"type":${JSON.stringify(type)},"data":${isJson(data) ? data : JSON.stringify(data)},"hash":"${hex(hash)}"}`;
}

/** `data` was written as JSON; only a damaged log holds anything else, which then goes out as text. */
function isJson(data: string): boolean {
  try {
    JSON.parse(data);
    return true;
  } catch {
    return false;
  }
}

function asCsv({ n, t, up, type, data, hash }: EvidenceRecord): string {
  // Data begins with { and type with a letter: no cell that a spreadsheet would take for a formula.
  const safe = data.startsWith("{") ? data : `'${data}`;
  return `${n},${iso(t)},${up},${type},"${safe.split('"').join('""')}",${hex(hash)}\r\n`;
}
