/* A libcuda.so.1 with a GPU of known speed: a launch takes as long as the FMAs of its PTX ask for. Whoever calls it wrongly is aborted.
 * __init__.py says which variables of the environment it reads. */
#define _GNU_SOURCE
#define __CUDA_API_VERSION_INTERNAL /* declares the functions of older versions, too */
#include <cuda.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DEVICES 8
#define HANGS -1

struct CUctx_st {
    int device, swapped;
    CUresult stuck;
};
struct CUmod_st {
    double flop_per_round; /* of one thread */
};
struct CUfunc_st {
    CUmodule module;
};

static _Thread_local CUcontext current;
static struct CUmod_st loaded;
static struct CUfunc_st kernel = {&loaded};
static int opened, contexts, hung;
static int64_t ends_ns; /* when the GPU is done with what was launched */

static void die(const char *format, ...) {
    va_list values;
    va_start(values, format);
    fprintf(stderr, "fake CUDA: ");
    vfprintf(stderr, format, values);
    fprintf(stderr, "\n");
    abort();
}

static void must(int holds, const char *what) {
    if (!holds)
        die("wrong use: %s", what);
}

static const char *setting(const char *name) {
    const char *value = getenv(name);
    if (!value)
        die("%s is not set", name);
    return value;
}

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static void note(const char *format, ...) {
    char line[256];
    va_list values;
    va_start(values, format);
    int length = vsnprintf(line, sizeof line, format, values);
    va_end(values);
    int file = open(setting("FAKE_CUDA_LOG"), O_WRONLY | O_APPEND | O_CREAT, 0644);
    must(file >= 0 && write(file, line, length) == length && close(file) == 0, "FAKE_CUDA_LOG cannot be written");
}

/* What FAKE_CUDA_FAIL says about this call: words of NAME:ERROR:FIRST. */
static CUresult refusal(const char *name, int calls) {
    for (const char *word = setting("FAKE_CUDA_FAIL"); word; word = strchr(word, ' ')) {
        char asked[64];
        int error, first;
        if (sscanf(word, " %63[^:]:%d:%d", asked, &error, &first) != 3 || strcmp(asked, name) || calls < first)
            ;
        else if (error == HANGS)
            for (hung = 1;;)
                pause();
        else
            return (CUresult)error;
        word += *word == ' ';
    }
    return CUDA_SUCCESS;
}

#define ENTER                                                                                                                              \
    static int calls;                                                                                                                      \
    CUresult refused = refusal(__func__, ++calls);                                                                                         \
    if (refused)                                                                                                                           \
    return refused

/* Exchanges the two files of FAKE_CUDA_SWAP: what another fake plays, and what it is to play under load. */
static void swap(void) {
    const char *files = setting("FAKE_CUDA_SWAP");
    if (!*files)
        return;
    char *one = strdup(files), *other = strchr(one, '\n');
    must(other != NULL, "FAKE_CUDA_SWAP names one file");
    *other++ = 0;
    if (renameat2(AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE))
        die("%s and %s: %s", one, other, strerror(errno));
    free(one);
}

__attribute__((destructor)) static void ended(void) {
    if (contexts && !hung)
        die("%d contexts were not given back", contexts);
}

CUresult cuGetErrorName(CUresult error, const char **name) {
    static const struct {
        CUresult error;
        const char *name;
    } names[] = {
#define NAME(error) {error, #error}
        NAME(CUDA_ERROR_OUT_OF_MEMORY), NAME(CUDA_ERROR_NO_DEVICE),     NAME(CUDA_ERROR_DEVICE_UNAVAILABLE),
        NAME(CUDA_ERROR_INVALID_PTX),   NAME(CUDA_ERROR_LAUNCH_FAILED), NAME(CUDA_ERROR_SYSTEM_DRIVER_MISMATCH),
        NAME(CUDA_ERROR_UNKNOWN),
    };
    *name = NULL;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].error == error)
            *name = names[i].name;
    return *name ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuInit(unsigned int flags) {
    ENTER;
    must(flags == 0, "cuInit knows no flags");
    opened = 1;
    return CUDA_SUCCESS;
}

static int devices(const char *uuids[DEVICES]) {
    int count = 0;
    for (const char *at = setting("FAKE_CUDA_UUIDS"); at && *at; at = strchr(at, ' ')) {
        at += *at == ' ';
        must(count < DEVICES && !strncmp(at, "GPU-", 4), "FAKE_CUDA_UUIDS");
        uuids[count++] = at + 4;
    }
    return count;
}

static const char *uuid_of(CUdevice device) {
    const char *uuids[DEVICES];
    int index = device - 100, count = devices(uuids); /* a handle is no ordinal */
    must(opened, "cuInit comes first");
    must(index >= 0 && index < count, "no such device");
    return uuids[index];
}

CUresult cuDeviceGetCount(int *count) {
    ENTER;
    const char *uuids[DEVICES];
    must(opened, "cuInit comes first");
    *count = devices(uuids);
    return CUDA_SUCCESS;
}

CUresult cuDeviceGet(CUdevice *device, int ordinal) {
    ENTER;
    uuid_of(*device = 100 + ordinal);
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetUuid_v2(CUuuid *uuid, CUdevice device) {
    ENTER;
    const char *text = uuid_of(device);
    for (size_t i = 0; i < sizeof uuid->bytes; i++, text += 2) {
        text += *text == '-';
        must(sscanf(text, "%2hhx", (unsigned char *)&uuid->bytes[i]) == 1, "FAKE_CUDA_UUIDS");
    }
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetAttribute(int *value, CUdevice_attribute attribute, CUdevice device) {
    ENTER;
    uuid_of(device);
    must(attribute == CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, "an attribute that this fake does not have");
    *value = atoi(setting("FAKE_CUDA_MULTIPROCESSORS"));
    return CUDA_SUCCESS;
}

CUresult cuCtxCreate_v2(CUcontext *context, unsigned int flags, CUdevice device) {
    ENTER;
    uuid_of(device);
    must(flags == CU_CTX_SCHED_BLOCKING_SYNC, "who waits for the GPU must not spin");
    must(!current, "a second context on this thread");
    *context = current = calloc(1, sizeof **context);
    current->device = device - 100;
    contexts++;
    note("create %d\n", current->device);
    return CUDA_SUCCESS;
}

CUresult cuCtxDestroy_v2(CUcontext context) {
    must(context && context == current, "this is not the thread's context");
    CUresult stuck = context->stuck;
    if (context->swapped)
        swap();
    free(context);
    current = NULL;
    contexts--;
    note("destroy\n");
    return stuck;
}

CUresult cuModuleLoadData(CUmodule *module, const void *image) {
    ENTER;
    must(current != NULL, "no context on this thread");
    must(image && strstr(image, ".visible .entry busy(.param .u32 rounds)"), "not the PTX of our kernel");
    const char *loop = strstr(image, "\nround:\n"), *again = strstr(image, "bra round;");
    must(loop && again && loop < again, "no loop in the PTX");
    loaded.flop_per_round = 0;
    for (const char *at = loop; (at = strstr(at, "fma.rn.f32")) && at < again; at++)
        loaded.flop_per_round += 2;
    must(loaded.flop_per_round > 0, "nothing to do in the loop");
    *module = &loaded;
    return CUDA_SUCCESS;
}

CUresult cuModuleGetFunction(CUfunction *function, CUmodule module, const char *name) {
    ENTER;
    must(module == &loaded && !strcmp(name, "busy"), "no such kernel");
    *function = &kernel;
    return CUDA_SUCCESS;
}

CUresult cuLaunchKernel(CUfunction function, unsigned int grid_x, unsigned int grid_y, unsigned int grid_z, unsigned int block_x,
                        unsigned int block_y, unsigned int block_z, unsigned int shared_bytes, CUstream stream, void **parameters,
                        void **extra) {
    ENTER;
    must(current != NULL, "no context on this thread");
    must(function == &kernel, "not our kernel");
    must(grid_x > 0 && grid_y == 1 && grid_z == 1, "the grid");
    must(block_x > 0 && block_x <= 1024 && block_y == 1 && block_z == 1, "the block");
    must(shared_bytes == 0 && !stream && parameters && !extra, "arguments of the launch");
    uint32_t rounds = *(uint32_t *)parameters[0];
    must(rounds > 0, "0 rounds would be 2^32");
    if (current->stuck)
        return current->stuck;
    if (!current->swapped)
        swap();
    current->swapped = 1;
    double flop = function->module->flop_per_round * rounds * block_x * grid_x;
    int64_t start_ns = now_ns() > ends_ns ? now_ns() : ends_ns;
    ends_ns = start_ns + (int64_t)(flop / atof(setting("FAKE_CUDA_FLOPS")) * 1e9);
    note("launch %u %u %u %lld\n", grid_x, block_x, rounds, (long long)(ends_ns - start_ns));
    return CUDA_SUCCESS;
}

CUresult cuCtxSynchronize(void) {
    static int calls;
    must(current != NULL, "no context on this thread");
    if (!current->stuck)
        current->stuck = refusal(__func__, ++calls);
    if (current->stuck)
        return current->stuck;
    struct timespec until = {ends_ns / 1000000000, ends_ns % 1000000000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL))
        ;
    return CUDA_SUCCESS;
}
