/* ESP-IDF v6.0.2: only what hal/moddable/native/esp32 uses of bootloader_random.h */
#pragma once
void bootloader_random_enable(void);
