/** Wireless-Tag WT32-ETH01, V1.2 to V1.4. Each pin's source: README.md. */
import type { BoardDevice } from "../../hal/moddable/esp32/board.js";
import { Digital } from "../../hal/moddable/esp32/digital.js";
import { Ethernet } from "../../hal/moddable/esp32/ethernet.js";
import { Serial } from "../../hal/moddable/serial.js";

const device: BoardDevice = {
  Serial: {
    p1: { io: Serial, port: 1, receive: 36, invert: true },
    rs485: { io: Serial, port: 2, receive: 5, transmit: 17, direction: 33 },
  },
  Digital: {
    sg1: { io: Digital, pin: 32 },
    sg2: { io: Digital, pin: 4 },
  },
  network: { io: Ethernet },
};

export default device;
