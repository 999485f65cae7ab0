import fc from "fast-check";
import { expect, test } from "vitest";
import { derOf } from "../../../hal/moddable/pem.js";

const pem = (der: Uint8Array, end = "\n"): string =>
  `# of the operator${end}-----BEGIN CERTIFICATE-----${end}${Buffer.from(der).toString("base64").replace(/.{64}/g, `$&${end}`)}${end}-----END CERTIFICATE-----${end}`;
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

test("PEM is what Node's base64 makes of it, with either line end; the first of several", () => {
  fc.assert(fc.property(fc.uint8Array({ minLength: 1, maxLength: 400 }), fc.constantFrom("\n", "\r\n"), (der, end) => {
    expect(derOf(bytes(pem(der, end) + pem(Uint8Array.of(1, 2, 3), end)))).toEqual(der);
  }));
});

test("DER is taken as it is, anything else is refused", () => {
  const der = Uint8Array.of(0x30, 0x82, 1, 2);
  expect(derOf(der)).toBe(der);
  for (const wrong of ["", "hello", "-----BEGIN CERTIFICATE-----\nMII", "-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----", "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----"]) expect(derOf(bytes(wrong))).toBeNull();
});
