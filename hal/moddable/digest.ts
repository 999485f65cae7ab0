/** SHA-256 by the SDK's C. */
import { Digest } from "crypt";

export function sha256(data: Uint8Array): Uint8Array {
  const digest = new Digest("SHA256");
  digest.write(data);
  return new Uint8Array(digest.close());
}
