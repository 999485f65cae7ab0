/* ESP-IDF v6.0.2: only what hal/moddable/native/esp32 uses of esp_random.h */
#pragma once
#include <stdint.h>
uint32_t esp_random(void);
