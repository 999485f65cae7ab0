/*
 * The native odds and ends of the ESP32 boards; see native/host.ts.
 *
 * ESP-IDF Programming Guide v6.0: "ESP Timer" (esp_timer_get_time: microseconds since start, never
 * set back), "Random Number Generation" (esp_random is only as good as a source of noise: the radio,
 * or bootloader_random_enable where no radio is on and nothing else uses the ADC), "ESP-NETIF: SNTP".
 */
#include "xsmc.h"
#include "xsHost.h"
#include "mc.xs.h"
#include "mc.defines.h"

#include "bootloader_random.h"
#include "esp_netif_sntp.h"
#include "esp_random.h"
#include "esp_rom_sys.h"
#include "esp_system.h"
#include "esp_timer.h"

void vangnet_monotonic_ms(xsMachine *the)
{
	xsmcSetNumber(xsResult, (double)(esp_timer_get_time() / 1000));
}

void vangnet_random32(xsMachine *the)
{
#if MODDEF_VANGNET_NOISE
	static uint8_t started;
	if (!started) {
		bootloader_random_enable();
		started = 1;
	}
#endif
	xsmcSetNumber(xsResult, (double)esp_random());
}

/* littlefs writes its metadata through: a rename is durable when it returns. */
void vangnet_sync_directory(xsMachine *the)
{
	(void)the;
}

void vangnet_ntp_start(xsMachine *the)
{
	/* lwIP keeps the pointer. */
	static char server[64];
	if (server[0])
		return;
	xsmcToStringBuffer(xsArg(0), server, sizeof(server));
	esp_sntp_config_t config = ESP_NETIF_SNTP_DEFAULT_CONFIG(server);
	config.wait_for_sync = false;
	if (esp_netif_sntp_init(&config) != ESP_OK)
		xsUnknownError("ntp");
}

void vangnet_restart(xsMachine *the)
{
	(void)the;
	esp_restart();
}

/* Straight to the UART of the console: bounded, and there before any driver is. */
void vangnet_write_line(xsMachine *the)
{
	char line[160];
	c_strncpy(line, xsmcToString(xsArg(0)), sizeof(line) - 1);
	line[sizeof(line) - 1] = 0;
	esp_rom_printf("%s\n", line);
}
