/* ESP-IDF v6.0.2: only what hal/moddable/native/esp32 uses of esp_timer.h */
#pragma once
#include <stdint.h>
int64_t esp_timer_get_time(void);
