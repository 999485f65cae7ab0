import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Stream } from "../../../hal/ecma419.js";
import { sha256, verifyP256Sync } from "../../../hal/node/crypto.js";
import { EventQueue } from "../../../hal/sim/event_queue.js";
import { Random } from "../../../hal/sim/random.js";
import { SimWorld, type SimOptions } from "../../../hal/sim/world.js";

const make = (seed = 1, options: Partial<SimOptions> = {}) => new SimWorld({ seed, crypto: { sha256, verifyP256: verifyP256Sync }, ...options });
const ascii = (text: string) => Uint8Array.from(text, (c) => c.charCodeAt(0));
const textOf = (bytes: ArrayBuffer | undefined) => Buffer.from(bytes ?? new ArrayBuffer(0)).toString("latin1");

describe("EventQueue", () => {
  it("gives events by time, and within one time in the order in which they were added", () => {
    fc.assert(fc.property(fc.array(fc.nat(20)), (times) => {
      const queue = new EventQueue();
      times.forEach((time, i) => queue.add(time, () => i));
      const taken: [number, number][] = [];
      for (let event = queue.take(); event; event = queue.take()) taken.push([event.time, event.order]);
      const expected = times.map((time, i): [number, number] => [time, i]).sort((a, b) => a[0] - b[0] || a[1] - b[1]);
      expect(taken).toEqual(expected);
    }));
  });
});

describe("Random", () => {
  it("is the same sequence for a seed, and spread evenly", () => {
    const [a, b, c] = [new Random(7), new Random(7), new Random(8)];
    const first = Array.from({ length: 50 }, () => a.u32());
    expect(Array.from({ length: 50 }, () => b.u32())).toEqual(first);
    expect(Array.from({ length: 50 }, () => c.u32())).not.toEqual(first);
    const counts = new Array<number>(10).fill(0);
    for (let i = 0; i < 10_000; i++) counts[a.below(10)]!++;
    expect(Math.min(...counts)).toBeGreaterThan(850);
    expect(Math.max(...counts)).toBeLessThan(1_150);
  });
});

/** A world with some of everything, told as the lines that it said. */
function story(seed: number): string[] {
  const world = make(seed, { latencyMs: 5 });
  const told: string[] = [];
  const tell = (line: string) => told.push(`${world.now} ${line}`);
  world.link("home", "operator").jitterMs = 40;
  const home = world.platform("home");
  const operator = world.platform("operator");
  const listener = new operator.Listener({
    port: 1883,
    onReadable: () => {
      const stream = new operator.TCP({ from: listener.read()!, format: "buffer", onReadable: () => { const text = textOf(stream.read()); tell(`operator ${text}`); stream.write(ascii(text)); } });
    },
  });
  let sent = 0;
  let alive = true;
  const client: Stream = new home.TCP({
    host: "operator", port: 1883, format: "buffer",
    onReadable: () => tell(`home ${textOf(client.read())}`),
    onError: (error) => {
      alive = false;
      tell(String(error));
    },
  });
  home.timer.repeat(() => { if (alive && world.now > 200) client.write(ascii(`m${sent++} ${home.random() & 255}`)); }, 77);
  world.serialPair("/dev/p1", "/dev/meter");
  const meter: Stream = new operator.Serial({ device: "/dev/meter", baud: 9_600, format: "buffer" });
  const port: Stream = new home.Serial({ device: "/dev/p1", baud: 115_200, format: "buffer", onReadable: () => tell(`noise ${textOf(port.read()).length}`) });
  operator.timer.set(() => meter.write(ascii("/telegram")), 300);
  world.run(1_500);
  world.cutConnections("home", "operator");
  home.timer.repeat(() => {}, 1);
  world.run(1_600);
  return told;
}

describe("SimWorld", () => {
  it("is the same world again for the same seed, and another for another", () => {
    expect(story(5)).toEqual(story(5));
    expect(story(5)).not.toEqual(story(6));
    expect(story(5).length).toBeGreaterThan(30);
  });

  it("virtual time: 30 days of a one-second timer at once, and the clocks agree", () => {
    const world = make();
    const home = world.platform("home");
    let ticks = 0;
    home.timer.repeat(() => ticks++, 1_000);
    const start = home.networkTime()!;
    world.run(30 * 86_400_000);
    expect(ticks).toBe(30 * 86_400);
    expect([home.monotonic(), home.networkTime()! - start]).toEqual([30 * 86_400_000, 30 * 86_400]);
    home.time = () => world.epochSeconds() - 3_600;
    expect(home.networkTime()).toBe(world.epochSeconds() - 3_600);
    home.time = null;
    expect(home.networkTime()).toBeNull();
  });

  it("an exception in a callback is not swallowed", () => {
    const world = make();
    world.platform("home").timer.set(() => { throw new Error("bug"); }, 5);
    expect(() => world.run(10)).toThrow("bug");
  });

  describe("network", () => {
    function pair(world = make(1, { latencyMs: 10 })) {
      const [home, operator] = [world.platform("home"), world.platform("operator")];
      const said: string[] = [];
      const server: { stream: Stream | null } = { stream: null };
      const listener = new operator.Listener({
        port: 1883,
        onReadable: () => {
          const stream: Stream = new operator.TCP({
            from: listener.read()!, format: "buffer",
            onReadable: () => said.push(`${world.now} server ${textOf(stream.read())}`),
            onError: () => said.push(`${world.now} server error`),
          });
          server.stream = stream;
        },
      });
      const client: Stream = new home.TCP({
        host: "operator", port: 1883, format: "buffer",
        onWritable: () => { if (said.length === 0) said.push(`${world.now} client writable`); },
        onReadable: () => said.push(`${world.now} client ${textOf(client.read())}`),
        onError: (error) => said.push(`${world.now} client ${(error as Error).message}`),
      });
      world.run(100);
      return { world, home, operator, said, client, server };
    }

    it("takes its latency", () => {
      const { world, said, client } = pair();
      client.write(ascii("x"));
      world.run(200);
      expect(said).toEqual(["20 client writable", "110 server x"]);
    });

    it("a link that is down holds what is sent until it is up, in order", () => {
      const { world, said, client } = pair();
      world.link("operator", "home").up = false;
      client.write(ascii("a"));
      world.run(5_000);
      client.write(ascii("b"));
      world.run(60_000);
      expect(said).toHaveLength(1);
      world.link("home", "operator").up = true;
      world.run(61_000);
      expect(said.slice(1).map((line) => line.split(" ").slice(1).join(" ")).join("")).toMatch(/^server a(server )?b$/);
    });

    it("a connection over a link that is down times out", () => {
      const { world, home } = pair();
      world.link("home", "operator").up = false;
      let failed = 0;
      new home.TCP({ host: "operator", port: 1883, format: "buffer", onError: () => { failed = world.now; } });
      world.run(60_000);
      expect(failed).toBe(100 + world.connectTimeoutMs);
    });

    it("cut connections are reset on both sides", () => {
      const { world, said } = pair();
      world.cutConnections("operator", "home");
      world.run(200);
      expect(said.slice(1).sort()).toEqual(["100 client connection reset", "100 server error"]);
    });

    it("a peer that lost its power says nothing; the next byte to it brings a reset", () => {
      const { world, said, client, operator } = pair();
      operator.reboot();
      world.run(10_000);
      expect(said).toHaveLength(1);
      client.write(ascii("still there?"));
      world.run(11_000);
      expect(said.slice(1)).toEqual(["10020 client connection reset by the peer"]);
    });

    it("a tamper hook sees and changes what passes", () => {
      const { world, said, client } = pair();
      world.link("home", "operator").tamper = (bytes, from) => (from === "home" ? bytes.map((byte) => byte ^ 0x20) : null);
      client.write(ascii("abc"));
      world.run(200);
      expect(said[1]).toBe("110 server ABC");
    });

    it("host names and addresses find the platform", () => {
      const { world, home, operator } = pair();
      world.name("broker.example", "operator");
      let connected = 0;
      for (const host of ["operator", "broker.example", operator.address, "127.0.0.1", "localhost"]) {
        new home.TCP({ host, port: 1883, format: "buffer", onWritable: () => connected++ });
      }
      world.run(1_000);
      expect(connected).toBe(5);
    });
  });

  describe("serial lines", () => {
    function line(left: { baud: number; dataBits?: 7 | 8; parity?: "none" | "even" | "odd" }, right: typeof left, fifo: number | null = 4_096) {
      const world = make();
      const [home, meter] = [world.platform("home"), world.platform("meter")];
      const ends = world.serialPair("/dev/meter", "/dev/p1");
      ends.b.fifoBytes = fifo;
      let at = 0;
      let count = 0;
      const sender: Stream = new meter.Serial({ device: "/dev/meter", format: "buffer", ...left });
      const receiver: Stream = new home.Serial({ device: "/dev/p1", format: "buffer", ...right, onReadable: (n) => { at = world.now; count = n; } });
      world.run(10);
      return { world, ends, sender, receiver, home, last: () => ({ at, count }) };
    }

    it("take the time that the baud rate gives: 800 bytes are 70 ms at 115200 8N1 and 834 ms at 9600 7E1", () => {
      for (const [setting, ms] of [[{ baud: 115_200 }, 70], [{ baud: 9_600, dataBits: 7, parity: "even" }, 834]] as const) {
        const { world, sender, receiver, last } = line(setting, setting);
        sender.write(new Uint8Array(800).fill(0x41));
        world.run(10 + ms / 2);
        expect(last().count).toBeGreaterThan(350);
        expect(last().count).toBeLessThan(450);
        world.run(10 + ms - 1);
        expect(last().count).toBeLessThan(800);
        world.run(2_000);
        expect(last()).toEqual({ at: 10 + ms, count: 800 });
        expect(textOf(receiver.read())).toBe("A".repeat(800));
      }
    });

    it("a FIFO that nobody empties overruns, and says how much it lost", () => {
      const { world, ends, sender, receiver } = line({ baud: 115_200 }, { baud: 115_200 }, 128);
      sender.write(new Uint8Array(1_000));
      world.run(2_000);
      expect(receiver.read()?.byteLength).toBe(128);
      expect(ends.b.overruns).toBe(872);
    });

    it("another baud rate is noise", () => {
      const { world, sender, receiver } = line({ baud: 115_200 }, { baud: 9_600, dataBits: 7, parity: "even" });
      sender.write(ascii("/ISk5\\2MT382-1000 and more of it"));
      world.run(2_000);
      const noise = textOf(receiver.read());
      expect(noise.length).toBeGreaterThan(0);
      expect(noise).not.toContain("ISk5");
    });

    it("7E1 read as 8N1 shows the parity as bit 7; 8N1 read as 7E1 loses the characters with wrong parity", () => {
      const seven = { baud: 9_600, dataBits: 7, parity: "even" } as const;
      const a = line(seven, { baud: 9_600 });
      a.sender.write(ascii("AC"));
      a.world.run(2_000);
      expect([...new Uint8Array(a.receiver.read()!)]).toEqual([0x41, 0xc3]);
      const b = line({ baud: 9_600 }, seven);
      b.sender.write(ascii("ABCD"));
      b.world.run(2_000);
      expect(textOf(b.receiver.read())).toBe("ABD");
    });

    it("a pulled cable is an onError, and the device opens again when it is back", () => {
      const { world, ends, home } = line({ baud: 115_200 }, { baud: 115_200 });
      let errors = 0;
      ends.b.opened?.close();
      const first = new home.Serial({ device: "/dev/p1", baud: 115_200, format: "buffer", onError: () => errors++ });
      world.run(20);
      ends.b.plugged = false;
      world.run(30);
      first.close();
      new home.Serial({ device: "/dev/p1", baud: 115_200, format: "buffer", onError: () => errors++ }).close();
      const without = new home.Serial({ device: "/dev/p1", baud: 115_200, format: "buffer", onError: () => errors++ });
      world.run(40);
      expect(errors).toBe(2);
      without.close();
      ends.b.plugged = true;
      let open = false;
      new home.Serial({ device: "/dev/p1", baud: 115_200, format: "buffer", onWritable: () => { open = true; } });
      world.run(50);
      expect(open).toBe(true);
    });
  });

  describe("power", () => {
    it("a reboot ends streams, timers and outputs; storage stays, and main runs again", () => {
      const world = make();
      const home = world.platform("home");
      world.serialPair("/dev/a", "/dev/b");
      let boots = 0;
      let ticks = 0;
      const calls: string[] = [];
      home.main = () => {
        boots++;
        const store = home.storage.open({ path: "state" });
        store.write("boots", Uint8Array.of((new Uint8Array(store.read("boots") ?? new ArrayBuffer(1))[0] ?? 0) + 1));
        home.timer.repeat(() => ticks++, 100);
        new home.Digital({ pin: "relay", mode: "output", initialValue: 1 });
        new home.Serial({ device: "/dev/a", baud: 9_600, format: "buffer", onError: () => calls.push("serial error") });
        new home.Listener({ port: 80, onError: () => calls.push("port in use") });
      };
      home.boot();
      world.run(1_050);
      expect([boots, ticks, world.pin("home", "relay").level]).toEqual([1, 10, 1]);
      home.cutPower();
      expect(world.pin("home", "relay").level).toBe(0);
      world.run(5_000);
      expect(ticks).toBe(10);
      world.reboot("home");
      expect(home.monotonic()).toBe(0);
      world.run(5_250);
      expect([boots, ticks, world.pin("home", "relay").level, calls]).toEqual([2, 12, 1, []]);
      expect(new Uint8Array(home.storage.open({ path: "state" }).read("boots")!)[0]).toBe(2);
    });

    it("a cut tears what was not flushed, never what was", () => {
      fc.assert(fc.property(fc.integer(), fc.nat(200), fc.array(fc.nat(60), { maxLength: 6 }), (seed, flushed, later) => {
        const home = make(seed).platform("home");
        const file = home.files.openFile({ path: "log", mode: "w+" });
        file.write(new Uint8Array(flushed).fill(1), 0);
        file.flush();
        let size = flushed;
        for (const length of later) {
          file.write(new Uint8Array(length).fill(2), size);
          size += length;
        }
        home.reboot();
        const after = home.files.get("log")!;
        expect(after.length).toBeGreaterThanOrEqual(flushed);
        expect(after.length).toBeLessThanOrEqual(size);
        expect([...after.subarray(0, flushed)].every((byte) => byte === 1)).toBe(true);
        expect(Buffer.from(after.subarray(flushed)).toString("latin1")).toMatch(/^\x02*\0*$/);
      }));
    });

    it("code that goes on after the cut does nothing any more", () => {
      const world = make();
      const home = world.platform("home");
      const relay = new home.Digital({ pin: "relay", mode: "output" });
      const store = home.storage.open({ path: "state" });
      let later = 0;
      home.power.cutAtWrite = 1;
      home.timer.set(() => {
        try {
          store.write("a", Uint8Array.of(1));
        } catch {
          home.timer.set(() => later++, 10);
          relay.write(1);
        }
      }, 5);
      world.run(100);
      world.reboot("home");
      world.run(1_000);
      expect([later, world.pin("home", "relay").level]).toEqual([0, 0]);
    });

    it("a stuck pin takes writes and stays; an unwritable one throws", () => {
      const world = make();
      const relay = new (world.platform("home").Digital)({ pin: 3, mode: "output" });
      const pin = world.pin("home", 3);
      pin.stuck = true;
      relay.write(1);
      expect(relay.read()).toBe(0);
      pin.stuck = false;
      pin.unwritable = true;
      expect(() => relay.write(1)).toThrow();
    });
  });
});
