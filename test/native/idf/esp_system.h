/* ESP-IDF v6.0.2: only what hal/moddable/native/esp32 uses of esp_system.h */
#pragma once
void esp_restart(void) __attribute__((noreturn));
