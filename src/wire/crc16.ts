/**
 * CRC-16 with the reflected polynomial 0xA001: P1 telegrams start at 0 (CRC-16/ARC), Modbus RTU at
 * 0xFFFF. And CRC-16/X-25, only to say what a telegram with another meter's idea of a CRC carries.
 */
const TABLE = makeTable();

function makeTable(): Uint16Array {
  const table = new Uint16Array(256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >> 1) ^ 0xa001 : crc >> 1;
    table[byte] = crc;
  }
  return table;
}

/** Over `bytes[start … end - 1]`. `initial`: 0 for P1, 0xFFFF for Modbus RTU. */
export function crc16(bytes: Uint8Array, start: number, end: number, initial: number): number {
  const table = TABLE;
  let crc = initial;
  for (let i = start; i < end; i++) crc = (crc >> 8) ^ table[(crc ^ bytes[i]!) & 0xff]!;
  return crc;
}

/** CRC-16/X-25 (reflected 0x8408, initial and final 0xFFFF). Bit by bit: it runs on failures only. */
export function crcX25(bytes: Uint8Array, start: number, end: number): number {
  let crc = 0xffff;
  for (let i = start; i < end; i++) {
    crc ^= bytes[i]!;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >> 1) ^ 0x8408 : crc >> 1;
  }
  return crc ^ 0xffff;
}
