/*
 * Pins of the ESP32 boards; see native/pin.ts. The SDK's Digital cannot read an output back, and
 * makes an input with a pull-up of each pin it closes: a relay could move.
 *
 * ESP-IDF Programming Guide v6.0, "GPIO & RTC GPIO": gpio_config; GPIO_MODE_INPUT_OUTPUT is what
 * lets gpio_get_level see the level of an output.
 */
#include "xsmc.h"
#include "xsHost.h"
#include "mc.xs.h"

#include "driver/gpio.h"

/* (pin, level): the level is there before the pin drives, so that no contact sees a pulse. */
void vangnet_pin_output(xsMachine *the)
{
	int pin = xsmcToInteger(xsArg(0));
	if (!GPIO_IS_VALID_OUTPUT_GPIO(pin))
		xsRangeError("pin: not an output of this chip");
	gpio_config_t config = { .pin_bit_mask = 1ULL << pin, .mode = GPIO_MODE_INPUT_OUTPUT, .intr_type = GPIO_INTR_DISABLE };
	if (gpio_set_level(pin, xsmcToInteger(xsArg(1)) ? 1 : 0) != ESP_OK || gpio_config(&config) != ESP_OK)
		xsUnknownError("pin: refused");
}

/* (pin, pullUp) */
void vangnet_pin_input(xsMachine *the)
{
	int pin = xsmcToInteger(xsArg(0));
	int pull = xsmcTest(xsArg(1));
	if (!GPIO_IS_VALID_GPIO(pin) || (pull && !GPIO_IS_VALID_OUTPUT_GPIO(pin)))
		xsRangeError("pin: not an input of this chip, or without a pull-up");
	gpio_config_t config = {
		.pin_bit_mask = 1ULL << pin, .mode = GPIO_MODE_INPUT, .pull_up_en = pull ? GPIO_PULLUP_ENABLE : GPIO_PULLUP_DISABLE,
		.intr_type = GPIO_INTR_DISABLE,
	};
	if (gpio_config(&config) != ESP_OK)
		xsUnknownError("pin: refused");
}

void vangnet_pin_set(xsMachine *the)
{
	if (gpio_set_level(xsmcToInteger(xsArg(0)), xsmcToInteger(xsArg(1)) ? 1 : 0) != ESP_OK)
		xsUnknownError("pin: refused");
}

void vangnet_pin_level(xsMachine *the)
{
	xsmcSetInteger(xsResult, gpio_get_level(xsmcToInteger(xsArg(0))));
}
