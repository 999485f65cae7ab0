/**
 * The evidence log: what was received, verified, commanded and measured, in a hash chain that
 * survives power cuts (CAPS, "Proof"). `append` only puts the record into a bounded queue; a turn of
 * its own writes what has gathered, with one flush.
 *
 *   append → bucket of its type → queue → batch → segment → flush → head
 *
 *   starting ──scanned── ready ⇄ writing
 *                          └─ a write failed: kept, tried again each EVIDENCE_RETRY_MS
 *
 * After a start the last segment is looked through. A tail that is no record is a write cut short:
 * it is cut off, counted, and the record `restarted` says so. More than one write's worth is not:
 * it is left as it is, for `verify` to find, and the chain goes on in a new segment.
 */
import {
  EVIDENCE_BATCH_BYTES_MAX, EVIDENCE_RESTARTS_MAX, EVIDENCE_RETRY_MS, EVIDENCE_SCAN_RECORDS, EVIDENCE_SEGMENT_BYTES,
  EVIDENCE_SEGMENTS_MAX, EVIDENCE_SUMMARY_MS, EVIDENCE_TAIL_MAX,
} from "../constants.js";
import type { EpochSeconds, Millis } from "../units.js";
import type { File, Platform, TimerId } from "../../hal/ecma419.js";
import { type EvidenceData, EvidenceIntake, SUPPRESSED } from "./evidence_intake.js";
import {
  chain, encodeHead, type EvidenceRecord, HASH_BYTES, hex, isEvidenceType, put, readEvidence,
  RECORD_FRAME_BYTES, SEGMENT_HEAD_BYTES, segmentIndexes, segmentName, SegmentReader, type Verified, verifyEvidence,
} from "./evidence_log.js";
import { isFull } from "./store.js";

export type { EvidenceData, EvidenceValue } from "./evidence_intake.js";

export interface EvidenceOptions {
  platform: Pick<Platform, "files" | "sha256" | "timer" | "monotonic">;
  /** The controller's trusted clock; null where it has none. */
  utc: () => EpochSeconds | null;
  segmentsMax?: number;
  segmentBytes?: number;
}

export interface EvidenceCounters {
  written: number;
  /** Refused because their type had too many; a record `suppressed` names type and number. */
  suppressed: number;
  /** Refused because the queue was full: the medium is too slow, or fails. */
  dropped: number;
  writeFailures: number;
  readFailures: number;
  /** Bytes of writes cut short, cut off at starts. */
  tornBytes: number;
  segmentsDropped: number;
}

const TEMPORARY = "evtmp";

export class Evidence {
  readonly counters: EvidenceCounters = { written: 0, suppressed: 0, dropped: 0, writeFailures: 0, readFailures: 0, tornBytes: 0, segmentsDropped: 0 };
  /** Null when well. */
  fault: "evidence_write_failed" | null = null;
  #options: EvidenceOptions;
  #intake = new EvidenceIntake();
  #state: "starting" | "ready" | "closed" = "starting";
  #timer: TimerId | undefined;
  #summary: TimerId | undefined;
  #file: File | null = null;
  #index = 0;
  #offset = 0;
  #n = 0;
  #hash: Uint8Array = new Uint8Array(HASH_BYTES);
  /** The file may hold a part of a write that failed. */
  #ragged = false;

  constructor(options: EvidenceOptions) {
    this.#options = options;
    this.#later(0, () => this.#start());
  }

  /** The last record that is safely written; null before the first, and until the log was looked through. */
  head(): { n: number; hash: string } | null {
    return this.#state === "starting" || this.#n === 0 ? null : { n: this.#n, hash: hex(this.#hash) };
  }

  /** `type`: a–z, 0–9 and _. Never waits, never throws. False where the record was not taken, which is counted. */
  append(type: string, data: EvidenceData): boolean {
    if (this.#state === "closed" || !isEvidenceType(type)) return false;
    const { timer, monotonic } = this.#options.platform;
    const outcome = this.#intake.offer(type, data, this.#options.utc(), monotonic());
    if (outcome !== "taken") {
      this.counters[outcome]++;
      if (outcome === "suppressed") this.#summary ??= timer.set(() => this.#summarise(), EVIDENCE_SUMMARY_MS);
      return false;
    }
    if (this.#state === "ready" && this.#timer === undefined) this.#later(0, () => this.#write());
    return true;
  }

  /** Records from number `from` on, oldest first. */
  iterate(from = 1): Generator<EvidenceRecord, void, void> {
    return readEvidence(this.#options.platform.files, from);
  }

  /** The last records, oldest first. */
  tail(count: number): EvidenceRecord[] {
    const records: EvidenceRecord[] = [];
    if (this.#state === "starting") return records;
    const from = Math.max(1, this.#n - Math.min(count, EVIDENCE_TAIL_MAX) + 1);
    try {
      for (const record of this.iterate(from)) if (record.n <= this.#n) records.push(record);
    } catch {
      this.counters.readFailures++;
    }
    return records;
  }

  verify(known: { n: number; hash: Uint8Array } | null = null): Verified {
    return verifyEvidence(this.#options.platform.files, this.#options.platform.sha256, known);
  }

  /** Factory reset: the records are forgotten, and the chain begins anew. False where something stayed. */
  clear(): boolean {
    const { files } = this.#options.platform;
    this.#closeFile();
    this.#intake.clear();
    this.#n = 0;
    this.#index = 0;
    this.#offset = Infinity;
    this.#hash = new Uint8Array(HASH_BYTES);
    try {
      // The newest first: what a cut leaves is then still one chain.
      for (const index of segmentIndexes(files).reverse()) files.delete(segmentName(index));
      return true;
    } catch {
      this.counters.writeFailures++;
      return false;
    }
  }

  /** Writes what waits, where it can, and ends. */
  close(): void {
    if (this.#state === "closed") return;
    this.#options.platform.timer.clear(this.#timer);
    this.#options.platform.timer.clear(this.#summary);
    this.#timer = undefined;
    for (let before = -1; this.#state === "ready" && this.#intake.queue.length > 0 && before !== this.#intake.queue.length;) {
      before = this.#intake.queue.length;
      this.#write();
      this.#options.platform.timer.clear(this.#timer);
    }
    this.#state = "closed";
    this.#closeFile();
  }

  #summarise(): void {
    this.#summary = undefined;
    const records = this.#intake.suppressed();
    if (records.length === 0) return;
    if (this.append(SUPPRESSED, { records })) this.#intake.told();
    else this.#summary ??= this.#options.platform.timer.set(() => this.#summarise(), EVIDENCE_SUMMARY_MS);
  }

  // ---- Start ----

  #later(delayMs: Millis, task: () => void): void {
    this.#timer = this.#options.platform.timer.set(() => {
      this.#timer = undefined;
      task();
    }, delayMs);
  }

  /** Whatever the medium does, it is tried again: the records wait in their bounded queue. */
  #guarded(task: () => void, again: () => void): void {
    try {
      task();
      this.fault = null;
    } catch (error) {
      this.counters.writeFailures++;
      this.fault = "evidence_write_failed";
      this.#ragged = true;
      this.#closeFile();
      if (isFull(error)) this.#makeRoom();
      if (this.#state !== "closed") this.#later(EVIDENCE_RETRY_MS, again);
    }
  }

  #start(): void {
    const { files } = this.#options.platform;
    this.#guarded(() => {
      files.delete(TEMPORARY);
      const indexes = segmentIndexes(files);
      this.#index = indexes[indexes.length - 1] ?? 0;
      this.#look(indexes, indexes.length - 1);
    }, () => this.#start());
  }

  /** The last segment whose head is whole; those behind it are left for `verify` to find. */
  #look(indexes: number[], at: number): void {
    if (at < 0) {
      this.#begin(false, 0, "");
      return;
    }
    const reader = new SegmentReader(this.#options.platform.files.openFile({ path: segmentName(indexes[at]!), mode: "r+" }));
    if (reader.head === null) {
      reader.close();
      this.#look(indexes, at - 1);
      return;
    }
    this.#scan(reader, at === indexes.length - 1, 0);
  }

  #scan(reader: SegmentReader, last: boolean, restarts: number): void {
    this.#guarded(() => {
      const { sha256 } = this.#options.platform;
      for (let i = 0; i < EVIDENCE_SCAN_RECORDS; i++) {
        const step = reader.next(sha256);
        if (step.kind === "record") {
          restarts = step.record.type === "restarted" ? restarts + 1 : 0;
          continue;
        }
        reader.close();
        this.#n = reader.n;
        this.#hash = reader.hash;
        this.#offset = reader.offset;
        const torn = reader.size - reader.offset;
        const whole = last && torn <= EVIDENCE_BATCH_BYTES_MAX;
        this.#begin(whole, torn, torn > 0 && whole ? this.#cutOff(torn) : "", restarts);
        return;
      }
      this.#later(0, () => this.#scan(reader, last, restarts));
    }, () => {
      reader.close();
      this.#start();
    });
  }

  /** Cuts the torn tail off, and gives the hash of what it was. */
  #cutOff(torn: number): string {
    const file = this.#options.platform.files.openFile({ path: segmentName(this.#index), mode: "r+" });
    try {
      const digest = hex(this.#options.platform.sha256(new Uint8Array(file.read(torn, this.#offset))));
      file.setSize(this.#offset);
      file.flush();
      this.counters.tornBytes += torn;
      return digest;
    } finally {
      file.close();
    }
  }

  /** `whole`: the last segment may be gone on with. */
  #begin(whole: boolean, torn: number, digest: string, restarts = 0): void {
    if (!whole) this.#offset = Infinity;
    this.#state = "ready";
    if (restarts < EVIDENCE_RESTARTS_MAX || torn > 0) {
      const data: EvidenceData = torn === 0 ? {} : whole ? { torn, sha256: digest } : { unreadable: torn };
      this.#intake.offerFirst("restarted", data, this.#options.utc(), this.#options.platform.monotonic());
    }
    if (this.#intake.queue.length > 0) this.#later(0, () => this.#write());
  }

  // ---- Writing ----

  #write(): void {
    this.#guarded(() => {
      if (this.#intake.queue.length === 0) return;
      const first = (this.#intake.queue[0] as Uint8Array).length + RECORD_FRAME_BYTES;
      if (this.#offset + first > (this.#options.segmentBytes ?? EVIDENCE_SEGMENT_BYTES)) this.#roll();
      const file = this.#open();
      const batch = this.#batch();
      file.write(batch.bytes, this.#offset);
      file.flush();
      this.#offset += batch.bytes.length;
      this.#n += batch.count;
      this.#hash = batch.hash;
      this.counters.written += batch.count;
      this.#intake.done(batch.count);
      if (this.#intake.queue.length > 0) this.#later(0, () => this.#write());
    }, () => this.#write());
  }

  #open(): File {
    this.#file ??= this.#options.platform.files.openFile({ path: segmentName(this.#index), mode: "r+" });
    if (this.#ragged) {
      if (this.#file.size() > this.#offset) this.#file.setSize(this.#offset);
      this.#ragged = false;
    }
    return this.#file;
  }

  /** As many of the queue's records as one write and this segment take. */
  #batch(): { bytes: Uint8Array; count: number; hash: Uint8Array } {
    const room = Math.min(EVIDENCE_BATCH_BYTES_MAX, (this.#options.segmentBytes ?? EVIDENCE_SEGMENT_BYTES) - this.#offset);
    let size = 0;
    let count = 0;
    for (const payload of this.#intake.queue) {
      if (count > 0 && size + payload.length + RECORD_FRAME_BYTES > room) break;
      size += payload.length + RECORD_FRAME_BYTES;
      count++;
    }
    const bytes = new Uint8Array(size);
    let hash = this.#hash;
    let at = 0;
    for (let i = 0; i < count; i++) {
      const payload = this.#intake.queue[i] as Uint8Array;
      hash = chain(this.#options.platform.sha256, hash, this.#n + 1 + i, payload);
      put(bytes, at, 2, payload.length);
      bytes.set(payload, at + 2);
      bytes.set(hash, at + 2 + payload.length);
      at += payload.length + RECORD_FRAME_BYTES;
    }
    return { bytes, count, hash };
  }

  /** A new segment, whole before it has its name; then the oldest go. */
  #roll(): void {
    const { files } = this.#options.platform;
    const max = this.#options.segmentsMax ?? EVIDENCE_SEGMENTS_MAX;
    this.#closeFile();
    const indexes = segmentIndexes(files);
    while (indexes.length > max) this.#drop(indexes.shift()!);
    const index = (indexes[indexes.length - 1] ?? this.#index) + 1;
    this.#create(index);
    this.#index = index;
    this.#offset = SEGMENT_HEAD_BYTES;
    while (indexes.length >= max && indexes.length > 0) this.#drop(indexes.shift()!);
  }

  #create(index: number): void {
    const { files } = this.#options.platform;
    const file = files.openFile({ path: TEMPORARY, mode: "w+" });
    try {
      file.write(encodeHead({ index, first: this.#n + 1, before: this.#hash }), 0);
      file.flush();
    } finally {
      file.close();
    }
    files.move(TEMPORARY, segmentName(index));
  }

  #drop(index: number): void {
    this.#options.platform.files.delete(segmentName(index));
    this.counters.segmentsDropped++;
  }

  /** The medium holds less than the ring may: the oldest segment goes, unless it is the only one. */
  #makeRoom(): void {
    try {
      const indexes = segmentIndexes(this.#options.platform.files);
      if (indexes.length > 1) this.#drop(indexes[0]!);
    } catch {
      this.counters.writeFailures++;
    }
  }

  #closeFile(): void {
    try {
      this.#file?.close();
    } catch {
      this.counters.writeFailures++;
    }
    this.#file = null;
  }
}
