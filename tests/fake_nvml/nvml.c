/* A libnvidia-ml.so.1 that plays a script: the file named by FAKE_NVML_SCRIPT, read anew whenever it changes. Its lines:
 *
 *   origin NS                  what CLOCK_MONOTONIC says at second 0
 *   driver VERSION
 *   cuda NUMBER                as nvmlSystemGetCudaDriverVersion_v2 gives it
 *   gpu UUID NAME              one line for each, in order
 *   event GPU SECOND KEY VALUE in the order of time; GPU -1 for calls that are about none
 *
 * A key without an event is something that this GPU does not support. __init__.py says what the keys are. */
#include <math.h>
#include <nvml.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define GPUS 8
#define EVENTS 4096

struct event {
    int gpu;
    double t, value;
    char key[64];
};
struct script {
    long long origin_ns;
    char driver[80];
    int cuda, gpus, events;
    struct gpu {
        char uuid[96], name[96];
    } gpu[GPUS];
    struct event event[EVENTS];
};
struct nvmlDevice_st {
    int index;
};
struct when {
    const struct script *script;
    double t;
};

static struct nvmlDevice_st devices[GPUS] = {{0}, {1}, {2}, {3}, {4}, {5}, {6}, {7}};
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int opened;

static void die(const char *what, const char *about) {
    fprintf(stderr, "fake NVML: %s: %s\n", what, about);
    abort();
}

static void parse(struct script *script, char *line) {
    struct gpu *gpu = &script->gpu[script->gpus];
    struct event *event = &script->event[script->events];
    if (script->gpus == GPUS || script->events == EVENTS)
        die("too much in the script", line);
    if (sscanf(line, "event %d %lf %63s %lf", &event->gpu, &event->t, event->key, &event->value) == 4)
        script->events++;
    else if (sscanf(line, "gpu %95s %95[^\n]", gpu->uuid, gpu->name) == 2)
        script->gpus++;
    else if (sscanf(line, "origin %lld", &script->origin_ns) != 1 && sscanf(line, "driver %79s", script->driver) != 1 &&
             sscanf(line, "cuda %d", &script->cuda) != 1)
        die("not understood", line);
}

/* The script as it stands. An old one is never freed: another thread may be reading it. */
static const struct script *current(void) {
    static const struct script *script;
    static struct stat seen;
    struct stat now;
    const char *path = getenv("FAKE_NVML_SCRIPT");
    if (!path || stat(path, &now))
        die("no script", path ? path : "FAKE_NVML_SCRIPT is not set");
    if (script && now.st_ino == seen.st_ino && !memcmp(&now.st_mtim, &seen.st_mtim, sizeof now.st_mtim))
        return script;
    FILE *file = fopen(path, "r");
    struct script *fresh = calloc(1, sizeof *fresh);
    char line[512];
    if (!file || !fresh)
        die("cannot be read", path);
    while (fgets(line, sizeof line, file))
        parse(fresh, line);
    fclose(file);
    seen = now;
    return script = fresh;
}

static struct when now(void) {
    struct timespec time;
    pthread_mutex_lock(&lock);
    struct when when = {current(), 0};
    pthread_mutex_unlock(&lock);
    clock_gettime(CLOCK_MONOTONIC, &time);
    when.t = (time.tv_sec * 1000000000LL + time.tv_nsec - when.script->origin_ns) / 1e9;
    return when;
}

struct course {
    int known;
    double last, sum, area;
};

/* Of one key up to now: its last value, the sum of its values, and the area under its steps. */
static struct course course(struct when when, int gpu, const char *key) {
    struct course found = {0};
    double since = 0;
    for (const struct event *event = when.script->event; event < when.script->event + when.script->events; event++) {
        if (event->gpu != gpu || event->t > when.t || strcmp(event->key, key))
            continue;
        found.area += found.last * (event->t - since);
        found.sum += event->value;
        found.last = event->value;
        found.known = 1;
        since = event->t;
    }
    found.area += found.known ? found.last * (when.t - since) : 0;
    return found;
}

static nvmlReturn_t refused(struct when when, int gpu, const char *call) {
    char key[72];
    if (!opened && strcmp(call, "nvmlInitWithFlags"))
        return NVML_ERROR_UNINITIALIZED;
    snprintf(key, sizeof key, "fail:%s", call);
    struct course one = course(when, gpu, key), all = course(when, gpu, "fail:*");
    return (nvmlReturn_t)(one.last ? one.last : all.last);
}

static nvmlReturn_t ask(nvmlDevice_t device, const char *call, const char *key, struct course *found) {
    struct when when = now();
    nvmlReturn_t failure = refused(when, device->index, call);
    *found = course(when, device->index, key);
    return failure ? failure : found->known ? NVML_SUCCESS : NVML_ERROR_NOT_SUPPORTED;
}

static nvmlReturn_t ask_unsigned(nvmlDevice_t device, const char *call, const char *key, double unit, unsigned int *answer) {
    struct course found;
    nvmlReturn_t failure = ask(device, call, key, &found);
    if (!failure)
        *answer = (unsigned int)lround(found.last * unit);
    return failure;
}

nvmlReturn_t nvmlInitWithFlags(unsigned int flags) {
    nvmlReturn_t failure = flags ? NVML_ERROR_INVALID_ARGUMENT : refused(now(), -1, __func__);
    if (!failure)
        __atomic_add_fetch(&opened, 1, __ATOMIC_SEQ_CST);
    return failure;
}

nvmlReturn_t nvmlShutdown(void) {
    if (!opened)
        return NVML_ERROR_UNINITIALIZED;
    __atomic_sub_fetch(&opened, 1, __ATOMIC_SEQ_CST);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlSystemGetDriverVersion(char *version, unsigned int length) {
    snprintf(version, length, "%s", now().script->driver);
    return refused(now(), -1, __func__);
}

nvmlReturn_t nvmlSystemGetCudaDriverVersion_v2(int *version) {
    *version = now().script->cuda;
    return refused(now(), -1, __func__);
}

nvmlReturn_t nvmlDeviceGetCount_v2(unsigned int *count) {
    *count = (unsigned int)now().script->gpus;
    return refused(now(), -1, __func__);
}

nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned int index, nvmlDevice_t *device) {
    if (index >= (unsigned int)now().script->gpus)
        return NVML_ERROR_INVALID_ARGUMENT;
    *device = &devices[index];
    return refused(now(), (int)index, __func__);
}

nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t device, char *name, unsigned int length) {
    snprintf(name, length, "%s", now().script->gpu[device->index].name);
    return refused(now(), device->index, __func__);
}

nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t device, char *uuid, unsigned int length) {
    snprintf(uuid, length, "%s", now().script->gpu[device->index].uuid);
    return refused(now(), device->index, __func__);
}

nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t *memory) {
    struct course found;
    nvmlReturn_t failure = ask(device, __func__, "memory", &found);
    if (!failure)
        *memory = (nvmlMemory_t){.total = (unsigned long long)found.last, .free = (unsigned long long)found.last, .used = 0};
    return failure;
}

nvmlReturn_t nvmlDeviceGetCudaComputeCapability(nvmlDevice_t device, int *major, int *minor) {
    struct course found;
    nvmlReturn_t failure = ask(device, __func__, "capability", &found);
    if (!failure)
        *major = (int)lround(found.last) / 10, *minor = (int)lround(found.last) % 10;
    return failure;
}

nvmlReturn_t nvmlDeviceGetPowerUsage(nvmlDevice_t device, unsigned int *power) {
    return ask_unsigned(device, __func__, "power", 1000, power);
}

nvmlReturn_t nvmlDeviceGetTotalEnergyConsumption(nvmlDevice_t device, unsigned long long *energy) {
    struct course offset, power = course(now(), device->index, "power");
    nvmlReturn_t failure = ask(device, __func__, "energy", &offset);
    *energy = (unsigned long long)llround((offset.sum + power.area) * 1000);
    return failure;
}

nvmlReturn_t nvmlDeviceGetTemperature(nvmlDevice_t device, nvmlTemperatureSensors_t sensor, unsigned int *temperature) {
    return sensor ? NVML_ERROR_INVALID_ARGUMENT : ask_unsigned(device, __func__, "temperature", 1, temperature);
}

nvmlReturn_t nvmlDeviceGetClockInfo(nvmlDevice_t device, nvmlClockType_t type, unsigned int *clock) {
    return type == NVML_CLOCK_SM ? ask_unsigned(device, __func__, "clock", 1, clock) : NVML_ERROR_NOT_SUPPORTED;
}

nvmlReturn_t nvmlDeviceGetMaxClockInfo(nvmlDevice_t device, nvmlClockType_t type, unsigned int *clock) {
    return type == NVML_CLOCK_SM ? ask_unsigned(device, __func__, "clock_max", 1, clock) : NVML_ERROR_NOT_SUPPORTED;
}

nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t device, nvmlUtilization_t *utilization) {
    utilization->memory = 0;
    return ask_unsigned(device, __func__, "utilization", 100, &utilization->gpu);
}

nvmlReturn_t nvmlDeviceGetCurrentClocksEventReasons(nvmlDevice_t device, unsigned long long *reasons) {
    struct course found;
    nvmlReturn_t failure = ask(device, __func__, "reasons", &found);
    if (!failure)
        *reasons = (unsigned long long)llround(found.last);
    return failure;
}

static const struct counter {
    unsigned int field;
    const char *key;
} counters[] = {
    {NVML_FI_DEV_CLOCKS_EVENT_REASON_SW_POWER_CAP, "sw_power_cap"},
    {NVML_FI_DEV_CLOCKS_EVENT_REASON_SYNC_BOOST, "sync_boost"},
    {NVML_FI_DEV_CLOCKS_EVENT_REASON_SW_THERM_SLOWDOWN, "sw_thermal"},
    {NVML_FI_DEV_PERF_POLICY_THERMAL, "sw_thermal"},
    {NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_THERM_SLOWDOWN, "hw_thermal"},
    {NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_POWER_BRAKE_SLOWDOWN, "hw_power_brake"},
};

static void answer(nvmlDevice_t device, nvmlFieldValue_t *value) {
    value->nvmlReturn = NVML_ERROR_NOT_SUPPORTED;
    for (size_t i = 0; i < sizeof counters / sizeof *counters; i++) {
        struct course found;
        if (counters[i].field != value->fieldId)
            continue;
        value->nvmlReturn = ask(device, counters[i].key, counters[i].key, &found);
        value->valueType = NVML_VALUE_TYPE_UNSIGNED_LONG_LONG;
        if (!value->nvmlReturn)
            value->value.ullVal = (unsigned long long)llround(found.area * 1e9);
    }
}

nvmlReturn_t nvmlDeviceGetFieldValues(nvmlDevice_t device, int count, nvmlFieldValue_t *values) {
    nvmlReturn_t failure = refused(now(), device->index, __func__);
    for (int i = 0; !failure && i < count; i++)
        answer(device, &values[i]);
    return failure;
}

/* Processes are events "process:PID" with the bytes they use, -1 where the driver does not know, -2 when they are gone. */
nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v3(nvmlDevice_t device, unsigned int *count, nvmlProcessInfo_t *infos) {
    struct when when = now();
    struct course supported;
    nvmlReturn_t failure = ask(device, __func__, "processes", &supported);
    unsigned int room = infos ? *count : 0, found = 0;
    if (failure)
        return failure;
    for (const struct event *event = when.script->event; event < when.script->event + when.script->events; event++) {
        unsigned int pid;
        int newest = event->gpu == device->index && event->t <= when.t && sscanf(event->key, "process:%u", &pid) == 1;
        for (const struct event *later = event + 1; newest && later < when.script->event + when.script->events; later++)
            newest = later->gpu != event->gpu || later->t > when.t || strcmp(later->key, event->key);
        if (!newest || event->value == -2)
            continue;
        unsigned long long used = (unsigned long long)(event->value < 0 ? NVML_VALUE_NOT_AVAILABLE : (long long)event->value);
        if (found < room)
            infos[found] = (nvmlProcessInfo_t){pid, used, UINT32_MAX, UINT32_MAX};
        found++;
    }
    *count = found;
    return found > room ? NVML_ERROR_INSUFFICIENT_SIZE : NVML_SUCCESS;
}
