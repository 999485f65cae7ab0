/** Waveshare ESP32-S3-Relay-6CH. Each pin's source: README.md. */
import type { BoardDevice } from "../../hal/moddable/esp32/board.js";
import { Digital } from "../../hal/moddable/esp32/digital.js";
import { WiFi } from "../../hal/moddable/esp32/wifi.js";
import { Serial } from "../../hal/moddable/serial.js";

const device: BoardDevice = {
  Serial: {
    p1: { io: Serial, port: 1, receive: 4, invert: true },
    rs485: { io: Serial, port: 2, receive: 18, transmit: 17 },
  },
  Digital: {
    sg1: { io: Digital, pin: 1 },
    sg2: { io: Digital, pin: 2 },
    relay3: { io: Digital, pin: 41 },
    relay4: { io: Digital, pin: 42 },
    relay5: { io: Digital, pin: 45 },
    relay6: { io: Digital, pin: 46 },
  },
  network: { io: WiFi },
};

export default device;
