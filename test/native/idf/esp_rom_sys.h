/* ESP-IDF v6.0.2: only what hal/moddable/native/esp32 uses of esp_rom_sys.h */
#pragma once
int esp_rom_printf(const char *format, ...);
