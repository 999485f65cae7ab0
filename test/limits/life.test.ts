import { describe, expect, it } from "vitest";
import { nextLife } from "../../src/limits/life.js";
import { capOf, House, siteOf, T0, watts } from "./house.js";

describe("the life of a cap, row by row (CAPS, Life)", () => {
  it("start: the failsafe limit until a valid token, then controlled without a limit", () => {
    const house = new House();
    expect(house.tick().state).toBe("start");
    expect(watts(house.limits.import)).toBe(4_200);
    house.run(60);
    expect(house.limits.state).toBe("start");
    house.tick(house.token([]));
    expect(house.limits.state).toBe("controlled");
    house.runWithLink(400);
    expect(house.limits.import).toMatchObject({ source: "connection", watts: 17_250 });
  });

  it("start: the stored cap where it is lower, the failsafe limit where it is not", () => {
    for (const [stored, expected, source] of [[2_000, 2_000, "cap"], [9_000, 4_200, "start"]] as const) {
      const house = new House();
      house.tick(house.token([capOf({ importLimit: stored, duration: 7_200 })]));
      house.clock = false;
      house.reboot(30);
      expect(house.limits.state).toBe("start");
      expect(house.limits.import).toMatchObject({ watts: expected, source });
    }
  });

  it("start: 120 s without a token lead to failsafe, and not a tick earlier", () => {
    const house = new House();
    house.tick();
    expect(house.run(119).state).toBe("start");
    expect(house.run(1).state).toBe("failsafe");
    expect(watts(house.limits.import)).toBe(4_200);
  });

  it("start -> limited with a token that carries a cap in force", () => {
    const house = new House();
    house.tick(house.token([capOf()]));
    expect(house.limits.state).toBe("limited");
    expect(house.limits.import).toMatchObject({ watts: 2_000, source: "cap", id: "0000aaaa", until: T0 + 3_600 });
  });

  it("controlled -> limited on time, known beforehand; at its end a release and controlled again", () => {
    const house = new House();
    const cap = capOf({ start: T0 + 600, duration: 1_200 });
    house.tick(house.token([cap]));
    expect(house.limits.state).toBe("controlled");
    expect(house.limits.next).toMatchObject({ id: cap.id, start: T0 + 600, end: T0 + 1_800, importLimit: 2_000 });
    house.runWithLink(599, [cap]);
    expect(house.limits.state).toBe("controlled");
    house.runWithLink(1, [cap]);
    expect(house.limits.state).toBe("limited");
    expect(watts(house.limits.import)).toBe(2_000);
    expect(house.limits.next).toBeNull();
    house.runWithLink(1_199, [cap]);
    expect(house.limits.state).toBe("limited");
    house.runWithLink(2, [cap]);
    expect(house.limits.state).toBe("controlled");
    expect(house.limits.import).toMatchObject({ source: "release", watts: 2_000 });
  });

  it("controlled -> failsafe when the link is lost, within a second of exp", () => {
    const house = new House();
    house.tick(house.token([]));
    expect(house.run(899).state).toBe("controlled");
    expect(house.run(1).state).toBe("failsafe");
    expect(watts(house.limits.import)).toBe(4_200);
  });

  it("limited, link lost: the cap in force holds to its own end, then failsafe", () => {
    const house = new House();
    house.tick(house.token([capOf({ importLimit: 8_000, duration: 3_600 })]));
    house.run(3_599);
    expect(house.limits.state).toBe("limited");
    expect(watts(house.limits.import)).toBe(8_000);
    house.run(1);
    expect(house.limits.state).toBe("failsafe");
    expect(watts(house.limits.import)).toBe(4_200);
  });

  it("limited by an export cap alone, link lost: import is under the failsafe limit at once", () => {
    const house = new House();
    house.tick(house.token([capOf({ importLimit: null, exportLimit: 0, duration: 3_600 })]));
    house.run(400);
    expect(watts(house.limits.import)).toBe(17_250);
    house.run(500);
    expect(house.limits.state).toBe("limited");
    expect(watts(house.limits.import)).toBe(4_200);
    expect(watts(house.limits.export)).toBe(0);
  });

  it("failsafe -> autonomous after the failsafe duration; the limit then goes slowly", () => {
    const house = new House();
    house.tick();
    house.run(120);
    expect(house.run(7_199).state).toBe("failsafe");
    expect(house.run(1).state).toBe("autonomous");
    expect(house.limits.import).toMatchObject({ source: "release", watts: 4_200 });
    house.run(5 * 3_600);
    expect(house.limits.import).toMatchObject({ source: "connection" });
  });

  it("autonomous: the static limit where one is set; a valid token ends it", () => {
    const house = new House(siteOf({ autonomousImport: 6_000 }));
    house.tick();
    house.run(120 + 7_200 + 400);
    expect(house.limits.state).toBe("autonomous");
    expect(house.limits.import).toMatchObject({ source: "static", watts: 6_000 });
    house.tick(house.token([]));
    expect(house.limits.state).toBe("controlled");
    expect(watts(house.limits.import)).toBe(6_000);
  });

  it("autonomous -> limited with a token that carries a cap", () => {
    const house = new House();
    house.tick();
    house.run(120 + 7_200 + 5 * 3_600);
    house.tick(house.token([capOf({ start: house.utc, importLimit: 0 })]));
    expect(house.limits.state).toBe("limited");
    expect(watts(house.limits.import)).toBe(0);
  });

  it("a house without operator key is autonomous from the first tick and never in failsafe", () => {
    const house = new House(siteOf({ hasOperator: false }));
    expect(house.tick().state).toBe("autonomous");
    house.run(1_000);
    expect(house.limits.state).toBe("autonomous");
    expect(house.limits.import).toMatchObject({ source: "connection" });
  });

  it("DSMR 4: autonomous without a voltage keeps the static failsafe limit, and says so", () => {
    const house = new House();
    house.voltage = [null, null, null];
    house.tick();
    house.run(120 + 7_200 + 3 * 3_600);
    expect(house.limits.state).toBe("autonomous");
    expect(house.limits.import).toMatchObject({ source: "failsafe", id: "no_voltage", watts: 4_200 });
  });

  it("the failsafe duration stays within 2 to 24 h whatever the site says", () => {
    const at = (duration: number, now: number) => nextLife(
      siteOf({ failsafe: { importLimit: 4_200, exportLimit: null, duration } }),
      { state: "failsafe", since: 0, linkAlive: false, capInForce: false, operatorCap: false }, now);
    expect(at(0, 2 * 3_600_000 - 1)).toBe("failsafe");
    expect(at(0, 2 * 3_600_000)).toBe("autonomous");
    expect(at(1e12, 24 * 3_600_000 - 1)).toBe("failsafe");
    expect(at(1e12, 24 * 3_600_000)).toBe("autonomous");
  });

  it("an installer's test cap binds but is no link: failsafe comes all the same", () => {
    const house = new House();
    house.tick(house.token([]));
    house.run(890);
    house.tick(house.token([capOf({ start: house.utc, duration: 600, importLimit: 9_000 })], { role: "installer", kid: "02", exp: house.utc + 600 }));
    expect(watts(house.limits.import)).toBe(9_000);
    house.run(10);
    expect(house.limits.state).toBe("failsafe");
    expect(watts(house.limits.import)).toBe(4_200);
  });
});

describe("tokens carry state", () => {
  it("a missing event is cancelled, an empty list is no cap, of two audiences the strictest binds", () => {
    const house = new House();
    const a = capOf({ id: "aaaaaaaa", importLimit: 3_000, release: 0 });
    const b = capOf({ id: "bbbbbbbb", importLimit: 5_000, release: 0 });
    house.tick(house.token([a, b]), house.token([capOf({ id: "cccccccc", importLimit: 2_500, release: 0 })], { aud: "msr:MSR1" }));
    expect(house.limits.import).toMatchObject({ watts: 2_500, id: "cccccccc" });
    house.pass(1);
    house.tick(house.token([], { aud: "msr:MSR1" }));
    expect(house.limits.import).toMatchObject({ watts: 2_500, source: "release" });
    house.run(400);
    expect(house.limits.import).toMatchObject({ watts: 3_000, id: "aaaaaaaa" });
    house.tick(house.token([b]));
    house.run(400);
    expect(house.limits.import).toMatchObject({ watts: 5_000, id: "bbbbbbbb" });
    house.tick(house.token([]));
    expect(house.limits.import).toMatchObject({ source: "connection" });
    expect(house.events.filter((e) => e.kind === "cap_cancelled")).toHaveLength(3);
  });

  it("an older token changes nothing", () => {
    const house = new House();
    const old = house.token([]);
    house.tick(house.token([capOf()]));
    const before = house.state.links;
    house.tick(old);
    expect(house.state.links).toBe(before);
    expect(house.events.at(-1)).toMatchObject({ kind: "token", effect: "old" });
  });

  it("an event with null in both directions limits nothing", () => {
    const house = new House();
    house.tick(house.token([capOf({ importLimit: null })]));
    expect(house.limits.state).toBe("controlled");
  });

  it("emergency is reported while such an event is in force", () => {
    const house = new House();
    house.tick(house.token([capOf({ emergency: true, duration: 60 })]));
    expect(house.limits.emergency).toBe(true);
    house.run(61);
    expect(house.limits.emergency).toBe(false);
  });
});

describe("clock jumps", () => {
  it("a jump forward within the trust does not end a cap early", () => {
    const house = new House();
    house.tick(house.token([capOf({ duration: 3_600 })], { exp: T0 + 30 * 86_400 }));
    house.run(60);
    house.utc += 7_200;
    house.tick();
    expect(watts(house.limits.import)).toBe(2_000);
    house.run(3_600 - 61);
    expect(house.limits.import).toMatchObject({ source: "cap" });
    house.run(1);
    expect(house.limits.import).toMatchObject({ source: "release" });
  });

  it("a jump back before its start does not delay a cap", () => {
    const house = new House();
    house.tick(house.token([capOf({ start: T0 + 600 })], { exp: T0 + 86_400 }));
    house.utc -= 3_600;
    house.run(600);
    expect(house.limits.import).toMatchObject({ source: "cap", watts: 2_000 });
  });

  it("a clock set back while a cap is in force does not end it before the clock says so", () => {
    const house = new House();
    house.tick(house.token([capOf({ duration: 3_600 })], { exp: T0 + 86_400 }));
    house.run(600);
    house.utc -= 1_200;
    house.run(3_000 + 1_199);
    expect(house.limits.import).toMatchObject({ source: "cap" });
    house.run(1);
    expect(house.limits.import).toMatchObject({ source: "release" });
  });

  it("with the clock lost a cap in force runs by monotonic time to its own end", () => {
    const house = new House();
    house.tick(house.token([capOf({ duration: 600 })]));
    house.clock = false;
    house.run(599);
    expect(house.limits.import).toMatchObject({ source: "cap" });
    house.run(1);
    expect(house.limits.import).toMatchObject({ source: "release" });
    expect(house.kinds()).toContain("clock");
  });

  it("without a trusted clock only tightening is accepted; what was said is taken over once it is trusted", () => {
    const house = new House();
    house.tick(house.token([capOf({ importLimit: 3_000, duration: 7_200, release: 0 })]));
    house.clock = false;
    house.pass(1);
    house.tick(house.token([]));
    expect(watts(house.limits.import)).toBe(3_000);
    house.tick(house.token([capOf({ importLimit: 1_000, duration: 7_200, release: 0 })]));
    expect(watts(house.limits.import)).toBe(1_000);
    house.tick(house.token([capOf({ importLimit: 6_000, duration: 7_200, release: 0 })]));
    expect(watts(house.limits.import)).toBe(1_000);
    house.clock = true;
    house.run(400);
    expect(house.limits.import).toMatchObject({ watts: 6_000, source: "cap" });
  });

  it("a word that came without a clock and has expired by the time it is trusted relaxes nothing", () => {
    const house = new House();
    house.tick(house.token([capOf({ importLimit: 3_000, duration: 7_200 })]));
    house.clock = false;
    house.tick(house.token([], { exp: house.utc + 60 }));
    house.run(600);
    house.clock = true;
    house.run(60);
    expect(house.limits.import).toMatchObject({ watts: 3_000, source: "cap" });
  });

  it("a cap that is only counted from its arrival holds no failsafe off", () => {
    const house = new House();
    house.tick(house.token([], { exp: T0 + 120 }));
    house.clock = false;
    house.tick(house.token([capOf({ importLimit: 9_000 })]));
    house.run(119);
    expect(watts(house.limits.import)).toBe(9_000);
    house.run(1);
    expect(house.limits.state).toBe("failsafe");
    expect(watts(house.limits.import)).toBe(4_200);
  });

  it("without a clock since boot a token never ends start or failsafe, and its cap counts from arrival", () => {
    const house = new House(siteOf(), T0 + 1_000_000);
    house.clock = false;
    house.tick();
    house.tick(house.token([capOf({ start: T0, duration: 600, importLimit: 1_000 })], { iat: T0 - 60, exp: T0 + 900 }));
    expect(house.limits.state).toBe("start");
    expect(watts(house.limits.import)).toBe(1_000);
    house.run(599);
    expect(watts(house.limits.import)).toBe(1_000);
    expect(house.limits.state).toBe("failsafe");
    house.run(4_000);
    expect(house.limits.state).toBe("failsafe");
    expect(watts(house.limits.import)).toBe(4_200);
  });
});
