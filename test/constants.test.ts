/** The relations between the constants that their comments promise. A bound that is moved alone is found here. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { ComplianceEvent } from "../src/compliance.js";
import * as constants from "../src/constants.js";
import type { LimitsEvent } from "../src/limits/limits.js";
import { readLong, writeLong } from "../src/services/long_text.js";
import { encodePacket } from "../src/services/mqtt_packet.js";
import { capTopics } from "../src/services/operator_link.js";
import { Store } from "../src/services/store.js";
import { sha256 } from "../hal/node/crypto.js";
import { SimWorld } from "../hal/sim/world.js";

type Name = keyof typeof constants;
const c = constants;

/** Each line rises strictly from left to right, or is level where it says "=". */
function rises(...chain: (Name | number | "=")[]): void {
  let before: { name: string; value: number } | null = null, level = false;
  for (const link of chain) {
    if (link === "=") { level = true; continue; }
    const one = typeof link === "number" ? { name: String(link), value: link } : { name: link, value: c[link] as number };
    if (before !== null) {
      const says = `${before.name} (${before.value}) ${level ? "<=" : "<"} ${one.name} (${one.value})`;
      expect(level ? before.value <= one.value : before.value < one.value, says).toBe(true);
    }
    before = one;
    level = false;
  }
}

test("every constant is a positive whole number", () => {
  for (const [name, value] of Object.entries(c)) expect(Number.isSafeInteger(value) && value > 0, `${name} = ${String(value)}`).toBe(true);
});

describe("telegrams", () => {
  test("one telegram holds the longest text, and a reader of the relay the longest telegram", () => {
    rises(2 * c.TEXT_MESSAGE_CHARACTERS_MAX, "TELEGRAM_BYTES_MAX");
    rises(c.TELEGRAM_BYTES_MAX + 2 + 2 * 1_000, "=", "P1_RELAY_QUEUE_BYTES");
  });
  test("the line is listened to for longer than the slowest meter needs to speak, and lost after several silences", () => {
    rises("TELEGRAM_PERIOD_DSMR5_MS", "TELEGRAM_PERIOD_DSMR4_MS", "LINE_PROBE_MS", "P1_SILENCE_MS", "LINE_LOST_MS");
    rises("P1_BACKOFF_MIN_MS", "P1_BACKOFF_MAX_MS", "P1_SILENCE_MS");
  });
});

describe("readings and the clock", () => {
  test("a stale meter first stops the rise, then makes safe; both before a line is looked for anew", () => {
    rises(1, "STALE_NO_RISE_PERIODS", "STALE_SAFE_PERIODS");
    rises(c.STALE_SAFE_PERIODS * c.TELEGRAM_PERIOD_DSMR4_MS, "LINE_LOST_MS");
  });
  test("what is plausible holds what EN 50160 allows", () => {
    rises("VOLTAGE_PRESENT_MIN_MV", "VOLTAGE_DELTA_LOWEST_MV", "VOLTAGE_DELTA_HIGHEST_MV", "VOLTAGE_LOWEST_MV", "VOLTAGE_HIGHEST_MV", "=", "PLAUSIBLE_VOLTAGE_MV", "PLAUSIBLE_VOLTAGE_MAX_MV");
    rises(100, "PLAUSIBLE_FUSE_PERCENT");
  });
  test("clocks: tolerance, agreement, jump", () => {
    rises("CLOCK_TOLERANCE_S", "CLOCK_AGREE_S", "CLOCK_PERSIST_S", "CLOCK_JUMP_MAX_S", "CLOCK_AHEAD_MAX_S");
    rises(c.CLOCK_START_MS, c.CLOCK_REGAIN_MS);
    // A house that starts well knows the time before it would fall to its failsafe limit.
    rises("CLOCK_START_MS", "START_TO_FAILSAFE_MS");
    rises("IAT_AHEAD_MAX_S", "=", "CLOCK_AGREE_S");
    rises("CLOCK_AHEAD_MAX_S", "CLOCK_EPOCH_MIN_S", "EVENT_SECONDS_MAX", "CAP_SECONDS_MAX");
  });
});

describe("tokens", () => {
  test("the longest token goes through every channel", () => {
    rises(4 + Math.ceil((c.TOKEN_BYTES_MAX * 4) / 3), "=", "TOKEN_TEXT_CHARACTERS_MAX", "TEXT_MESSAGE_CHARACTERS_MAX");
    rises("TOKEN_BYTES_MAX", "=", "HTTP_BODY_BYTES_MAX");
    for (const topic of capTopics("9".repeat(18), "m".repeat(60))) {
      const packet = encodePacket({
        cmd: "publish", topic, payload: new Uint8Array(c.TOKEN_BYTES_MAX), qos: 1, retain: true, dup: false, messageId: 65_535,
        properties: { messageExpiryInterval: c.LINK_LIFE_MAX_S, contentType: "application/cwt" } as object,
      }, 5)!;
      rises(c.TOKEN_BYTES_MAX, packet.length, "MQTT_PACKET_BYTES_MAX");
    }
  });
  test("a record of the store holds the longest token, and the longest set of keys", () => {
    // Head, audience and check of services/cap_record.ts.
    rises(19 + 64 + 2 + c.TOKEN_BYTES_MAX + 4, "=", "STORE_VALUE_BYTES_MAX");
    rises("KEY_SET_BYTES_MAX", "=", "STORE_VALUE_BYTES_MAX");
    rises("KEY_SET_BYTES_MAX", "=", "HTTP_BODY_BYTES_MAX");
  });
  test("every key has room for the three audiences that reach a house", () => {
    rises(3 * c.TRUSTED_KEYS_MAX, "=", "TOKEN_SLOTS_MAX");
    rises(3 * c.TRUSTED_KEYS_MAX, "=", "LINKS_MAX");
    rises("TOKEN_EVENTS_MAX", "=", "HELD_EVENTS_MAX");
    rises("TOKEN_QUEUE_CHANNEL_MAX", "TOKEN_QUEUE_MAX");
    // ean, msr and all come together.
    rises(3, "=", "TOKEN_QUEUE_CHANNEL_MAX");
  });
  test("times: a wait doubles up to its maximum, and a test cap is no cap of the operator's", () => {
    rises("BAD_SIGNATURE_WAIT_MIN_MS", "BAD_SIGNATURE_WAIT_MAX_MS");
    rises(c.INSTALLER_TEST_MAX_S, "CAP_RELEASE_MAX_S", "LINK_LIFE_MAX_S", "EVENT_SECONDS_MAX");
    rises("CAP_WATTS_MAX", 2 ** 31);
    expect(c.CAP_SECONDS_MAX).toBe(2 ** 32 - 1);
  });
});

describe("limits", () => {
  test("failsafe: the default lies within what may be configured", () => {
    rises("FAILSAFE_DURATION_MIN_MS", "=", "FAILSAFE_DURATION_DEFAULT_MS", "=", "FAILSAFE_DURATION_MAX_MS");
    rises("START_TO_FAILSAFE_MS", "FAILSAFE_DURATION_MIN_MS");
    expect(c.FAILSAFE_IMPORT_DEFAULT_W).toBe(c.PAR14A_DEVICE_W);
  });
  test("higher slowly: the delay is shorter than the ramp, both than a release", () => {
    rises("TICK_PERIOD_MS", "RAISE_DELAY_MAX_MS", "RAISE_RAMP_MS", "RELEASE_MAX_MS", "=", c.CAP_RELEASE_MAX_S * 1_000);
  });
  test("droop: full above the floor above the trip, mirrored for export, within what is believed", () => {
    rises("DROOP_TRIP_MV", "DROOP_FLOOR_MV", "DROOP_FULL_MV", "DROOP_EXPORT_FULL_MV", "DROOP_EXPORT_FLOOR_MV", "DROOP_EXPORT_TRIP_MV", "PLAUSIBLE_VOLTAGE_MAX_MV");
    expect(c.DROOP_FLOOR_MV - c.DROOP_TRIP_MV).toBe(c.DROOP_EXPORT_TRIP_MV - c.DROOP_EXPORT_FLOOR_MV);
    rises("VOLTAGE_LOWEST_MV", "=", "DROOP_TRIP_MV");
    // Houses that differ by their dither keep their order: full stays above the floor.
    rises(2 * c.DROOP_DITHER_MV, c.DROOP_FLOOR_MV - c.DROOP_TRIP_MV);
    rises("DROOP_TAU_DOWN_MS", "DROOP_TAU_UP_MS");
    rises("DROOP_TRIP_AFTER_MS", "DROOP_LOCKOUT_MIN_MS", "DROOP_LOCKOUT_MAX_MS");
  });
  test("fuse: the margin covers what P1 rounds off", () => { rises("CURRENT_ROUNDING_MA", "FUSE_MARGIN_MA", "EV_MINIMUM_MA"); });
});

describe("budget and allocation", () => {
  test("the peak-hold is made of its parts, and holds through a slow meter's gap", () => {
    expect(c.PEAK_BUCKETS * c.PEAK_BUCKET_MS).toBe(c.PEAK_HOLD_MS + c.PEAK_BUCKET_MS);
    rises("TELEGRAM_PERIOD_DSMR4_MS", "SETTLE_DSMR4_MS", "PEAK_HOLD_MS");
    rises("TELEGRAM_PERIOD_DSMR5_MS", "SETTLE_FAST_PERIOD_MS", "SETTLE_DSMR5_MS", "SETTLE_DSMR4_MS");
  });
  test("what makes a device move is more than what measuring adds", () => {
    rises("CURRENT_ROUNDING_MA", "=", "DEADBAND_MA", "DERATE_ABOVE_MA", "UNUSED_MA", "RISE_STEP_MAX_MA", "EV_MINIMUM_MA");
    rises(c.RISE_MA_PER_S * (c.TICK_PERIOD_MS / 1_000), "RISE_STEP_MAX_MA");
    rises("RISE_HOLD_MS", "EV_START_HOLD_MS", "OFF_TIME_MIN_MS");
  });
  test("SG Ready: the reserve is less than the whole, and the blocks fit into a day", () => {
    rises("SG_RESERVE_BLOCKS", "SG_BLOCKS_MAX");
    rises("SG_BLOCK_MIN_MS", "=", "SG_RESERVE_MS", "SG_BLOCKED_MAX_MS", "SG_WINDOW_MS");
    rises(c.SG_BLOCKS_MAX * c.SG_BLOCK_MIN_MS, "=", "SG_BLOCKED_MAX_MS");
    rises("SG_BLOCK_HOLD_MS", "SG_END_MARGIN_MS", "SG_UNBLOCK_HOLD_MS", "SG_UNBLOCK_SPREAD_MS", "SG_BLOCK_MIN_MS");
    rises("TICK_PERIOD_MS", "SG_END_MARGIN_MS");
  });
  test("the tariff's floor", () => { rises("HEADROOM_MARGIN_W", "TARIFF_FLOOR_W", "FAILSAFE_IMPORT_DEFAULT_W"); });
});

describe("actuation and Modbus", () => {
  test("rewritten in every tenth tick at the latest, and before a device counts as offline", () => {
    rises("TICK_PERIOD_MS", "READ_BACK_RETRY_MS", "READ_BACK_SETTLE_MS", "REWRITE_PERIOD_MS", "DEVICE_OFFLINE_MS");
  });
  test("a request with all its retries, or a connection, fails before its device is offline", () => {
    rises((1 + c.MODBUS_RETRIES) * c.MODBUS_TIMEOUT_MS, "DEVICE_OFFLINE_MS");
    rises(c.MODBUS_CONNECT_TIMEOUT_MS + c.MODBUS_TIMEOUT_MS, "DEVICE_OFFLINE_MS");
    rises(c.MODBUS_SILENT_TIMEOUTS_MAX * c.MODBUS_TIMEOUT_MS + c.MODBUS_CONNECT_TIMEOUT_MS, "DEVICE_OFFLINE_MS");
    rises("MODBUS_POLL_MS", "DEVICE_OFFLINE_MS", "MODBUS_BACKOFF_MAX_MS");
    rises("MODBUS_BACKOFF_MIN_MS", "MODBUS_BACKOFF_MAX_MS");
  });
  test("the frames hold what they may carry", () => {
    rises(c.MODBUS_REGISTERS_MAX * 2 + 9, "MODBUS_ADU_BYTES_MAX");
    rises(c.MODBUS_WRITE_REGISTERS_MAX * 2 + 13, "=", "MODBUS_ADU_BYTES_MAX");
    rises(c.MODBUS_COILS_MAX / 8 + 13, "MODBUS_ADU_BYTES_MAX");
    rises("DEVICES_MAX", "MODBUS_UNITS_MAX");
  });
  test("contacts: a debounce is several samples", () => { rises(3 * c.CONTACT_SAMPLE_MS, "CONTACT_DEBOUNCE_MS", "CONTACT_RETRY_MS", "CONTACT_REOPEN_MS"); });
});

describe("MQTT and HTTP", () => {
  test("MQTT: the longest message fits the queue, a ping is answered within the keep-alive", () => {
    rises("MQTT_INFLIGHT_MAX", "MQTT_QUEUE_MAX");
    rises("MQTT_PUBLISH_BYTES_MAX", "MQTT_QUEUE_BYTES_MAX");
    rises("EVIDENCE_RECORD_BYTES_MAX", "MQTT_PUBLISH_BYTES_MAX");
    rises("MQTT_PACKET_BYTES_MAX", "MQTT_SKIP_BYTES_MAX");
    rises("MQTT_PING_TIMEOUT_MS", c.MQTT_KEEPALIVE_S * 1_000, "MQTT_ACK_TIMEOUT_MS", "MQTT_BACKOFF_MAX_MS", c.MQTT_SESSION_EXPIRY_S * 1_000);
    rises("MQTT_CONNECT_TIMEOUT_MS", c.MQTT_KEEPALIVE_S * 1_000);
  });
  test("HTTP: an answer may wait for a signature to be checked", () => {
    rises("HTTP_LINE_BYTES_MAX", "HTTP_HEADER_BYTES_MAX", "HTTP_DISCARD_BYTES_MAX");
    rises("HTTP_LINGER_MS", "HTTP_TIMEOUT_MS");
    rises("VERIFY_TIMEOUT_MS", "=", "HTTP_TIMEOUT_MS");
  });
});

describe("the store", () => {
  test("holds every key that is ever written: all tokens, the long texts with both sets, one-value records", () => {
    const longTexts = 3, records = ["keys", "p1crc"].length;
    rises(c.TOKEN_SLOTS_MAX + longTexts * (1 + 2 * c.LONG_TEXT_PIECES_MAX) + records, "=", "STORE_KEYS_MAX");
  });
  test("and a factory reset leaves none of them", () => {
    const { flash, storage } = new SimWorld({ seed: 1, crypto: { sha256, verifyP256: () => false } }).platform("home");
    const store = new Store(storage.open({ path: "state" }));
    for (let slot = 0; slot < c.TOKEN_SLOTS_MAX; slot++) expect(store.write(`cap${slot}`, Uint8Array.of(slot))).toBe(true);
    // Twice: each in both of its sets of pieces.
    for (let n = 0; n < 2; n++) {
      for (const key of ["limits", "sgready", "clock"]) {
        const text = String(n).repeat(c.LONG_TEXT_PIECES_MAX * (c.STORE_VALUE_BYTES_MAX - 16));
        expect(writeLong(store, key, text), key).toBe(true);
        expect(readLong(store, key)).toEqual({ kind: "text", text });
      }
    }
    for (const key of ["keys", "p1crc"]) store.write(key, Uint8Array.of(1));
    expect(store.keys().length).toBe(c.TOKEN_SLOTS_MAX + 3 * (1 + 2 * c.LONG_TEXT_PIECES_MAX) + 2);
    expect(store.clear()).toBe(true);
    expect([...flash.domain("state").keys()]).toEqual([]);
  });
  test("a piece's name is a name: NVS has 15 characters, the slot takes two", () => {
    expect(c.STORE_KEY_CHARACTERS_MAX).toBe(15 - 2);
    rises(`sgready.b${c.LONG_TEXT_PIECES_MAX - 1}`.length, "=", "STORE_KEY_CHARACTERS_MAX");
  });
});

describe("evidence", () => {
  test("record < batch < queue < segment, and a burst of one type leaves room for others", () => {
    rises("EVIDENCE_RECORD_BYTES_MAX", "EVIDENCE_BATCH_BYTES_MAX", "EVIDENCE_QUEUE_BYTES_MAX", "EVIDENCE_SEGMENT_BYTES");
    rises("EVIDENCE_SEGMENTS_MAX", "EVIDENCE_HOST_SEGMENTS_MAX");
    rises("EVIDENCE_RETRY_MS", "EVIDENCE_SUMMARY_MS", "EVIDENCE_REFILL_MS");
    rises("EVIDENCE_RESTARTS_MAX", "EVIDENCE_QUEUE_MAX");
  });
  test("two years on a board (BK6-22-300 7.3): 7 records of 130 bytes a day, the oldest segment just dropped", () => {
    rises(7 * 730 * 130, "=", (c.EVIDENCE_SEGMENTS_MAX - 1) * c.EVIDENCE_SEGMENT_BYTES);
    rises((c.EVIDENCE_SEGMENTS_MAX + 1) * c.EVIDENCE_SEGMENT_BYTES, "=", 800_000);
  });
  test("every type of record has a bucket of its own, and its name fits", () => {
    const told: Record<LimitsEvent["kind"] | ComplianceEvent["kind"], true> = {
      restored: true, state: true, link: true, clock: true, token: true, cap_scheduled: true, cap_in_force: true, cap_replaced: true, cap_cancelled: true, cap_ended: true,
      release_begins: true, raise_begins: true, release_ends: true, raise_ends: true, contact: true, voltage: true, droop_begins: true, droop_trips: true, droop_ends: true,
      under_limit: true, quarter: true, measured: true,
    };
    const types = new Set(Object.keys(told));
    const folder = join(import.meta.dirname, "../src");
    for (const file of readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".ts"))) {
      for (const [, type] of readFileSync(join(folder, file), "utf8").matchAll(/\b(?:append|record)\("([a-z_]+)"/g)) types.add(type!);
    }
    expect(types).toContain("accepted");
    // Two more: "other", which the rest would share, and "suppressed".
    rises(types.size + 2, "=", "EVIDENCE_TYPES_MAX");
    rises(Math.max(...[...types].map(({ length }) => length)), "=", "EVIDENCE_TYPE_CHARACTERS_MAX");
  });
});
