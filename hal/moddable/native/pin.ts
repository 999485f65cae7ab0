/** Pins of an ESP32 board by their GPIO number: esp32/pin.c. Each throws where the chip refuses. */

/** The pin drives, from its first moment at `level`. */
export function pinOutput(pin: number, level: 0 | 1): void { native<(pin: number, level: 0 | 1) => void>("vangnet_pin_output").call(undefined as never, pin, level); }
export function pinInput(pin: number, pullUp: boolean): void { native<(pin: number, pullUp: boolean) => void>("vangnet_pin_input").call(undefined as never, pin, pullUp); }
export function setPin(pin: number, level: 0 | 1): void { native<(pin: number, level: 0 | 1) => void>("vangnet_pin_set").call(undefined as never, pin, level); }
/** Of an output too: as it is on the pin. */
export function pinLevel(pin: number): 0 | 1 { return native<(pin: number) => 0 | 1>("vangnet_pin_level").call(undefined as never, pin); }
