/**
 * What the services rely on (hal/ecma419.ts), as one suite for hal/node and hal/sim: a service that
 * works in the simulator must meet the same behaviour on real sockets, and the other way round.
 */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { KeyValueStore, Listener, Platform, Stream, StreamCallbacks, TCPStream } from "../../hal/ecma419.js";

export interface Host {
  readonly platform: Platform;
  /** Turns the world until `done`, and fails where that does not come. */
  until(done: () => boolean): Promise<void>;
  /** Long enough for anything that was going to come. */
  quiet(): Promise<void>;
  /** The outside of the pins `virtual:in` and `virtual:out`. */
  readonly pins: { get(name: string): { level: 0 | 1; drive(level: 0 | 1): void; unreadable: boolean } };
  close(): void;
}

const ascii = (text: string) => Uint8Array.from(text, (c) => c.charCodeAt(0));
const textOf = (bytes: ArrayBuffer | undefined) => (bytes === undefined ? "" : String.fromCharCode(...new Uint8Array(bytes)));

/** Keeps what a stream said, in order. */
export function watched(): { callbacks: StreamCallbacks; said: string[]; stream: Stream | null; text: string; free: number } {
  const watch = {
    said: [] as string[],
    stream: null as Stream | null,
    text: "",
    free: 0,
    callbacks: {
      onReadable: (count: number) => {
        watch.said.push("readable");
        expect(count).toBeGreaterThan(0);
        const bytes = watch.stream?.read();
        expect(bytes?.byteLength).toBe(count);
        watch.text += textOf(bytes);
      },
      onWritable: (count: number) => {
        if (!watch.said.includes("writable")) watch.said.push("writable");
        watch.free = count;
      },
      onError: () => { watch.said.push("error"); },
    },
  };
  return watch;
}

export function contract(name: string, make: () => Host): void {
  describe(`${name} keeps the ECMA-419 contract`, () => {
    let host: Host;
    let listener: Listener;
    let accepted: ReturnType<typeof watched>[] = [];
    beforeEach(() => {
      host = make();
      accepted = [];
    });
    afterEach(() => host.close());

    async function listen(): Promise<void> {
      listener = new host.platform.Listener({
        port: 0,
        address: "127.0.0.1",
        onReadable: (count) => {
          for (let i = 0; i < count; i++) {
            const from = listener.read();
            if (!from) return;
            const watch = watched();
            watch.stream = new host.platform.TCP({ from, format: "buffer", ...watch.callbacks });
            accepted.push(watch);
          }
        },
      });
      await host.until(() => listener.port !== 0);
    }

    async function connected() {
      await listen();
      const client = watched();
      client.stream = new host.platform.TCP({ host: "127.0.0.1", port: listener.port, noDelay: true, format: "buffer", ...client.callbacks });
      await host.until(() => client.free > 0 && (accepted[0]?.free ?? 0) > 0);
      return { client, server: accepted[0]! };
    }

    describe("TCP", () => {
      it("says nothing from inside the constructor, and takes no write before onWritable", async () => {
        await listen();
        const client = watched();
        const stream = new host.platform.TCP({ host: "127.0.0.1", port: listener.port, format: "buffer", ...client.callbacks });
        expect(client.said).toEqual([]);
        expect(() => stream.write(ascii("early"))).toThrow();
        await host.until(() => client.free > 0);
        expect(client.said).toEqual(["writable"]);
      });

      it("carries bytes both ways, and names the peer", async () => {
        const { client, server } = await connected();
        client.stream!.write(ascii("ping"));
        await host.until(() => server.text === "ping");
        server.stream!.write(ascii("pong").buffer);
        await host.until(() => client.text === "pong");
        expect((client.stream as TCPStream).remotePort).toBe(listener.port);
        expect((server.stream as TCPStream).remoteAddress).toMatch(/^[0-9a-f.:]+$/);
      });

      it("a caller may use its buffer again after write", async () => {
        const { client, server } = await connected();
        const bytes = ascii("first");
        client.stream!.write(bytes);
        bytes.fill(0x21);
        await host.until(() => server.text.length === 5);
        expect(server.text).toBe("first");
      });

      it("read(n) gives up to n; what stays is announced again only with new bytes", async () => {
        await listen();
        const counts: number[] = [];
        let stream: Stream | null = null;
        const plain = new host.platform.TCP({ host: "127.0.0.1", port: listener.port, format: "buffer", onReadable: (count) => counts.push(count) });
        stream = plain;
        await host.until(() => (accepted[0]?.free ?? 0) > 0);
        accepted[0]!.stream!.write(ascii("abcdef"));
        await host.until(() => counts.length > 0);
        expect(counts).toEqual([6]);
        expect(textOf(stream.read(2))).toBe("ab");
        expect(stream.read(0)).toBeUndefined();
        await host.quiet();
        expect(counts).toEqual([6]);
        accepted[0]!.stream!.write(ascii("g"));
        await host.until(() => counts.length > 1);
        expect(counts).toEqual([6, 5]);
        expect(textOf(stream.read(100))).toBe("cdefg");
        expect(stream.read()).toBeUndefined();
      });

      it("a write of more than was announced throws and sends nothing", async () => {
        const { client, server } = await connected();
        expect(client.free).toBeLessThanOrEqual(16_384);
        expect(() => client.stream!.write(new Uint8Array(client.free + 1))).toThrow();
        client.stream!.write(ascii("x"));
        await host.until(() => server.text !== "");
        await host.quiet();
        expect(server.text).toBe("x");
      });

      it("a peer that does not read stops the writer, and lets it go on when it reads", async () => {
        await listen();
        let free = 0;
        let waiting = 0;
        const sender = new host.platform.TCP({ host: "127.0.0.1", port: listener.port, format: "buffer", onWritable: (count) => { free = count; } });
        const readers: Stream[] = [];
        listener.close();
        listener = new host.platform.Listener({
          port: 0, address: "127.0.0.1",
          onReadable: () => readers.push(new host.platform.TCP({ from: listener.read()!, format: "buffer", onReadable: (count) => { waiting = count; } })),
        });
        await host.until(() => listener.port !== 0);
        sender.close();
        free = 0;
        const slow = new host.platform.TCP({ host: "127.0.0.1", port: listener.port, format: "buffer", onWritable: (count) => { free = count; } });
        await host.until(() => free > 0 && readers.length === 1);
        let sent = 0;
        for (let still = 0; still < 3;) {
          if (free === 0) {
            await host.quiet();
            if (free === 0) still++;
            continue;
          }
          still = 0;
          const count = free;
          free = 0;
          slow.write(new Uint8Array(count).fill(sent & 0xff));
          sent += count;
          expect(sent, "bytes taken from a writer whose peer does not read").toBeLessThan(64 * 1024 * 1024);
          await host.until(() => true);
        }
        expect(() => slow.write(new Uint8Array(1))).toThrow();
        let received = 0;
        await host.until(() => waiting > 0);
        for (let rounds = 0; received < sent && rounds < 10_000; rounds++) {
          const bytes = readers[0]!.read();
          received += bytes?.byteLength ?? 0;
          if (!bytes) await host.quiet();
        }
        expect(received).toBe(sent);
        await host.until(() => free > 0);
      });

      it("what was written before close arrives, then the peer's end, once and last", async () => {
        const { client, server } = await connected();
        server.stream!.write(ascii("last words"));
        server.stream!.close();
        await host.until(() => client.said.includes("error"));
        await host.quiet();
        expect(client.text).toBe("last words");
        expect(client.said.filter((what) => what === "error")).toHaveLength(1);
        expect(client.said.at(-1)).toBe("error");
        expect(() => client.stream!.write(ascii("x"))).toThrow();
      });

      it("close may be repeated; after it no callback comes and write throws", async () => {
        const { client, server } = await connected();
        server.stream!.write(ascii("on its way"));
        client.stream!.close();
        client.stream!.close();
        const said = client.said.length;
        expect(() => client.stream!.write(ascii("x"))).toThrow();
        await host.until(() => server.said.includes("error"));
        await host.quiet();
        expect(client.said).toHaveLength(said);
        expect(client.text).toBe("");
        expect(client.stream!.read()).toBeUndefined();
      });

      it("close inside a callback is the end of it", async () => {
        await listen();
        const said: string[] = [];
        const stream: Stream = new host.platform.TCP({
          host: "127.0.0.1", port: listener.port, format: "buffer",
          onWritable: () => { said.push("writable"); stream.close(); },
          onReadable: () => said.push("readable"),
          onError: () => said.push("error"),
        });
        await host.until(() => said.length > 0);
        await host.quiet();
        expect(said).toEqual(["writable"]);
      });

      it("a refused connection, an unknown host and a port out of range are each one onError, later", async () => {
        await listen();
        const free = listener.port;
        listener.close();
        await host.quiet();
        for (const [target, port] of [["127.0.0.1", free], ["no-such-host.invalid", 80], ["127.0.0.1", 70_000]] as const) {
          const client = watched();
          client.stream = new host.platform.TCP({ host: target, port, format: "buffer", ...client.callbacks });
          expect(client.said).toEqual([]);
          await host.until(() => client.said.length > 0);
          await host.quiet();
          expect(client.said, `${target}:${port}`).toEqual(["error"]);
          client.stream.close();
        }
      });

      it("a connection that waits in the listener keeps its bytes until it is taken", async () => {
        let pending = 0;
        const waiting = new host.platform.Listener({ port: 0, address: "127.0.0.1", onReadable: (count) => { pending = count; } });
        await host.until(() => waiting.port !== 0);
        const client = watched();
        client.stream = new host.platform.TCP({ host: "127.0.0.1", port: waiting.port, format: "buffer", ...client.callbacks });
        await host.until(() => client.free > 0 && pending > 0);
        client.stream.write(ascii("hello"));
        await host.quiet();
        const from = waiting.read()!;
        expect(waiting.read()).toBeUndefined();
        const server = watched();
        server.stream = new host.platform.TCP({ from, format: "buffer", ...server.callbacks });
        expect(server.said).toEqual([]);
        await host.until(() => server.text === "hello");
        expect(() => new host.platform.TCP({ from, format: "buffer" })).toThrow();
        waiting.close();
        waiting.close();
      });

      it("a connection whose peer left while it waited is an onError for who takes it", async () => {
        let pending = 0;
        const waiting = new host.platform.Listener({ port: 0, address: "127.0.0.1", onReadable: (count) => { pending = count; } });
        await host.until(() => waiting.port !== 0);
        const client = watched();
        client.stream = new host.platform.TCP({ host: "127.0.0.1", port: waiting.port, format: "buffer", ...client.callbacks });
        await host.until(() => client.free > 0 && pending > 0);
        client.stream.write(ascii("bye"));
        client.stream.close();
        await host.quiet();
        const server = watched();
        server.stream = new host.platform.TCP({ from: waiting.read()!, format: "buffer", ...server.callbacks });
        await host.until(() => server.said.includes("error"));
        expect(server.text).toBe("bye");
        waiting.close();
      });

      it("a port in use is an onError of the second listener; the first goes on", async () => {
        await listen();
        let failed = false;
        const second = new host.platform.Listener({ port: listener.port, address: "127.0.0.1", onError: () => { failed = true; } });
        expect(failed).toBe(false);
        await host.until(() => failed);
        second.close();
        const client = watched();
        client.stream = new host.platform.TCP({ host: "127.0.0.1", port: listener.port, format: "buffer", ...client.callbacks });
        await host.until(() => client.free > 0);
      });
    });

    describe("Digital", () => {
      it("an output starts at its value, follows write, and reads back", () => {
        const pin = new host.platform.Digital({ pin: "virtual:out", mode: "output", initialValue: 1 });
        expect(host.pins.get("out").level).toBe(1);
        pin.write(0);
        expect([host.pins.get("out").level, pin.read()]).toEqual([0, 0]);
        pin.close();
        pin.close();
        expect(() => pin.write(1)).toThrow();
        expect(host.pins.get("out").level).toBe(0);
      });

      it("active low turns both ways round", () => {
        const pin = new host.platform.Digital({ pin: "virtual:out", mode: "output", activeLow: true, initialValue: 0 });
        expect([host.pins.get("out").level, pin.read()]).toEqual([1, 0]);
        pin.write(1);
        expect([host.pins.get("out").level, pin.read()]).toEqual([0, 1]);
      });

      it("an input tells of changes later, is not written, and throws where it cannot be read", async () => {
        let changes = 0;
        const pin = new host.platform.Digital({ pin: "virtual:in", mode: "input", onReadable: () => { changes++; } });
        host.pins.get("in").drive(1);
        expect(changes).toBe(0);
        await host.until(() => changes === 1);
        expect(pin.read()).toBe(1);
        expect(() => pin.write(0)).toThrow();
        host.pins.get("in").unreadable = true;
        expect(() => pin.read()).toThrow();
        host.pins.get("in").unreadable = false;
        pin.close();
        host.pins.get("in").drive(0);
        await host.quiet();
        expect(changes).toBe(1);
      });
    });

    describe("storage", () => {
      it("keeps values by key and domain, until they are deleted", () => {
        const open = (path: string): KeyValueStore => host.platform.storage.open({ path });
        const store = open("state");
        expect(store.read("a")).toBeUndefined();
        store.write("a", ascii("one"));
        store.write("a", ascii("two").buffer);
        store.write("fifteen_chars__", new Uint8Array(0));
        store.write("../x y.%", ascii("odd"));
        expect(textOf(store.read("a"))).toBe("two");
        expect(store.read("fifteen_chars__")?.byteLength).toBe(0);
        expect(store.keys().sort()).toEqual(["../x y.%", "a", "fifteen_chars__"]);
        expect(open("other").keys()).toEqual([]);
        store.delete("a");
        store.delete("a");
        expect(open("state").read("a")).toBeUndefined();
        expect(textOf(open("state").read("../x y.%"))).toBe("odd");
        expect(() => store.write("sixteen_chars___", ascii("x"))).toThrow();
        expect(() => store.read("")).toThrow();
        store.close();
        store.close();
        expect(() => store.read("a")).toThrow();
      });
    });

    describe("files", () => {
      it("reads, writes, grows, shrinks, moves and deletes", () => {
        const { files } = host.platform;
        expect(() => files.openFile({ path: "log", mode: "r+" })).toThrow();
        const file = files.openFile({ path: "log", mode: "w+" });
        file.write(ascii("hello world"), 0);
        file.write(ascii("W").buffer, 6);
        file.flush();
        expect([file.size(), textOf(file.read(100, 6)), textOf(file.read(2, 0)), file.read(5, 50).byteLength]).toEqual([11, "World", "he", 0]);
        file.setSize(5);
        file.setSize(7);
        expect(textOf(file.read(10, 0))).toBe("hello\0\0");
        file.close();
        file.close();
        files.move("log", "kept");
        expect(files.scan()).toEqual(["kept"]);
        const again = files.openFile({ path: "kept", mode: "r" });
        expect(again.size()).toBe(7);
        expect(() => again.write(ascii("x"), 0)).toThrow();
        again.close();
        expect(() => again.size()).toThrow();
        expect([files.delete("kept"), files.delete("kept"), files.scan()]).toEqual([true, false, []]);
      });

      it("a new file of the same name is empty", () => {
        const { files } = host.platform;
        const first = files.openFile({ path: "log", mode: "w+" });
        first.write(ascii("old"), 0);
        first.close();
        const second = files.openFile({ path: "log", mode: "w+" });
        expect(second.size()).toBe(0);
        second.close();
      });
    });

    describe("timers, clock, crypto", () => {
      it("a timer comes once, a repeated one until it is cleared, and neither before its time", async () => {
        const { timer, monotonic } = host.platform;
        const start = monotonic();
        expect(Number.isInteger(start)).toBe(true);
        let once = 0;
        let often = 0;
        let never = 0;
        const cleared = timer.set(() => never++, 5);
        timer.set(() => { once++; expect(monotonic() - start).toBeGreaterThanOrEqual(19); }, 20);
        const repeated = timer.repeat(() => { if (++often === 3) timer.clear(repeated); }, 10);
        timer.clear(cleared);
        timer.clear(undefined);
        expect(once + often + never).toBe(0);
        await host.until(() => once === 1 && often === 3);
        await host.quiet();
        expect([once, often, never]).toEqual([1, 3, 0]);
      });

      it("random gives 32 bits, unsigned", () => {
        const values = Array.from({ length: 200 }, () => host.platform.random());
        expect(values.every((value) => Number.isInteger(value) && value >= 0 && value < 2 ** 32)).toBe(true);
        expect(new Set(values).size).toBeGreaterThan(190);
        expect(Math.max(...values)).toBeGreaterThan(2 ** 31);
      });

      it("SHA-256 of FIPS 180-2's \"abc\"", () => {
        expect(Buffer.from(host.platform.sha256(ascii("abc"))).toString("hex")).toBe("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
      });

      it("P-256: RFC 6979's signature of \"sample\" verifies, later; anything else does not, and nothing throws", async () => {
        const hexBytes = (text: string) => new Uint8Array(Buffer.from(text, "hex"));
        const key = hexBytes("0460FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB67903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299");
        const good = hexBytes("EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8");
        const message = ascii("sample");
        const changed = good.slice();
        changed[40]! ^= 1;
        const offCurve = key.slice();
        offCurve[64]! ^= 1;
        const cases: [Uint8Array, Uint8Array, Uint8Array][] = [
          [key, message, good], [key, message, changed], [key, ascii("Sample"), good], [offCurve, message, good],
          [key.subarray(1), message, good], [new Uint8Array(65), message, good], [key, message, good.subarray(1)], [key, message, new Uint8Array(0)],
        ];
        const answers: (boolean | null)[] = cases.map(() => null);
        cases.forEach(([publicKey, text, signature], i) => host.platform.verifyP256(publicKey, text, signature, (valid) => { answers[i] = valid; }));
        expect(answers).toEqual(cases.map(() => null));
        await host.until(() => answers.every((answer) => answer !== null));
        expect(answers).toEqual([true, ...Array(cases.length - 1).fill(false)]);
      });
    });
  });
}

export type SerialHost = Pick<Host, "platform" | "until" | "quiet" | "close"> & {
  /** Names of the two ends of one line. */
  readonly line: readonly [string, string];
};

/** For `describe.skipIf`: a real line needs socat. */
export function serialContract(name: string, make: () => SerialHost | Promise<SerialHost>): void {
  describe(name, () => {
    let host: SerialHost;
    beforeEach(async () => { host = await make(); });
    afterEach(() => host.close());

    it("carries bytes both ways, 115200 8N1 and 9600 7E1", async () => {
      const [a, b] = host.line;
      for (const setting of [{ baud: 115_200 }, { baud: 9_600, dataBits: 7, parity: "even" }] as const) {
        const [left, right] = [watched(), watched()];
        left.stream = new host.platform.Serial({ device: a, format: "buffer", ...setting, ...left.callbacks });
        right.stream = new host.platform.Serial({ device: b, format: "buffer", ...setting, ...right.callbacks });
        expect(left.said).toEqual([]);
        expect(() => left.stream!.write(ascii("early"))).toThrow();
        await host.until(() => left.free > 0 && right.free > 0);
        left.stream.write(ascii("/ISk5\\2MT382-1000\r\n\r\n"));
        right.stream.write(ascii("!522B\r\n"));
        await host.until(() => right.text.endsWith("\r\n\r\n") && left.text.endsWith("B\r\n"));
        expect([right.text, left.text]).toEqual(["/ISk5\\2MT382-1000\r\n\r\n", "!522B\r\n"]);
        left.stream.close();
        left.stream.close();
        right.stream.close();
        await host.quiet();
        expect([left.said, right.said].flat()).not.toContain("error");
      }
    });

    it("a device that is not there is one onError, later", async () => {
      const watch = watched();
      watch.stream = new host.platform.Serial({ device: "/dev/no-such-tty", baud: 115_200, format: "buffer", ...watch.callbacks });
      expect(watch.said).toEqual([]);
      await host.until(() => watch.said.length > 0);
      await host.quiet();
      expect(watch.said).toEqual(["error"]);
      watch.stream.close();
    });
  });
}
