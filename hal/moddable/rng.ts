/**
 * Stands in for the SDK's `rng`, which on Linux draws its seed from rand() without srand(): the same
 * "random" numbers at each boot, and the keys of a TLS session are made of them. It takes the SDK's name, and so imports nothing by a relative path.
 */
const random32 = (): number => native<() => number>("vangnet_random32").call(undefined as never);

const RNG = {
  get(count: number): ArrayBuffer {
    const bytes = new Uint8Array(count);
    let word = 0;
    for (let i = 0; i < count; i++) {
      word = (i & 3) === 0 ? random32() : word >>> 8;
      bytes[i] = word & 0xff;
    }
    return bytes.buffer;
  },
};

export default RNG;
