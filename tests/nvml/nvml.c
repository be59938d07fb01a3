/* libnvidia-ml.so.1 of a machine that is described in a text file (machine.h).
 *
 * It has the functions, signatures and structure layouts of nvml.h that the reader uses, so that
 * unmodified pynvml loads and calls it as it does the real library. With -DOLD_DRIVER it lacks
 * the functions and fields that came later, as a driver of 2019 does.
 */
#include "machine.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef void *device_t; /* the GPU's number plus one */

static unsigned number_of(device_t device) { return (unsigned)((uintptr_t)device - 1); }

/* ---- from descriptions to C values ---- */

static int put_text(int code, const char *text, char *buffer, unsigned size) {
    if (code) return code;
    if (strlen(text) + 1 > size) return INSUFFICIENT_SIZE;
    strcpy(buffer, text);
    return SUCCESS;
}

static int gpu_text(device_t device, const char *key, char *buffer, unsigned size) {
    const char *text = "";
    int code = gpu_value(number_of(device), key, &text);
    return put_text(code, text, buffer, size);
}

static int gpu_number(device_t device, const char *key, unsigned *number) {
    const char *text = "";
    int code = gpu_value(number_of(device), key, &text);
    if (!code) *number = (unsigned)strtoul(text, NULL, 0);
    return code;
}

static int gpu_wide(device_t device, const char *key, unsigned long long *number) {
    const char *text = "";
    int code = gpu_value(number_of(device), key, &text);
    if (!code) *number = strtoull(text, NULL, 0);
    return code;
}

static int link_number(device_t device, unsigned link, const char *key, unsigned *number) {
    const char *text = "";
    int code = link_value(number_of(device), link, key, &text);
    if (!code) *number = (unsigned)strtoul(text, NULL, 0);
    return code;
}

/* How many links the device shows: none at all while MIG is on. */
static int link_count(device_t device, unsigned *count) {
    unsigned mig = 0;
    gpu_number(device, "mig", &mig);
    return mig ? NOT_SUPPORTED : gpu_number(device, "links", count);
}

static int check_link(device_t device, unsigned link) {
    unsigned count = 0;
    int code = link_count(device, &count);
    return code ? code : link < count ? SUCCESS : INVALID_ARGUMENT;
}

typedef struct {
    char bus_id_legacy[16];
    unsigned domain, bus, device, pci_device_id, pci_subsystem_id;
    char bus_id[32];
} pci_info_t;

static void put_address(pci_info_t *pci, const char *address) {
    memset(pci, 0, sizeof *pci);
    sscanf(address, "%x:%x:%x", &pci->domain, &pci->bus, &pci->device);
    snprintf(pci->bus_id, sizeof pci->bus_id, "%08X:%02X:%02X.0", pci->domain, pci->bus & 0xff,
             pci->device & 0xff);
    snprintf(pci->bus_id_legacy, sizeof pci->bus_id_legacy, "%04X:%02X:%02X.0",
             pci->domain & 0xffff, pci->bus & 0xff, pci->device & 0xff);
}

/* ---- the library ---- */

int nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    const char *value = "";
    int code = system_value("init", &value);
    return code == NOT_SUPPORTED ? SUCCESS : code;
}

int nvmlShutdown(void) { return SUCCESS; }

const char *nvmlErrorString(int code) {
    static char text[32];
    snprintf(text, sizeof text, "NVML error %d", code);
    return text;
}

int nvmlSystemGetDriverVersion(char *buffer, unsigned size) {
    const char *text = "";
    int code = system_value("driver", &text);
    return put_text(code, text, buffer, size);
}

int nvmlSystemGetNVMLVersion(char *buffer, unsigned size) {
    const char *text = "";
    int code = system_value("nvml", &text);
    return put_text(code, text, buffer, size);
}

int nvmlSystemGetCudaDriverVersion_v2(int *version) {
    const char *text = "";
    int code = system_value("cuda", &text);
    if (!code) *version = atoi(text);
    return code;
}

int nvmlDeviceGetCount_v2(unsigned *count) {
    const char *text = "";
    int code = system_value("count", &text);
    if (!code) *count = (unsigned)atoi(text);
    return code;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, device_t *device) {
    unsigned count = 0;
    int code = nvmlDeviceGetCount_v2(&count);
    if (code) return code;
    if (index >= count) return INVALID_ARGUMENT;
    const char *value = "";
    code = gpu_value(index, "handle", &value);
    if (code && code != NOT_SUPPORTED) return code;
    *device = (device_t)(uintptr_t)(index + 1);
    return SUCCESS;
}

/* ---- one GPU ---- */

#define TEXT(function, key) \
    int function(device_t device, char *buffer, unsigned size) { \
        return gpu_text(device, key, buffer, size); \
    }
#define NUMBER(function, key) \
    int function(device_t device, unsigned *number) { return gpu_number(device, key, number); }
#define CURRENT_AND_PENDING(function, key) \
    int function(device_t device, unsigned *current, unsigned *pending) { \
        *pending = 0; \
        return gpu_number(device, key, current); \
    }

TEXT(nvmlDeviceGetUUID, "uuid")
TEXT(nvmlDeviceGetName, "name")
TEXT(nvmlDeviceGetSerial, "serial")
TEXT(nvmlDeviceGetBoardPartNumber, "part")
TEXT(nvmlDeviceGetVbiosVersion, "vbios")
TEXT(nvmlDeviceGetInforomImageVersion, "inforom")
NUMBER(nvmlDeviceGetPersistenceMode, "persistence")
NUMBER(nvmlDeviceGetComputeMode, "compute_mode")
NUMBER(nvmlDeviceGetRetiredPagesPendingStatus, "retired_pages_pending")
NUMBER(nvmlDeviceGetPowerUsage, "power")
NUMBER(nvmlDeviceGetEnforcedPowerLimit, "power_limit")
CURRENT_AND_PENDING(nvmlDeviceGetEccMode, "ecc")
CURRENT_AND_PENDING(nvmlDeviceGetMigMode, "mig")

int nvmlDeviceGetPciInfo_v3(device_t device, pci_info_t *pci) {
    const char *address = "";
    int code = gpu_value(number_of(device), "pci", &address);
    if (code) return code;
    put_address(pci, address);
    gpu_number(device, "pci_device", &pci->pci_device_id);
    gpu_number(device, "pci_subsystem", &pci->pci_subsystem_id);
    return SUCCESS;
}

int nvmlDeviceGetMemoryInfo(device_t device, unsigned long long memory[3]) {
    memory[1] = memory[2] = 0;
    return gpu_wide(device, "memory", &memory[0]);
}

int nvmlDeviceGetTemperature(device_t device, int sensor, unsigned *degrees) {
    return sensor ? INVALID_ARGUMENT : gpu_number(device, "temperature", degrees);
}

int nvmlDeviceGetCurrentClocksThrottleReasons(device_t device, unsigned long long *reasons) {
    return gpu_wide(device, "slowdowns", reasons);
}

int nvmlDeviceGetTotalEccErrors(device_t device, int type, int counter, unsigned long long *count) {
    if (type != 1) return NOT_SUPPORTED; /* only uncorrected ones are described */
    return gpu_wide(device, counter ? "ecc_aggregate" : "ecc_volatile", count);
}

int nvmlDeviceGetTopologyCommonAncestor(device_t one, device_t other, unsigned *level) {
    static const struct { const char *name; unsigned level; } levels[] = {
        {"INTERNAL", 0}, {"PIX", 10}, {"PXB", 20}, {"PHB", 30}, {"NODE", 40}, {"SYS", 50}};
    unsigned first = number_of(one), second = number_of(other);
    const char *name = "";
    int code = first < second ? pair_value(first, second, "level", &name)
                              : pair_value(second, first, "level", &name);
    if (code) return code;
    for (unsigned i = 0; i < sizeof levels / sizeof *levels; i++)
        if (!strcmp(levels[i].name, name)) { *level = levels[i].level; return SUCCESS; }
    return 999;
}

/* ---- NVLink ---- */

int nvmlDeviceGetNvLinkState(device_t device, unsigned link, unsigned *state) {
    int code = check_link(device, link);
    if (code) return code;
    code = link_number(device, link, "state", state);
    if (!code) *state = *state != 0; /* this call knows only up and down */
    return code;
}

int nvmlDeviceGetNvLinkVersion(device_t device, unsigned link, unsigned *version) {
    int code = check_link(device, link);
    return code ? code : link_number(device, link, "version", version);
}

int nvmlDeviceGetNvLinkRemoteDeviceType(device_t device, unsigned link, unsigned *type) {
    int code = check_link(device, link);
    return code ? code : link_number(device, link, "remote_type", type);
}

int nvmlDeviceGetNvLinkRemotePciInfo_v2(device_t device, unsigned link, pci_info_t *pci) {
    int code = check_link(device, link);
    const char *address = "";
    if (!code) code = link_value(number_of(device), link, "remote", &address);
    if (!code) put_address(pci, address);
    return code;
}

/* ---- field values ---- */

typedef struct {
    unsigned field, scope;
    int64_t timestamp, latency;
    unsigned value_type;
    int code;
    union { double real; unsigned number; unsigned long long wide; } value;
} field_value_t;

enum { FIELD_LINK_SPEED = 90, FIELD_LINK_COUNT = 91, FIELD_REMOTE_PORT = 146,
       FIELD_SWITCH_LINKS = 147, FIELD_LINK_STATE = 165, FIELD_RECOVERY_ACTION = 230 };

#ifndef OLD_DRIVER
static int switch_links(device_t device, unsigned *links) {
    unsigned count = 0;
    int code = link_count(device, &count);
    *links = 0;
    for (unsigned link = 0; !code && link < count; link++) {
        unsigned state = 0, type = 0;
        link_number(device, link, "state", &state);
        link_number(device, link, "remote_type", &type);
        *links += state && type == 2;
    }
    return code;
}

static int linked_number(device_t device, unsigned link, const char *key, unsigned *number) {
    int code = check_link(device, link);
    return code ? code : link_number(device, link, key, number);
}
#endif

static int field(device_t device, unsigned id, unsigned scope, unsigned *number) {
    unsigned links;
    int code = link_count(device, &links);
    switch (id) {
    case FIELD_LINK_SPEED: return code ? code : gpu_number(device, "link_speed", number);
    case FIELD_LINK_COUNT: return link_count(device, number);
#ifndef OLD_DRIVER
    case FIELD_SWITCH_LINKS: return switch_links(device, number);
    case FIELD_REMOTE_PORT: return linked_number(device, scope, "port", number);
    case FIELD_LINK_STATE: return linked_number(device, scope, "state", number);
    case FIELD_RECOVERY_ACTION: return gpu_number(device, "recovery_action", number);
#else
    (void)scope;
#endif
    default: return NOT_SUPPORTED;
    }
}

int nvmlDeviceGetFieldValues(device_t device, int count, field_value_t *values) {
    for (int i = 0; i < count; i++) {
        values[i].value_type = 1; /* unsigned int */
        values[i].code = field(device, values[i].field, values[i].scope, &values[i].value.number);
    }
    return SUCCESS;
}

/* ---- what came later ---- */

#ifndef OLD_DRIVER
int nvmlDeviceGetGspFirmwareVersion(device_t device, char *buffer) {
    return gpu_text(device, "gsp", buffer, 0x40);
}

int nvmlDeviceGetRemappedRows(device_t device, unsigned *correctable, unsigned *uncorrectable,
                              unsigned *pending, unsigned *failure) {
    unsigned mig = 0;
    gpu_number(device, "mig", &mig);
    if (mig) return NOT_SUPPORTED;
    int code = gpu_number(device, "remapped_correctable", correctable);
    if (!code) code = gpu_number(device, "remapped_uncorrectable", uncorrectable);
    if (!code) code = gpu_number(device, "remap_pending", pending);
    if (!code) code = gpu_number(device, "remap_failure", failure);
    return code;
}

int nvmlDeviceGetCurrentClocksEventReasons(device_t device, unsigned long long *reasons) {
    return gpu_wide(device, "slowdowns", reasons);
}

typedef struct { unsigned version, sensor; int degrees; } temperature_t;

int nvmlDeviceGetTemperatureV(device_t device, temperature_t *temperature) {
    if (temperature->version != 0x100000C) return ARGUMENT_VERSION_MISMATCH;
    unsigned degrees = 0;
    int code = nvmlDeviceGetTemperature(device, (int)temperature->sensor, &degrees);
    temperature->degrees = (int)degrees;
    return code;
}

typedef struct { unsigned environment, feature, dev_tools; } confidential_t;

int nvmlSystemGetConfComputeState(confidential_t *state) {
    const char *text = "";
    int code = system_value("confidential", &text);
    memset(state, 0, sizeof *state);
    if (!code) state->feature = (unsigned)atoi(text);
    return code;
}

typedef struct {
    unsigned version;
    unsigned char cluster[16];
    unsigned status, clique;
    unsigned char state, padding[3]; /* a word in version 2, a byte in version 3 */
    unsigned health_mask;
    unsigned char health_summary;
} fabric_info_t;

int nvmlDeviceGetGpuFabricInfoV(device_t device, fabric_info_t *info) {
    enum { VERSION_2 = 0x2000024, VERSION_3 = 0x3000028 };
    const char *newest = "3", *cluster = "";
    system_value("fabric_version", &newest);
    if (info->version != VERSION_2 && (info->version != VERSION_3 || *newest != '3'))
        return ARGUMENT_VERSION_MISMATCH;
    unsigned state = 0, summary = 0;
    int code = gpu_number(device, "fabric_state", &state);
    if (!code) code = gpu_value(number_of(device), "fabric_cluster", &cluster);
    if (!code) code = gpu_number(device, "fabric_status", &info->status);
    if (!code) code = gpu_number(device, "fabric_clique", &info->clique);
    if (code) return code;
    info->state = (unsigned char)state;
    for (int i = 0; i < 16; i++) sscanf(cluster + 2 * i, "%2hhx", &info->cluster[i]);
    gpu_number(device, "fabric_health_mask", &info->health_mask);
    if (info->version == VERSION_3) {
        gpu_number(device, "fabric_health", &summary);
        info->health_summary = (unsigned char)summary;
        info->padding[0] = 0xee; /* v3 callers must look at the low byte only */
    }
    return SUCCESS;
}
#endif
