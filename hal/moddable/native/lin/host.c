/* The native odds and ends of the Linux target; see native/host.ts. */
#include "xsmc.h"
#include "mc.xs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

void vangnet_monotonic_ms(xsMachine *the)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	xsmcSetNumber(xsResult, (double)now.tv_sec * 1000.0 + (double)(now.tv_nsec / 1000000));
}

void vangnet_random32(xsMachine *the)
{
	uint32_t value = 0;
	if (getrandom(&value, sizeof(value), 0) != sizeof(value))
		xsUnknownError("random: %s", strerror(errno));
	xsmcSetNumber(xsResult, (double)value);
}

/* The SDK's files start at HOME (modules/io/files/posix), which tools/linhost sets. */
void vangnet_sync_directory(xsMachine *the)
{
	char path[4096];
	const char *root = getenv("HOME");
	if (snprintf(path, sizeof(path), "%s/%s", root ? root : ".", xsmcToString(xsArg(0))) >= (int)sizeof(path))
		xsUnknownError("path too long");
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		xsUnknownError("%s: %s", path, strerror(errno));
	int failed = fsync(fd);
	close(fd);
	if (failed)
		xsUnknownError("%s: %s", path, strerror(errno));
}
