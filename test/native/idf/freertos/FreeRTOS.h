/* ESP-IDF v6.0.2: only what hal/moddable/native/esp32 uses of FreeRTOS.h */
#pragma once
#include <stdint.h>
typedef uint32_t TickType_t;
typedef int BaseType_t;
typedef unsigned int UBaseType_t;
typedef struct { uint32_t owner; } portMUX_TYPE;
#define portMAX_DELAY ((TickType_t)0xffffffffu)
#define pdTRUE 1
#define pdPASS 1
#define pdMS_TO_TICKS(ms) ((TickType_t)(ms))
