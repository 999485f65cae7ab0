/* ESP-IDF v6.0.2: only what hal/moddable/native/esp32 uses of queue.h */
#pragma once
#include "freertos/FreeRTOS.h"
typedef struct queue *QueueHandle_t;
BaseType_t xQueueReceive(QueueHandle_t queue, void *buffer, TickType_t wait);
BaseType_t xQueueSend(QueueHandle_t queue, const void *item, TickType_t wait);
