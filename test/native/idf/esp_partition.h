/* ESP-IDF v6.0.2: only what hal/moddable/native/esp32 uses of esp_partition.h */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "esp_err.h"
typedef struct { uint32_t size; } esp_partition_t;
esp_err_t esp_partition_read(const esp_partition_t *partition, size_t offset, void *data, size_t size);
