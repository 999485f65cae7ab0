/* What is alive after a collection, for measurements: the one file that looks into the machine. */
#include "xsAll.h"
#include "mc.xs.h"

void vangnet_memory(xsMachine *the)
{
	char text[200];
	long peakSlots = (long)the->peakHeapCount, peakChunks = (long)the->peakChunksSize;
	xsCollectGarbage();
	snprintf(text, sizeof(text), "memory: slots %ld of %ld (peak %ld, %ld bytes each), chunks %ld of %ld (peak %ld), keys %ld",
		(long)the->currentHeapCount, (long)the->maximumHeapCount, peakSlots, (long)sizeof(txSlot),
		(long)the->currentChunksSize, (long)the->maximumChunksSize, peakChunks, (long)(the->keyIndex - the->keyOffset));
	xsResult = xsString(text);
}
