/*
 * The UART of the ESP32 boards, over the IDF's driver. The twin of native/lin/uart.c; both stand
 * behind native/uart.ts.
 *
 * ESP-IDF Programming Guide v6.0, "Universal Asynchronous Receiver/Transmitter (UART)": driver
 * installation and event queue, uart_set_line_inverse, uart_set_mode (RS485 half duplex: the driver
 * works the direction pin, RTS, itself). ESP32 Technical Reference Manual, UART_CONF0_REG: bit
 * UART_ERR_WR_MASK.
 *
 *   FIFO → (interrupt) → ring of RECEIVE_BYTES → events → watch() → message → deliver() → callback
 *
 * A driver is installed once for each port, and stays, with one task that watches its events. The
 * object that was opened last owns the port: opening again takes it over, so that a line may be
 * opened with another setting before the old object is closed. At most one message of a port is in
 * the machine's queue at any time, and it is posted by a task, which can wait, never by an
 * interrupt, which cannot: a full queue delays a callback and loses none.
 */
#include "xsmc.h"
#include "xsHost.h"
#include "mc.xs.h"

#include "driver/uart.h"
#include "freertos/FreeRTOS.h"
#include "freertos/queue.h"
#include "freertos/task.h"
#include "hal/uart_ll.h"

#define RECEIVE_BYTES 4096
/* Twice what is announced as free, and more: the ring keeps a header with each piece, and a piece in
   one part; uart_write_bytes would wait for room, and the machine with it. */
#define TRANSMIT_RING_BYTES 2048
#define TRANSMIT_BYTES 512
#define EVENTS 20
#define TASK_STACK_BYTES 2560
/* Above the machine's task, which is 4 (build/devices/esp32/lib/main). */
#define TASK_PRIORITY 6
#define POLL_MS 4

enum { READABLE = 1, WRITABLE = 2 };

typedef struct {
	xsMachine *the;
	xsSlot object;
	xsSlot *onReadable;
	xsSlot *onWritable;
	uart_port_t port;
	uint32_t waiting;
} UART;

typedef struct {
	QueueHandle_t events;
	xsMachine *the;
	/* Only the machine's task touches it. */
	UART *owner;
	/* What a message under way will tell: 0 = no message is under way. */
	uint8_t news;
	uint8_t sending;
} Port;

static Port ports[UART_NUM_MAX];

void vangnet_uart_destructor(void *data);
static void vangnet_uart_mark(xsMachine *the, void *it, xsMarkRoot markRoot);
static void watch(void *refcon);
static void deliver(void *the, void *refcon, uint8_t *message, uint16_t messageLength);

static const xsHostHooks hooks = { vangnet_uart_destructor, vangnet_uart_mark, NULL };

void vangnet_uart_destructor(void *data)
{
	UART *uart = data;
	if (!uart)
		return;
	if (ports[uart->port].owner == uart) {
		ports[uart->port].owner = NULL;
		uart_flush_input(uart->port);
	}
	c_free(uart);
}

static void vangnet_uart_mark(xsMachine *the, void *it, xsMarkRoot markRoot)
{
	UART *uart = it;
	if (uart->onReadable)
		(*markRoot)(the, uart->onReadable);
	if (uart->onWritable)
		(*markRoot)(the, uart->onWritable);
}

static int integer(xsMachine *the, xsIdentifier id, int absent)
{
	xsmcGet(xsVar(0), xsArg(0), id);
	return xsmcTypeOf(xsVar(0)) == xsUndefinedType ? absent : xsmcToInteger(xsVar(0));
}

static xsSlot *callback(xsMachine *the, xsIdentifier id)
{
	xsmcGet(xsVar(0), xsArg(0), id);
	return xsmcToReference(xsVar(0));
}

/* No event of the driver's: only makes watch() look. */
static void wake(Port *port)
{
	uart_event_t event = { .type = UART_EVENT_MAX };
	xQueueSend(port->events, &event, 0);
}

static int install(xsMachine *the, uart_port_t number)
{
	Port *port = &ports[number];
	if (port->events)
		return 1;
	if (uart_driver_install(number, RECEIVE_BYTES, TRANSMIT_RING_BYTES, EVENTS, &port->events, 0) != ESP_OK) {
		port->events = NULL;
		return 0;
	}
	port->the = the;
	if (xTaskCreate(watch, "uart", TASK_STACK_BYTES, port, TASK_PRIORITY, NULL) == pdPASS)
		return 1;
	uart_driver_delete(number);
	port->events = NULL;
	return 0;
}

void vangnet_uart(xsMachine *the)
{
	xsmcVars(1);
	int number = integer(the, xsID_port, -1);
	int receive = integer(the, xsID_receive, UART_PIN_NO_CHANGE);
	int transmit = integer(the, xsID_transmit, UART_PIN_NO_CHANGE);
	int direction = integer(the, xsID_direction, UART_PIN_NO_CHANGE);
	int parity = integer(the, xsID_parity, 0);
	xsmcGet(xsVar(0), xsArg(0), xsID_invert);
	int invert = xsmcTest(xsVar(0));
	uart_config_t config = {
		.baud_rate = integer(the, xsID_baud, 0),
		.data_bits = integer(the, xsID_dataBits, 8) == 7 ? UART_DATA_7_BITS : UART_DATA_8_BITS,
		.parity = parity == 0 ? UART_PARITY_DISABLE : parity == 1 ? UART_PARITY_EVEN : UART_PARITY_ODD,
		.stop_bits = integer(the, xsID_stopBits, 1) == 2 ? UART_STOP_BITS_2 : UART_STOP_BITS_1,
		.flow_ctrl = UART_HW_FLOWCTRL_DISABLE,
		.source_clk = UART_SCLK_DEFAULT,
	};
	if (number < 0 || number >= UART_NUM_MAX)
		xsRangeError("serial: port is absent");
	if (config.baud_rate < 300 || config.baud_rate > 1000000)
		xsRangeError("serial: baud rate");

	UART *uart = c_calloc(1, sizeof(UART));
	if (!uart)
		xsUnknownError("serial: no memory");
	if (!install(the, number)) {
		c_free(uart);
		xsUnknownError("serial: driver");
	}
	Port *port = &ports[number];
	/* From here on the object that had the port hears nothing more. */
	port->owner = NULL;
	if (uart_param_config(number, &config) != ESP_OK
	|| uart_set_pin(number, transmit, receive, direction, UART_PIN_NO_CHANGE) != ESP_OK
	|| uart_set_line_inverse(number, invert ? UART_SIGNAL_RXD_INV : UART_SIGNAL_INV_DISABLE) != ESP_OK
	|| uart_set_mode(number, direction == UART_PIN_NO_CHANGE ? UART_MODE_UART : UART_MODE_RS485_HALF_DUPLEX) != ESP_OK) {
		c_free(uart);
		xsUnknownError("serial: not a setting of this port");
	}
	/* A byte with the wrong parity is left out, as on Linux: before DSMR 4 parity is all there is. */
	uart_ll_discard_error_data(UART_LL_GET_HW(number), parity != 0);
	uart_flush_input(number);

	uart->the = the;
	uart->port = number;
	uart->object = xsThis;
	xsmcSetHostData(xsThis, uart);
	xsSetHostHooks(xsThis, (xsHostHooks *)&hooks);
	xsRemember(uart->object);
	uart->onReadable = callback(the, xsID_onReadable);
	uart->onWritable = callback(the, xsID_onWritable);
	port->owner = uart;
	__atomic_store_n(&port->sending, 1, __ATOMIC_SEQ_CST);
	wake(port);
}

void vangnet_uart_close(xsMachine *the)
{
	UART *uart = xsmcGetHostData(xsThis);
	if (!uart)
		return;
	xsmcSetHostData(xsThis, NULL);
	xsmcSetHostDestructor(xsThis, NULL);
	xsForget(uart->object);
	vangnet_uart_destructor(uart);
}

static void watch(void *refcon)
{
	Port *port = refcon;
	uart_port_t number = (uart_port_t)(port - ports);
	TickType_t patience = portMAX_DELAY;
	uint8_t due = 0;
	for (;;) {
		uart_event_t event;
		if (xQueueReceive(port->events, &event, patience) == pdTRUE
		&& (event.type == UART_DATA || event.type == UART_BUFFER_FULL || event.type == UART_FIFO_OVF))
			due |= READABLE;
		if (__atomic_load_n(&port->sending, __ATOMIC_SEQ_CST) && uart_wait_tx_done(number, 0) == ESP_OK) {
			__atomic_store_n(&port->sending, 0, __ATOMIC_SEQ_CST);
			due |= WRITABLE;
		}
		if (due) {
			uint8_t under_way = __atomic_fetch_or(&port->news, due, __ATOMIC_SEQ_CST);
			if (under_way || modMessagePostToMachine(port->the, NULL, 0, deliver, port) == 0)
				due = 0;
			else
				__atomic_store_n(&port->news, 0, __ATOMIC_SEQ_CST);
		}
		patience = due || __atomic_load_n(&port->sending, __ATOMIC_SEQ_CST) ? pdMS_TO_TICKS(POLL_MS) : portMAX_DELAY;
	}
}

static void count(UART *uart, xsSlot *callback, uint32_t bytes)
{
	xsMachine *the = uart->the;
	if (!callback)
		return;
	xsBeginHost(the);
	xsTry {
		xsmcSetInteger(xsResult, bytes);
		xsCallFunction1(xsReference(callback), uart->object, xsResult);
	}
	xsCatch {
	}
	xsEndHost(the);
}

static void deliver(void *the, void *refcon, uint8_t *message, uint16_t messageLength)
{
	Port *port = refcon;
	UART *uart = port->owner;
	uint8_t news = __atomic_exchange_n(&port->news, 0, __ATOMIC_SEQ_CST);
	size_t bytes = 0;
	(void)the, (void)message, (void)messageLength;
	if (!uart)
		return;
	if ((news & READABLE) && uart_get_buffered_data_len(uart->port, &bytes) == ESP_OK && bytes)
		count(uart, uart->onReadable, bytes);
	/* The callback may have closed the port, or opened it anew. */
	if ((news & WRITABLE) && port->owner == uart) {
		uart->waiting = 0;
		count(uart, uart->onWritable, TRANSMIT_BYTES);
	}
}

void vangnet_uart_read(xsMachine *the)
{
	UART *uart = xsmcGetHostDataValidate(xsThis, (void *)&hooks);
	size_t bytes = 0;
	if (!uart || ports[uart->port].owner != uart || uart_get_buffered_data_len(uart->port, &bytes) != ESP_OK || !bytes)
		return;
	xsmcSetArrayBuffer(xsResult, NULL, bytes);
	int got = uart_read_bytes(uart->port, xsmcToArrayBuffer(xsResult), bytes, 0);
	if (got <= 0)
		xsmcSetUndefined(xsResult);
	else if ((size_t)got < bytes)
		xsmcSetArrayBufferLength(xsResult, got);
}

void vangnet_uart_write(xsMachine *the)
{
	UART *uart = xsmcGetHostDataValidate(xsThis, (void *)&hooks);
	void *data;
	xsUnsignedValue length;
	xsmcGetBufferReadable(xsArg(0), &data, &length);
	if (!uart || ports[uart->port].owner != uart || length > TRANSMIT_BYTES - uart->waiting)
		xsUnknownError("serial: would block");
	Port *port = &ports[uart->port];
	/* What was sent before this no longer makes the whole buffer free. */
	__atomic_and_fetch(&port->news, (uint8_t)~WRITABLE, __ATOMIC_SEQ_CST);
	if (uart_write_bytes(uart->port, data, length) != (int)length)
		xsUnknownError("serial: write");
	uart->waiting += length;
	__atomic_store_n(&port->sending, 1, __ATOMIC_SEQ_CST);
	wake(port);
	xsmcSetInteger(xsResult, TRANSMIT_BYTES - uart->waiting);
}
