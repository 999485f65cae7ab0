/** Runs of a property: the small number of a change, or VANGNET_RUNS times as many for a release. */
export const runs = (count: number): number => count * Number(process.env["VANGNET_RUNS"] ?? 1);
