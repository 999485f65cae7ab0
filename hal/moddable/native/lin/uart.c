/*
 * The UART of the Linux target: termios(3) over a device or a pty, on GLib's main loop. The Linux
 * twin of native/esp32/uart.c; both stand behind native/uart.ts.
 *
 * What arrives is kept here up to RECEIVE_BYTES; a full buffer leaves the rest to the kernel. What
 * is written waits here up to TRANSMIT_BYTES for the kernel.
 */
#include "xsmc.h"
#include "mc.xs.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <glib-unix.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#define RECEIVE_BYTES 4096
#define TRANSMIT_BYTES 2048

typedef struct {
	xsMachine *the;
	xsSlot object;
	xsSlot *onReadable;
	xsSlot *onWritable;
	xsSlot *onError;
	int fd;
	int held;
	guint in;
	guint out;
	uint32_t received;
	uint32_t waiting;
	uint8_t receive[RECEIVE_BYTES];
	uint8_t transmit[TRANSMIT_BYTES];
} UART;

void vangnet_uart_destructor(void *data);
static void vangnet_uart_mark(xsMachine *the, void *it, xsMarkRoot markRoot);
static gboolean readable(gint fd, GIOCondition condition, gpointer data);
static gboolean writable(gint fd, GIOCondition condition, gpointer data);

static const xsHostHooks hooks = { vangnet_uart_destructor, vangnet_uart_mark, NULL };

/* A callback may close the object; the record then lives until the last of them is back. */
static void hold(UART *uart) { uart->held++; }
static void release(UART *uart)
{
	if (--uart->held == 0)
		free(uart);
}

static void silence(UART *uart)
{
	if (uart->in)
		g_source_remove(uart->in);
	if (uart->out)
		g_source_remove(uart->out);
	uart->in = uart->out = 0;
	if (uart->fd >= 0)
		close(uart->fd);
	uart->fd = -1;
}

void vangnet_uart_destructor(void *data)
{
	UART *uart = data;
	if (!uart)
		return;
	silence(uart);
	uart->onReadable = uart->onWritable = uart->onError = NULL;
	release(uart);
}

static void vangnet_uart_mark(xsMachine *the, void *it, xsMarkRoot markRoot)
{
	UART *uart = it;
	if (uart->onReadable)
		(*markRoot)(the, uart->onReadable);
	if (uart->onWritable)
		(*markRoot)(the, uart->onWritable);
	if (uart->onError)
		(*markRoot)(the, uart->onError);
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

static void fail(UART *uart, const char *reason)
{
	xsMachine *the = uart->the;
	silence(uart);
	if (!uart->onError)
		return;
	xsBeginHost(the);
	xsTry {
		xsmcSetString(xsResult, (char *)reason);
		xsCallFunction1(xsReference(uart->onError), uart->object, xsResult);
	}
	xsCatch {
	}
	xsEndHost(the);
}

static speed_t speed(int baud)
{
	switch (baud) {
		case 1200: return B1200;
		case 2400: return B2400;
		case 4800: return B4800;
		case 9600: return B9600;
		case 19200: return B19200;
		case 38400: return B38400;
		case 57600: return B57600;
		case 115200: return B115200;
		case 230400: return B230400;
		default: return B0;
	}
}

static int integer(xsMachine *the, xsIdentifier id)
{
	xsmcGet(xsVar(0), xsArg(0), id);
	return xsmcToInteger(xsVar(0));
}

static xsSlot *callback(xsMachine *the, xsIdentifier id)
{
	xsmcGet(xsVar(0), xsArg(0), id);
	return xsmcToReference(xsVar(0));
}

void vangnet_uart(xsMachine *the)
{
	struct termios tio;
	xsmcVars(1);
	int baud = integer(the, xsID_baud);
	int dataBits = integer(the, xsID_dataBits);
	int parity = integer(the, xsID_parity);
	int stopBits = integer(the, xsID_stopBits);
	if (speed(baud) == B0)
		xsRangeError("serial: baud rate");
	xsmcGet(xsVar(0), xsArg(0), xsID_device);
	if (!xsmcTest(xsVar(0)))
		xsRangeError("serial: device is absent");

	int fd = open(xsmcToString(xsVar(0)), O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		xsUnknownError("serial: %s", strerror(errno));
	if (tcgetattr(fd, &tio) != 0) {
		close(fd);
		xsUnknownError("serial: not a serial device");
	}
	cfmakeraw(&tio);
	tio.c_cflag &= ~(CSIZE | PARENB | PARODD | CSTOPB | CRTSCTS);
	tio.c_cflag |= CLOCAL | CREAD | (dataBits == 7 ? CS7 : CS8);
	if (parity)
		tio.c_cflag |= PARENB | (parity == 2 ? PARODD : 0);
	if (stopBits == 2)
		tio.c_cflag |= CSTOPB;
	/* A byte with the wrong parity is left out: the CRC over the whole then tells. */
	tio.c_iflag |= parity ? INPCK | IGNPAR : IGNPAR;
	tio.c_cc[VMIN] = 1;
	tio.c_cc[VTIME] = 0;
	cfsetispeed(&tio, speed(baud));
	cfsetospeed(&tio, speed(baud));
	if (tcsetattr(fd, TCSANOW, &tio) != 0) {
		close(fd);
		xsUnknownError("serial: %s", strerror(errno));
	}
	tcflush(fd, TCIFLUSH);

	UART *uart = calloc(1, sizeof(UART));
	if (!uart) {
		close(fd);
		xsUnknownError("serial: no memory");
	}
	uart->the = the;
	uart->fd = fd;
	hold(uart);
	xsmcSetHostData(xsThis, uart);
	xsSetHostHooks(xsThis, (xsHostHooks *)&hooks);
	uart->object = xsThis;
	xsRemember(uart->object);
	uart->onReadable = callback(the, xsID_onReadable);
	uart->onWritable = callback(the, xsID_onWritable);
	uart->onError = callback(the, xsID_onError);
	uart->in = g_unix_fd_add(fd, G_IO_IN | G_IO_HUP | G_IO_ERR, readable, uart);
	uart->out = g_unix_fd_add(fd, G_IO_OUT, writable, uart);
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

static gboolean readable(gint fd, GIOCondition condition, gpointer data)
{
	UART *uart = data;
	ssize_t got = read(fd, uart->receive + uart->received, RECEIVE_BYTES - uart->received);
	gboolean keep;
	hold(uart);
	if (got > 0) {
		uart->received += got;
		if (uart->received == RECEIVE_BYTES)
			uart->in = 0;
		keep = uart->in != 0;
		count(uart, uart->onReadable, uart->received);
		/* Removed meanwhile, by close: GLib has taken the source already. */
		keep = keep && uart->in != 0;
	}
	else if (got < 0 && (errno == EAGAIN || errno == EINTR) && !(condition & (G_IO_HUP | G_IO_ERR)))
		keep = TRUE;
	else {
		uart->in = 0;
		fail(uart, got < 0 && errno != EAGAIN ? strerror(errno) : "the device is gone");
		keep = FALSE;
	}
	release(uart);
	return keep ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
}

void vangnet_uart_read(xsMachine *the)
{
	UART *uart = xsmcGetHostDataValidate(xsThis, (void *)&hooks);
	if (!uart || !uart->received)
		return;
	xsmcSetArrayBuffer(xsResult, uart->receive, uart->received);
	uart->received = 0;
	if (!uart->in && uart->fd >= 0)
		uart->in = g_unix_fd_add(uart->fd, G_IO_IN | G_IO_HUP | G_IO_ERR, readable, uart);
}

/* FALSE when the device failed. */
static int flush(UART *uart)
{
	while (uart->waiting) {
		ssize_t put = write(uart->fd, uart->transmit, uart->waiting);
		if (put <= 0)
			return put == 0 || errno == EAGAIN || errno == EINTR;
		uart->waiting -= put;
		memmove(uart->transmit, uart->transmit + put, uart->waiting);
	}
	return 1;
}

static gboolean writable(gint fd, GIOCondition condition, gpointer data)
{
	UART *uart = data;
	gboolean keep = FALSE;
	hold(uart);
	if (!flush(uart)) {
		uart->out = 0;
		fail(uart, strerror(errno));
	}
	else if (uart->waiting)
		keep = TRUE;
	else {
		uart->out = 0;
		count(uart, uart->onWritable, TRANSMIT_BYTES);
	}
	release(uart);
	return keep ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
}

void vangnet_uart_write(xsMachine *the)
{
	UART *uart = xsmcGetHostDataValidate(xsThis, (void *)&hooks);
	void *data;
	xsUnsignedValue length;
	xsmcGetBufferReadable(xsArg(0), &data, &length);
	if (!uart || uart->fd < 0 || length > TRANSMIT_BYTES - uart->waiting)
		xsUnknownError("serial: would block");
	memcpy(uart->transmit + uart->waiting, data, length);
	uart->waiting += length;
	/* What fails here fails again in `writable`, which may call back. */
	flush(uart);
	if (!uart->out)
		uart->out = g_unix_fd_add(uart->fd, G_IO_OUT, writable, uart);
	xsmcSetInteger(xsResult, TRANSMIT_BYTES - uart->waiting);
}
