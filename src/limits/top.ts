import { NOMINAL_MV, type Site } from "../site.js";
import type { Watts } from "../units.js";
import type { Scope } from "./event.js";
import { ratedConsumption, ratedProduction } from "./par14a.js";

/** The power at which a release has nothing left to give. It is where a ramp ends, never a limit. */
export function topOf(site: Site, scope: Scope): Watts {
  const { connection } = site;
  const fuse = Math.floor((connection.fuse * connection.phases * (NOMINAL_MV / 1_000)) / 1_000);
  switch (scope) {
    case "import": return connection.importMax ?? fuse;
    case "export": return connection.exportMax ?? fuse;
    case "controllable": return sumRated(site, ratedConsumption);
    case "production": return sumRated(site, ratedProduction);
  }
}

function sumRated(site: Site, rated: (device: Site["devices"][number]) => Watts): Watts {
  let sum = 0;
  for (const device of site.devices) sum += rated(device);
  return sum;
}
