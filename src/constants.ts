/**
 * Every bound and timeout of the core and its services, with the reason beside it and the relations
 * between them asserted in test/constants.test.ts. Sources: CONTROL = the control law's measured
 * constants, CAPS = the cap token and its life, P1 = DSMR/ESMR P1 companion standard, MODBUS =
 * Modbus Application Protocol V1.1b3 and Modbus over Serial Line V1.02.
 */

// ---- Telegrams (P1) ----
/** Longest telegram kept. P1 bounds it only by time; 2,048 text digits + 13 month peaks fit twice. */
export const TELEGRAM_BYTES_MAX = 8192;
/** Text message, characters (P1 6.12: up to 1,024 characters, sent as 2,048 hex digits). */
export const TEXT_MESSAGE_CHARACTERS_MAX = 1024;
/** Identifiers (hex of ASCII) are 34 or 96 digits at most (P1 6.12). */
export const IDENTIFIER_CHARACTERS_MAX = 96;
/** Named faults kept of one telegram; more are counted only. */
export const TELEGRAM_FAULTS_MAX = 8;
/** M-Bus channels read: 0-1 to 0-4 (P1 6.12). */
export const MBUS_CHANNELS_MAX = 4;
/** A meter is believed to send no CRC after this many well-formed telegrams in a row without one. */
export const CRCLESS_TELEGRAMS_MIN = 4;
export const TELEGRAM_PERIOD_DSMR5_MS = 1_000;
export const TELEGRAM_PERIOD_DSMR4_MS = 10_000;
/** How long each line setting is tried while the baud rate and parity are being found. */
export const LINE_PROBE_MS = 12_000;
/** A found line setting is searched anew after this long without a telegram. */
export const LINE_LOST_MS = 120_000;
/** A P1 stream without a byte for this long is opened again (half-open TCP, unplugged cable). */
export const P1_SILENCE_MS = 60_000;
export const P1_BACKOFF_MIN_MS = 1_000;
export const P1_BACKOFF_MAX_MS = 30_000;
/**
 * Readers of the raw telegram stream, and what one of them may leave unread before it is dropped: the
 * longest telegram, and two of the usual 1 KB that may still wait before it.
 */
export const P1_RELAY_READERS_MAX = 4;
export const P1_RELAY_QUEUE_BYTES = 10_240;

// ---- Readings ----
/** No rise after 5 telegram periods, safe values after 10 (CONTROL, "Stale meter"). */
export const STALE_NO_RISE_PERIODS = 5;
export const STALE_SAFE_PERIODS = 10;
/** What a fuse may carry for seconds, in percent of its rating: beyond it, a value is not believed at once. */
export const PLAUSIBLE_FUSE_PERCENT = 250;
/** Highest phase voltage believed, and what powers are bounded with where none is measured. */
export const PLAUSIBLE_VOLTAGE_MAX_MV = 300_000;
export const PLAUSIBLE_VOLTAGE_MV = 253_000;
/** The phases' powers against their sum: phases and total are not sampled together (Kaifa: 401 W apart). */
export const PHASE_SUM_TOLERANCE_W = 1_000;
export const PHASE_SUM_TOLERANCE_PERCENT = 30;
/** Without phases to check against, a step beyond this part of the connection waits for the next telegram. */
export const PLAUSIBLE_STEP_PERCENT = 60;
/** Misses in a row after which the phases of this meter are no longer expected to add up. */
export const PHASE_SUM_MISSES_MAX = 3;
/** A register may run ahead of what the fuse allows by this: rounding, and telegrams lost in between. */
export const ENERGY_STEP_SLACK_WH = 500;

// ---- Clock (CAPS, Life 7) ----
/** Two clocks that agree differ by less than this. */
export const CLOCK_AGREE_S = 300;
/** A meter clock may be set by this much and stay trusted; more backwards is going back. */
export const CLOCK_TOLERANCE_S = 30;
/** Consistent meter time at start, and after the clock went back, before it is trusted. */
export const CLOCK_START_MS = 20_000;
export const CLOCK_REGAIN_MS = 10 * 60_000;
/** A clock further than this beyond the last known time needs network time or a token to agree. */
export const CLOCK_AHEAD_MAX_S = 400 * 86_400;
/** No clock before this is right: 2024-01-01. */
export const CLOCK_EPOCH_MIN_S = 1_704_067_200;
/** The last known time goes to flash this often, not each second. */
export const CLOCK_PERSIST_S = 6 * 3_600;
/** A meter clock that goes back, or jumps by more than a day, is not trusted (CAPS, Life 7). */
export const CLOCK_JUMP_MAX_S = 86_400;

// ---- Tokens (CAPS) ----
export const TOKEN_BYTES_MAX = 720;
export const TOKEN_TEXT_CHARACTERS_MAX = 964;
export const TOKEN_EVENTS_MAX = 16;
export const CBOR_DEPTH_MAX = 6;
/** An operator may promise to speak again within 35 days at most. */
export const LINK_LIFE_MAX_S = 35 * 86_400;
/** An iat may lie this far ahead of our clock: two clocks are never equal. */
export const IAT_AHEAD_MAX_S = 300;
export const TRUSTED_KEYS_MAX = 8;
/** Tokens waiting for their signature to be checked. */
export const TOKEN_QUEUE_MAX = 4;
/** How often a token is offered again that came while the inbox was full, and how many of a channel wait so. */
export const BUSY_RETRY_MS = 5_000;
export const BUSY_WAITING_MAX = 3;
/** Of these one channel may take so many (ean, msr and all come together), so one is left for the others. */
export const TOKEN_QUEUE_CHANNEL_MAX = 3;
/** A verification that has not answered by then is a refusal. Plain C on an ESP32 takes 0.6 s. */
export const VERIFY_TIMEOUT_MS = 10_000;
/** After a bad signature its channel waits this long, doubled each time, before the next one is checked. */
export const BAD_SIGNATURE_WAIT_MIN_MS = 1_000;
export const BAD_SIGNATURE_WAIT_MAX_MS = 60_000;
/** Records of (kid, aud) in the store: every key with the three audiences that reach a house. */
export const TOKEN_SLOTS_MAX = 24;
/** Refusals told to the log and the evidence: so many at once, then one each minute. All are counted. */
export const REFUSAL_REPORTS_MAX = 20;
export const REFUSAL_REPORT_EVERY_MS = 60_000;
/** A record that could not be written is tried again this often. */
export const TOKEN_STORE_RETRY_MS = 10_000;
/** Limits and durations on the wire stay below 2^31 and 2^32, so that no sum leaves 2^53. */
export const CAP_WATTS_MAX = 0x7fff_ffff;
export const CAP_SECONDS_MAX = 0xffff_ffff;
/** A release longer than a day would be a cap without an end. */
export const CAP_RELEASE_MAX_S = 86_400;
/** An installer's test cap is over 10 minutes after it was made. */
export const INSTALLER_TEST_MAX_S = 600;
/** The signed set of keys: 8 keys with their audiences; fits one record of the store. */
export const KEY_SET_BYTES_MAX = 1_536;

// ---- Limits (CAPS Life; CONTROL) ----
export const START_TO_FAILSAFE_MS = 120_000;
export const FAILSAFE_IMPORT_DEFAULT_W = 4_200;
export const FAILSAFE_DURATION_DEFAULT_MS = 2 * 3_600_000;
export const FAILSAFE_DURATION_MIN_MS = 2 * 3_600_000;
export const FAILSAFE_DURATION_MAX_MS = 24 * 3_600_000;
/** A cap that gives way to a higher one: delay of at most this, then a linear rise over that. */
export const RAISE_DELAY_MAX_MS = 60_000;
export const RAISE_RAMP_MS = 300_000;
/** A cap that ends in no cap: D = the event's release, or min(3 h, 1.5 x its length). */
export const RELEASE_MAX_MS = 3 * 3_600_000;
/** P1 currents are whole amperes: stay one below the fuse (CONTROL, "Limits"). */
export const FUSE_MARGIN_MA = 1_000;

/** Links, one a (kid, aud): every trusted key times ean, msr and all. */
export const LINKS_MAX = TRUSTED_KEYS_MAX * 3;
/** A link's events while tokens of an untrusted time add to older ones; one line of the store. */
export const HELD_EVENTS_MAX = 24;
/** An open-ended cap is a long one: durations and distances in time count up to this (68 years). */
export const EVENT_SECONDS_MAX = 2_147_483_647;

// ---- Section 14a EnWG (BK6-22-300, annex 1, 4.5) ----
/** What direct control leaves each device. */
export const PAR14A_DEVICE_W = 4_200;
/** Heat pumps and cooling above this count with 0.4 x their power. */
export const PAR14A_LARGE_W = 11_000;

// ---- Voltage droop (CONTROL, "Voltage droop"; EN 50160: 207-253 V) ----
export const DROOP_FULL_MV = 222_000;
export const DROOP_FLOOR_MV = 210_000;
export const DROOP_TRIP_MV = 207_000;
export const DROOP_TRIP_AFTER_MS = 10_000;
export const DROOP_TAU_DOWN_MS = 20_000;
export const DROOP_TAU_UP_MS = 600_000;
export const DROOP_DITHER_MV = 500;
export const DROOP_LOCKOUT_MIN_MS = 5 * 60_000;
export const DROOP_LOCKOUT_MAX_MS = 15 * 60_000;
/** Export mirror, P(U) of EN 50549-1: full at 110 % of 230 V, floor at 112 %. */
export const DROOP_EXPORT_FULL_MV = 253_000;
export const DROOP_EXPORT_FLOOR_MV = 257_600;
/** As far beyond the floor as 207 V lies beyond 210 V. */
export const DROOP_EXPORT_TRIP_MV = 260_600;
/** A gap between two readings counts for no more than this when the voltage rises. */
export const DROOP_RISE_GAP_MAX_MS = 10_000;
/** Below this a phase is not a voltage but a missing wire ("a 000.0 V phase"). */
export const VOLTAGE_PRESENT_MIN_MV = 50_000;

// ---- Budget (CONTROL, "Uncontrolled load") ----
export const HEADROOM_MARGIN_W = 100;
/** P1 rounds currents down to whole amperes: half of one is taken off before it is compared. */
export const CURRENT_ROUNDING_MA = 500;
export const PEAK_HOLD_MS = 30_000;
export const PEAK_DECAY_TAU_MS = 30_000;
/** The hold is kept in this many parts, so a peak is held for 30 to 40 s, never less. */
export const PEAK_BUCKETS = 4;
export const PEAK_BUCKET_MS = 10_000;
/** EN 50160: what a phase may be when nobody measures it. Low makes amperes of watts, high watts of amperes. */
export const VOLTAGE_LOWEST_MV = 207_000;
export const VOLTAGE_HIGHEST_MV = 253_000;
/** The same on a 3 x 230 V net without neutral, where a "phase voltage" is 1/sqrt(3) of that. */
export const VOLTAGE_DELTA_LOWEST_MV = 119_500;
export const VOLTAGE_DELTA_HIGHEST_MV = 146_100;

// ---- Allocation (CONTROL, "Allocation", "Shape") ----
export const EV_MINIMUM_MA = 6_000;
export const EV_START_EXTRA_MA = 1_500;
export const EV_START_HOLD_MS = 60_000;
export const RISE_HOLD_MS = 10_000;
export const RISE_MA_PER_S = 200;
export const RISE_STEP_MAX_MA = 3_000;
export const DEADBAND_MA = 500;
export const OFF_TIME_MIN_MS = 5 * 60_000;
export const ON_TIME_MIN_MS = 5 * 60_000;
/** Settling: EV response plus two telegrams. */
export const SETTLE_DSMR5_MS = 10_000;
export const SETTLE_DSMR4_MS = 25_000;
/** A meter that speaks at least this often settles like DSMR 5, a slower one like DSMR 4. */
export const SETTLE_FAST_PERIOD_MS = 2_000;
/** A device found not to follow its setpoint stays halved or off for this long. */
export const DERATE_MS = 5 * 60_000;
/** How far above its setpoint a device must draw to be the one that does not follow. */
export const DERATE_ABOVE_MA = 1_000;
/** A share left unused by this much for this long is handed on, down to that much above what is drawn. */
export const UNUSED_MA = 2_000;
export const UNUSED_HOLD_MS = 60_000;
export const DEVICES_MAX = 8;

// ---- SG Ready (TNO R12069 3.7.2.1; makers' rule) ----
export const SG_WINDOW_MS = 24 * 3_600_000;
export const SG_BLOCKS_MAX = 3;
export const SG_BLOCKED_MAX_MS = 2 * 3_600_000;
export const SG_BLOCK_MIN_MS = 10 * 60_000;
export const SG_BLOCK_APART_MS = 10 * 60_000;
export const SG_RESERVE_BLOCKS = 1;
export const SG_RESERVE_MS = 30 * 60_000;
/** The uncontrolled load must be above a limit for this long before a block is spent on it. */
export const SG_BLOCK_HOLD_MS = 3_000;
/** A block ends when the pump's nominal power has fitted for this long, and a spread by serial. */
export const SG_UNBLOCK_HOLD_MS = 60_000;
export const SG_UNBLOCK_SPREAD_MS = 240_000;
/** A block ends this long before its budget does: a late tick must not overspend it. */
export const SG_END_MARGIN_MS = 5_000;
/** State 3: surplus of the pump's nominal power for this long, then at least so long unless a limit comes. */
export const SG_SURPLUS_HOLD_MS = 60_000;
export const SG_SURPLUS_MIN_MS = 10 * 60_000;

// ---- Capacity tariff (Flanders) ----
export const TARIFF_QUARTER_S = 900;
export const TARIFF_FLOOR_W = 2_500;
/** The last seconds of a quarter do not turn a small rest of energy into a great power. */
export const TARIFF_TAIL_S = 60;

// ---- Actuation ----
/** Every setpoint is written again at least this often, changed or not (invariant 10). */
export const REWRITE_PERIOD_MS = 10_000;
/** A device that says it holds another value is written again at most this often. */
export const READ_BACK_RETRY_MS = 3_000;
/** The controller ticks at least this often. */
export const TICK_PERIOD_MS = 1_000;
/** How long the devices have to take their safe values before an orderly end: one Modbus timeout. */
export const STOP_MS = 1_500;
/** A device that has not answered for this long is offline. */
export const DEVICE_OFFLINE_MS = 15_000;

// ---- Modbus ----
export const MODBUS_ADU_BYTES_MAX = 260;
export const MODBUS_REGISTERS_MAX = 125;
/** Models in a SunSpec chain: real devices have 5 to 30. */
export const SUNSPEC_MODELS_MAX = 64;
export const MODBUS_WRITE_REGISTERS_MAX = 123;
/** Coils of one write (V1.1b3 6.11); the same bound is kept for reading. */
export const MODBUS_COILS_MAX = 1_968;
/** Unit identifiers behind one bus: the devices, a meter and relay boards. */
export const MODBUS_UNITS_MAX = 16;
export const MODBUS_TIMEOUT_MS = 1_000;
export const MODBUS_RETRIES = 2;
export const MODBUS_QUEUE_MAX = 16;
export const MODBUS_BACKOFF_MIN_MS = 1_000;
export const MODBUS_BACKOFF_MAX_MS = 30_000;
export const MODBUS_POLL_MS = 1_000;
/** Opening a connection, or a write that the stream does not take. */
export const MODBUS_CONNECT_TIMEOUT_MS = 5_000;
/** Timeouts in a row, with no frame of anybody in between, after which a TCP connection is made afresh. */
export const MODBUS_SILENT_TIMEOUTS_MAX = 3;
/** A written value that is not read back for this long is a fault: makers ramp and poll inside. */
export const READ_BACK_SETTLE_MS = 5_000;

// ---- Contacts ----
/** A relay input must be steady for this long; its samples are this far apart. */
export const CONTACT_DEBOUNCE_MS = 100;
export const CONTACT_SAMPLE_MS = 20;
/** An input that cannot be opened is tried again this often. */
export const CONTACT_REOPEN_MS = 5_000;
/** A move that failed is tried again after this long, with all that follow it. */
export const CONTACT_RETRY_MS = 1_000;

// ---- MQTT, HTTP, store, evidence ----
/** The status is published at least this often, and with each event. */
export const STATUS_PUBLISH_MS = 10_000;
export const MQTT_PACKET_BYTES_MAX = 2_048;
export const MQTT_KEEPALIVE_S = 30;
export const MQTT_CONNECT_TIMEOUT_MS = 15_000;
export const MQTT_QUEUE_MAX = 32;
/** Full jitter up to min(300 s, 2^n s). */
export const MQTT_BACKOFF_MAX_MS = 300_000;
/** The queue's payloads together, and the longest single one (a status of 8 devices has some 3 KB). */
export const MQTT_QUEUE_BYTES_MAX = 16_384;
export const MQTT_PUBLISH_BYTES_MAX = 6_144;
/** QoS 1 messages sent and not yet acknowledged. */
export const MQTT_INFLIGHT_MAX = 4;
/** Acknowledgements and pings waiting for a broker that does not read; more and it is dropped. */
export const MQTT_CONTROL_MAX = 16;
export const MQTT_PING_TIMEOUT_MS = 10_000;
/** A QoS 1 message or subscription unanswered for this long: the connection is made anew. */
export const MQTT_ACK_TIMEOUT_MS = 60_000;
/** How long the broker keeps our session (MQTT 5), and how long an oversized packet may be passed over. */
export const MQTT_SESSION_EXPIRY_S = 3_600;
export const MQTT_SKIP_BYTES_MAX = 65_536;
export const HTTP_CONNECTIONS_MAX = 6;
/** Request line or one header that matters; others may be longer and are passed over unread. */
export const HTTP_LINE_BYTES_MAX = 512;
/** All headers of a request; browsers send the cookies of every port of localhost. */
export const HTTP_HEADER_BYTES_MAX = 8_192;
/** The longest body is a signed set of keys. */
export const HTTP_BODY_BYTES_MAX = 1_536;
export const HTTP_TIMEOUT_MS = 10_000;
/** An answer that closes waits this long for the peer to close first, so that it is not cut off. */
export const HTTP_LINGER_MS = 1_000;
/** Bytes of a peer that talks on while it is being answered; more and the connection ends. */
export const HTTP_DISCARD_BYTES_MAX = 65_536;
/** A port that cannot be had (no network yet, in use) is tried again after this. */
export const HTTP_LISTEN_RETRY_MS = 5_000;
/** Refused POSTs an address may make before it must wait, and how soon one is forgiven. */
export const HTTP_BAD_POSTS_MAX = 10;
export const HTTP_BAD_POST_FORGIVEN_MS = 30_000;
export const HTTP_BAD_POST_ADDRESSES_MAX = 8;
/** NVS names have 15 characters; the slot's suffix, ".0" or ".1", takes two. */
export const STORE_KEY_CHARACTERS_MAX = 13;
export const STORE_VALUE_BYTES_MAX = 1_984;
/** Pieces of a text that is longer than one value; two sets of them take turns. */
export const LONG_TEXT_PIECES_MAX = 20;
/** Every token's record, three long texts (limits, SG Ready, clock) with both sets, and the records of one value. */
export const STORE_KEYS_MAX = 160;
/**
 * The evidence log: a ring of segments that keeps two years (BK6-22-300 7.3). A record takes some
 * 130 bytes, so the ring holds about 5,300 after its oldest segment was dropped: 7 a day for two
 * years. Counted on: 100 cap events a year of 20 records each, a summary a day, restarts and faults,
 * together 2,600 a year. 22 segments and the one being made are 754 KB of the 0.8 MB that a 4 MB
 * board has left; a host keeps 2,048 (64 MB).
 */
export const EVIDENCE_SEGMENT_BYTES = 32_768;
export const EVIDENCE_SEGMENTS_MAX = 22;
export const EVIDENCE_HOST_SEGMENTS_MAX = 2_048;
/** Records waiting to be written, and the bytes written and flushed together in one turn. */
export const EVIDENCE_QUEUE_MAX = 32;
export const EVIDENCE_QUEUE_BYTES_MAX = 8_192;
export const EVIDENCE_BATCH_BYTES_MAX = 4_096;
/** One type's records in a burst, and how soon one more is allowed: a flood of bad tokens must not push out two years. */
export const EVIDENCE_BURST_MAX = 48;
export const EVIDENCE_REFILL_MS = 1_800_000;
/** More than there are types: each has a bucket of its own. */
export const EVIDENCE_TYPES_MAX = 48;
export const EVIDENCE_TYPE_CHARACTERS_MAX = 24;
/** How long what was suppressed is gathered before one record tells of it. */
export const EVIDENCE_SUMMARY_MS = 900_000;
/** After this many restarts in a row, with nothing between them, further ones are not recorded. */
export const EVIDENCE_RESTARTS_MAX = 8;
export const EVIDENCE_RETRY_MS = 10_000;
/** Records looked through in one turn after a start. */
export const EVIDENCE_SCAN_RECORDS = 32;
/** What a page or a message asks for at most. */
export const EVIDENCE_TAIL_MAX = 100;
export const EVIDENCE_RECORD_BYTES_MAX = 1_024;
