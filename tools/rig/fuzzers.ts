/** Every fuzzer, in the order of the scoreboard. */
import type { Fuzzer } from "./fuzz.js";
import { configuration, stored, storeCuts } from "./fuzz_stored.js";
import { telegrams } from "./fuzz_telegram.js";
import { tokenOrder, tokens } from "./fuzz_token.js";
import { http, modbus, mqtt } from "./fuzz_wire.js";

export const fuzzers: readonly Fuzzer[] = [telegrams, tokens, tokenOrder, modbus, mqtt, http, configuration, stored, storeCuts];
