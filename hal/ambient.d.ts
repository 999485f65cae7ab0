/** Present on Node and on XS (text/encoder, text/decoder), and in no ECMAScript library. */
declare class TextEncoder { encode(text: string): Uint8Array<ArrayBuffer> }
declare class TextDecoder { constructor(label?: string, options?: { fatal?: boolean }); decode(bytes: Uint8Array | ArrayBuffer): string }
