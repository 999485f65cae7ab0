/* ESP-IDF v6.0.2: only what hal/moddable/native/esp32 uses of esp_err.h */
#pragma once
typedef int esp_err_t;
#define ESP_OK 0
