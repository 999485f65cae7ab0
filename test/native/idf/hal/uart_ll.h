/* ESP-IDF v6.0.2: only what hal/moddable/native/esp32 uses of esp_hal_uart/esp32/include/hal/uart_ll.h */
#pragma once
#include <stdbool.h>
typedef struct uart_dev uart_dev_t;
extern uart_dev_t *uart_dev(int port);
#define UART_LL_GET_HW(port) uart_dev(port)
static inline void uart_ll_discard_error_data(uart_dev_t *hw, bool discard) { (void)hw, (void)discard; }
