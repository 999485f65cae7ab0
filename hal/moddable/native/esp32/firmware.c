/*
 * The running image's fate, and the watchdog; see native/firmware.ts.
 *
 * ESP-IDF Programming Guide v6.0, "Over The Air Updates (OTA)", App Rollback: an image starts as
 * PENDING_VERIFY, and every restart before it is marked valid starts the one before it again.
 * "Watchdogs", Task Watchdog Timer: a user is fed by name, apart from the tasks.
 */
#include "xsmc.h"
#include "xsHost.h"
#include "mc.xs.h"

#include "esp_ota_ops.h"
#include "esp_task_wdt.h"

void vangnet_firmware_on_trial(xsMachine *the)
{
	esp_ota_img_states_t state;
	const esp_partition_t *running = esp_ota_get_running_partition();
	xsmcSetBoolean(xsResult, running && esp_ota_get_state_partition(running, &state) == ESP_OK && state == ESP_OTA_IMG_PENDING_VERIFY);
}

void vangnet_firmware_mark_valid(xsMachine *the)
{
	if (esp_ota_mark_app_valid_cancel_rollback() != ESP_OK)
		xsUnknownError("firmware: cannot be marked valid");
}

/* Does not return where there is an image to go back to. */
void vangnet_firmware_roll_back(xsMachine *the)
{
	if (esp_ota_mark_app_invalid_rollback_and_reboot() != ESP_OK)
		xsUnknownError("firmware: nothing to go back to");
}

static esp_task_wdt_user_handle_t tick;

/* (milliseconds): of the chip's one task watchdog, which the machine's loop feeds too. */
void vangnet_watchdog_arm(xsMachine *the)
{
	esp_task_wdt_config_t config = { .timeout_ms = xsmcToInteger(xsArg(0)), .idle_core_mask = 0, .trigger_panic = true };
	if (esp_task_wdt_reconfigure(&config) != ESP_OK || (!tick && esp_task_wdt_add_user("tick", &tick) != ESP_OK))
		xsUnknownError("watchdog");
}

void vangnet_watchdog_feed(xsMachine *the)
{
	(void)the;
	if (tick)
		esp_task_wdt_reset_user(tick);
}
