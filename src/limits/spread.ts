/**
 * Spreading in time and voltage: the same house and event always get the same place, neighbours
 * different ones. 32-bit FNV-1a over both texts, then the finaliser of MurmurHash3, because FNV
 * alone leaves the upper bits of short texts alike.
 */

/** u in [0, 1) as an integer of 1/65,536ths. `serial` and `id` are ASCII. */
export function spread16(serial: string, id: string): number {
  let h = add(add(0x811c9dc5, serial) ^ 0xff, id);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return ((h ^ (h >>> 16)) >>> 16) & 0xffff;
}

/** `span` times u, rounded down; span up to 2^36. */
export function spreadOver(span: number, serial: string, id: string): number {
  return Math.floor((span * spread16(serial, id)) / 65_536);
}

function add(hash: number, text: string): number {
  let h = hash;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ (text.charCodeAt(i) & 0xff), 0x01000193);
  return h;
}
