/** Defects that the rig found, each reduced to a house of its own. */
import { describe, expect, it } from "vitest";
import { encodeToken, newKey } from "../../tools/operator/encode.js";
import { topicOf } from "../../tools/operator/deliver.js";
import { TEST_EAN } from "../helpers/token.js";
import { useHouses } from "../e2e/house.js";

const make = useHouses();

describe("a flood of forged tokens (rig seed 1)", () => {
  it("does not keep the operator out for longer than a few minutes after it ends", () => {
    const house = make();
    house.run(30);
    // Signed by a stranger in the operator's name: only the signature's check can tell.
    const stranger = { ...newKey("operator"), kid: house.key.kid };
    for (let i = 0; i < 300; i++) {
      const token = encodeToken({ aud: `ean:${TEST_EAN}`, seq: house.epoch + 1_000_000 + i, iat: house.epoch, exp: house.epoch + 86_400, events: [] }, stranger);
      house.broker.publish(topicOf(`ean:${TEST_EAN}`), token, { retain: true, expiry: 60 });
      house.run(1);
    }
    house.cap(3_000, 3_600);
    // Three that wait for the signature's check, a minute each, are before it.
    house.until(() => house.status.limits.state === "limited", 480, "the operator is heard");
    expect(house.status.limits.import).toMatchObject({ watts: 3_000, source: "cap" });
  });
});
