/* ESP-IDF v6.0.2: only what hal/moddable/native/esp32 uses of task.h */
#pragma once
#include "freertos/FreeRTOS.h"
typedef struct task *TaskHandle_t;
typedef void (*TaskFunction_t)(void *);
/* In ESP-IDF the depth is in bytes. */
BaseType_t xTaskCreate(TaskFunction_t code, const char *name, uint32_t stackDepth, void *parameters, UBaseType_t priority, TaskHandle_t *created);
void vTaskDelete(TaskHandle_t task);
void vTaskDelay(TickType_t ticks);
TaskHandle_t xTaskGetCurrentTaskHandle(void);
