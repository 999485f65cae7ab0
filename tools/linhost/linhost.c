/*
 * Runs a firmware built for Moddable's Linux target without a window:
 *
 *   linhost mc.so DATA_DIRECTORY
 *
 * The data directory becomes the root of the firmware's files: site.json, store, evidence, pins.
 * The firmware speaks to its host by screen.postMessage: "exit:N" ends the process with N, anything
 * else is a line of its log, written to standard error. SIGTERM and SIGINT reach the firmware as the
 * message "quit"; a second one ends the process at once. SIGKILL is a power cut.
 *
 * Needs GLib and, at compile time, the SDK's screen.h.
 */
#include <dlfcn.h>
#include <glib.h>
#include <glib-unix.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define mxLinux 1
#include "screen.h"

#define QUIT_SECONDS 5

static GMainLoop *loop;
static txScreen *screen;
static guint idling;
static int status;
static int asked;

static void ended(int code)
{
	status = code;
	g_main_loop_quit(loop);
}

static void onAbort(txScreen *the, int code)
{
	(void)the;
	/* The machine cannot go on: as a chip, this process ends and whoever watches it starts it anew. */
	fprintf(stderr, "abort %d\n", code);
	fflush(stderr);
	_Exit(code == 0 ? 0 : 70);
}

static void onPost(txScreen *the, char *message, int size)
{
	(void)the;
	if (size == 0 && strncmp(message, "exit:", 5) == 0)
		ended(atoi(message + 5));
	else
		fprintf(stderr, "%.*s\n", size ? size : (int)strlen(message), message);
}

static gboolean onIdle(gpointer data)
{
	(void)data;
	if (screen->idle)
		(*screen->idle)(screen);
	return G_SOURCE_CONTINUE;
}

static void onStart(txScreen *the, double interval)
{
	(void)the;
	if (!idling)
		idling = g_timeout_add(interval < 1 ? 1 : (guint)interval, onIdle, NULL);
}

static void onStop(txScreen *the)
{
	(void)the;
	if (idling)
		g_source_remove(idling);
	idling = 0;
}

static void onChanged(txScreen *the) { (void)the; }

static gboolean tooLate(gpointer data)
{
	(void)data;
	ended(1);
	return G_SOURCE_REMOVE;
}

static gboolean onSignal(gpointer data)
{
	(void)data;
	if (asked++ || !screen->invoke) {
		ended(1);
		return G_SOURCE_CONTINUE;
	}
	g_timeout_add_seconds(QUIT_SECONDS, tooLate, NULL);
	(*screen->invoke)(screen, "quit", 0);
	return G_SOURCE_CONTINUE;
}

int main(int argc, char **argv)
{
	char data[PATH_MAX];
	if (argc != 3) {
		fprintf(stderr, "usage: linhost mc.so DATA_DIRECTORY\n");
		return 2;
	}
	if (!realpath(argv[2], data)) {
		perror(argv[2]);
		return 2;
	}
	setenv("HOME", data, 1);
	/* A peer that is gone is an error of the write, not the end of the process. */
	signal(SIGPIPE, SIG_IGN);

	void *library = dlopen(argv[1], RTLD_NOW);
	txScreenLaunchProc launch = library ? (txScreenLaunchProc)dlsym(library, "fxScreenLaunch") : NULL;
	if (!launch) {
		fprintf(stderr, "%s\n", dlerror());
		return 2;
	}
	loop = g_main_loop_new(NULL, FALSE);
	screen = calloc(1, sizeof(txScreen) + screenBytesPerPixel);
	mxCreateMutex(&screen->workersMutex);
	screen->width = screen->height = 1;
	screen->abort = onAbort;
	screen->bufferChanged = onChanged;
	screen->formatChanged = onChanged;
	screen->post = onPost;
	screen->start = onStart;
	screen->stop = onStop;
	g_unix_signal_add(SIGTERM, onSignal, NULL);
	g_unix_signal_add(SIGINT, onSignal, NULL);
	(*launch)(screen);
	if (!screen->machine) {
		fprintf(stderr, "the machine did not start\n");
		return 70;
	}
	g_main_loop_run(loop);
	fflush(stderr);
	/* The machine is not taken down in order: its evidence and store are durable at each write. */
	_Exit(status);
}
