/*
 * ECDSA P-256 with SHA-256 through the chip's PSA crypto; see native/p256.ts.
 *
 * PSA Certified Crypto API 1.1, 10.7 (psa_verify_message, PSA_ALG_ECDSA). In ESP-IDF v6.0 it is
 * TF-PSA-Crypto, and with CONFIG_MBEDTLS_HARDWARE_MPI and CONFIG_MBEDTLS_HARDWARE_SHA the chip's
 * RSA and SHA accelerators do the work (IDF Programming Guide, "mbedTLS").
 *
 * The work is done in a task of its own below the machine's, and the answer comes back as a message:
 * the machine's loop goes on meanwhile. One verification at a time: its stack is gone again after it.
 */
#include "xsmc.h"
#include "xsHost.h"
#include "mc.xs.h"

#include "freertos/FreeRTOS.h"
#include "freertos/task.h"
#include "psa/crypto.h"

#define KEY_BYTES 65
#define SIGNATURE_BYTES 64
#define MESSAGE_BYTES_MAX 4096
#define TASK_STACK_BYTES 8192
/* Below the machine's task, which is 4. */
#define TASK_PRIORITY 3
#define POST_RETRY_MS 20

typedef struct {
	xsMachine *the;
	xsSlot done;
	uint8_t valid;
	uint8_t key[KEY_BYTES];
	uint8_t signature[SIGNATURE_BYTES];
	size_t length;
	uint8_t message[];
} Job;

/* Only the machine's task touches it. */
static uint8_t busy;

static void answer(void *it, void *refcon, uint8_t *message, uint16_t messageLength)
{
	Job *job = refcon;
	xsMachine *the = job->the;
	(void)it, (void)message, (void)messageLength;
	busy = 0;
	xsBeginHost(the);
	xsTry {
		xsmcSetBoolean(xsResult, job->valid);
		xsCallFunction1(job->done, xsGlobal, xsResult);
	}
	xsCatch {
	}
	xsForget(job->done);
	xsEndHost(the);
	c_free(job);
}

static uint8_t verify(const Job *job)
{
	psa_key_attributes_t attributes = PSA_KEY_ATTRIBUTES_INIT;
	psa_key_id_t key = PSA_KEY_ID_NULL;
	psa_set_key_type(&attributes, PSA_KEY_TYPE_ECC_PUBLIC_KEY(PSA_ECC_FAMILY_SECP_R1));
	psa_set_key_bits(&attributes, 256);
	psa_set_key_usage_flags(&attributes, PSA_KEY_USAGE_VERIFY_MESSAGE);
	psa_set_key_algorithm(&attributes, PSA_ALG_ECDSA(PSA_ALG_SHA_256));
	/* The import checks that the key is a point of the curve. */
	if (psa_crypto_init() != PSA_SUCCESS || psa_import_key(&attributes, job->key, KEY_BYTES, &key) != PSA_SUCCESS)
		return 0;
	psa_status_t status = psa_verify_message(key, PSA_ALG_ECDSA(PSA_ALG_SHA_256), job->message, job->length, job->signature, SIGNATURE_BYTES);
	psa_destroy_key(key);
	return status == PSA_SUCCESS;
}

static void work(void *refcon)
{
	Job *job = refcon;
	job->valid = verify(job);
	while (modMessagePostToMachine(job->the, NULL, 0, answer, job) != 0)
		vTaskDelay(pdMS_TO_TICKS(POST_RETRY_MS));
	vTaskDelete(NULL);
}

/* (publicKey, message, signature, done) → false where there is no room to begin: to be tried again. */
void vangnet_p256_verify(xsMachine *the)
{
	void *key, *message, *signature;
	xsUnsignedValue keyLength, length, signatureLength;
	xsmcGetBufferReadable(xsArg(0), &key, &keyLength);
	xsmcGetBufferReadable(xsArg(1), &message, &length);
	xsmcGetBufferReadable(xsArg(2), &signature, &signatureLength);
	if (keyLength != KEY_BYTES || signatureLength != SIGNATURE_BYTES || length > MESSAGE_BYTES_MAX)
		xsRangeError("p256: length");
	xsmcSetFalse(xsResult);
	if (busy)
		return;
	Job *job = c_malloc(sizeof(Job) + length);
	if (!job)
		return;
	job->the = the;
	job->valid = 0;
	job->length = length;
	c_memcpy(job->key, key, KEY_BYTES);
	c_memcpy(job->signature, signature, SIGNATURE_BYTES);
	c_memcpy(job->message, message, length);
	job->done = xsArg(3);
	xsRemember(job->done);
	busy = 1;
	if (xTaskCreate(work, "p256", TASK_STACK_BYTES, job, TASK_PRIORITY, NULL) == pdPASS) {
		xsmcSetTrue(xsResult);
		return;
	}
	busy = 0;
	xsForget(job->done);
	c_free(job);
}
