/**
 * Finding a device's SunSpec models (SunSpec Device Information Model Specification 1.1, 6.2-6.4): the
 * marker "SunS" at one of three base addresses, then model after model, each with its ID and length,
 * to the end model 0xFFFF. Stepwise: the service reads what a step asks for and hands it back.
 *
 *   let step = sunspecStart();
 *   while (step.kind === "read") step = sunspecNext(step, await readHolding(step.address, step.count));
 */
import { SUNSPEC_MODELS_MAX } from "../constants.js";

export interface Model {
  readonly id: number;
  /** Of its ID register, as on the wire. Points of the model documents count from here. */
  readonly address: number;
  /** Registers after the length register. */
  readonly length: number;
}
/** In the order of the device. Empty for devices without SunSpec. */
export type ModelMap = readonly Model[];
export const NO_MODELS: ModelMap = [];

export type SunSpecFault =
  /** "SunS" at none of the base addresses. */
  | { readonly rule: "no_marker" }
  /** The chain broke off: no answer where a model was announced. */
  | { readonly rule: "chain_unreadable"; readonly address: number }
  /** A model that runs past address 65535. */
  | { readonly rule: "model_beyond_end"; readonly model: number; readonly address: number }
  /** More than SUNSPEC_MODELS_MAX models: no end in sight. */
  | { readonly rule: "too_many_models" };

export type SunSpecStep =
  | { readonly kind: "read"; readonly address: number; readonly count: 2; readonly base: number | null; readonly models: ModelMap }
  | { readonly kind: "done"; readonly models: ModelMap }
  | { readonly kind: "fault"; readonly fault: SunSpecFault };
type ReadStep = Extract<SunSpecStep, { kind: "read" }>;

/** In the order the specification gives. */
export const SUNSPEC_BASES: readonly number[] = [40000, 0, 50000];
export const SUNSPEC_MARKER: readonly [number, number] = [0x5375, 0x6e53];
const END_MODEL = 0xffff;

export function sunspecStart(): SunSpecStep {
  return { kind: "read", address: SUNSPEC_BASES[0]!, count: 2, base: 0, models: NO_MODELS };
}

/** `words`: the answer to the step, null where the device gave an exception or none. */
export function sunspecNext(step: ReadStep, words: readonly number[] | null): SunSpecStep {
  const readable = words !== null && words.length === 2;
  if (step.base !== null) {
    if (readable && words[0] === SUNSPEC_MARKER[0] && words[1] === SUNSPEC_MARKER[1]) {
      return { kind: "read", address: step.address + 2, count: 2, base: null, models: NO_MODELS };
    }
    const next = step.base + 1;
    const address = SUNSPEC_BASES[next];
    if (address === undefined) return failed({ rule: "no_marker" });
    return { kind: "read", address, count: 2, base: next, models: NO_MODELS };
  }
  if (!readable) return failed({ rule: "chain_unreadable", address: step.address });
  const id = words[0]!, length = words[1]!;
  if (id === END_MODEL) return { kind: "done", models: step.models };
  if (step.models.length >= SUNSPEC_MODELS_MAX) return failed({ rule: "too_many_models" });
  const after = step.address + 2 + length;
  if (after + 2 > 0x10000) return failed({ rule: "model_beyond_end", model: id, address: step.address });
  const models = step.models.concat([{ id, address: step.address, length }]);
  return { kind: "read", address: after, count: 2, base: null, models };
}

const failed = (fault: SunSpecFault): SunSpecStep => ({ kind: "fault", fault });

/**
 * Where a point lies on the wire: `offset` counts from the model's ID. The first of the wanted models
 * that the device has counts; null where it has none, or where its model is too short for the point.
 */
export function modelAddress(models: ModelMap, wanted: number | readonly number[], offset: number): number | null {
  for (let i = 0; i < models.length; i++) {
    const model = models[i]!;
    const fits = typeof wanted === "number" ? model.id === wanted : wanted.indexOf(model.id) >= 0;
    if (fits) return offset < model.length + 2 ? model.address + offset : null;
  }
  return null;
}
