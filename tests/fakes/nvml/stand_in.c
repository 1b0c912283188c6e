/* A stand-in for libnvidia-ml.so.1: the symbols that nvidia-ml-py looks up for localllm.
 *
 * LOCALLLM_TEST_NVML           the machine: rtx5090 rtx4090 laptop h100 gb10 two5090 mixed
 *                              halfway vanishes wsl broken empty older
 *                              unreachable refused
 * LOCALLLM_TEST_NVML_ANSWERS   after how many the card of `vanishes` is lost (2)
 * LOCALLLM_TEST_NVML_FREE_MIB  free memory of every card, instead of its own
 * LOCALLLM_TEST_NVML_LOG       a file that gets a line for each init and shutdown
 * LOCALLLM_TEST_NVML_LOST      a file: while it exists, every card is lost
 * LOCALLLM_TEST_NVML_HOT       a file: while it exists, every card is at 91 degrees and slowed
 *                              down to cool, else at 45 and held by its power limit
 * LOCALLLM_TEST_NVML_ENERGY    a file with the millijoules that every card counts; without it no
 *                              card has a counter, as before Volta
 *
 * `older` has a driver that knows only the old name of the slowdowns, the card of `unreachable`
 * fell off the bus of a driver that has no word for it, and `refused` is a container that lost
 * its right to the cards.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef int nvmlReturn_t;
enum {
    SUCCESS = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6,
    INSUFFICIENT_SIZE = 7, DRIVER_NOT_LOADED = 9, FUNCTION_NOT_FOUND = 13, GPU_IS_LOST = 15,
    UNKNOWN = 999
};
#define MIB (1024ULL * 1024ULL)
#define NOT_AVAILABLE (~0ULL)
#define DEAD_PID 99999999u
#define SW_POWER_CAP 0x4ULL
#define HW_SLOWDOWN 0x8ULL
#define HW_THERMAL_SLOWDOWN 0x40ULL

typedef struct {
    const char *name, *uuid, *bus;
    unsigned long long total_mib, free_mib;
    unsigned int major, minor, limit_mw;
} Card;
typedef Card *nvmlDevice_t;
typedef struct { unsigned long long total, free, used; } nvmlMemory_t;
typedef struct { unsigned int gpu, memory; } nvmlUtilization_t;
typedef struct {
    unsigned int version;
    unsigned long long total, reserved, free, used;
} nvmlMemory_v2_t;
typedef struct {
    char busIdLegacy[16];
    unsigned int domain, bus, device, pciDeviceId, pciSubSystemId;
    char busId[32];
} nvmlPciInfo_t;
typedef struct {
    unsigned int pid;
    unsigned long long usedGpuMemory;
    unsigned int gpuInstanceId, computeInstanceId;
} nvmlProcessInfo_t;

static Card RTX5090 = {"NVIDIA GeForce RTX 5090", "GPU-5090aaaa-0000-0000-0000-000000000001",
                       "00000000:01:00.0", 32607, 31900, 12, 0, 575000};
static Card SECOND5090 = {"NVIDIA GeForce RTX 5090", "GPU-5090bbbb-0000-0000-0000-000000000002",
                          "00000000:41:00.0", 32607, 32100, 12, 0, 575000};
static Card RTX4090 = {"NVIDIA GeForce RTX 4090", "GPU-4090aaaa-0000-0000-0000-000000000003",
                       "00000000:01:00.0", 24564, 23000, 8, 9, 450000};
static Card LAPTOP = {"NVIDIA GeForce RTX 4090 Laptop GPU",
                      "GPU-4090bbbb-0000-0000-0000-000000000004",
                      "00000000:01:00.0", 16376, 15800, 8, 9, 0};
static Card H100 = {"NVIDIA H100 80GB HBM3", "GPU-0100aaaa-0000-0000-0000-000000000005",
                    "00000000:19:00.0", 81559, 81004, 9, 0, 700000};

/* Shares the host's memory, so NVML does not answer for it. */
static Card GB10 = {"NVIDIA GB10", "GPU-0010aaaa-0000-0000-0000-000000000006",
                    "0000000F:01:00.0", 0, 0, 12, 1, 0};

static int opened = 0, questions = 0;

static int machine(const char *name) {
    const char *wanted = getenv("LOCALLLM_TEST_NVML");
    return wanted != NULL && strcmp(wanted, name) == 0;
}

/* NVML promises no order, so the mixed machine lists the higher bus first. */
static unsigned int cards(Card *found[2]) {
    found[0] = &RTX5090;
    found[1] = &SECOND5090;
    if (machine("empty")) return 0;
    if (machine("rtx4090")) { found[0] = &RTX4090; return 1; }
    if (machine("laptop")) { found[0] = &LAPTOP; return 1; }
    if (machine("h100")) { found[0] = &H100; return 1; }
    if (machine("gb10")) { found[0] = &GB10; return 1; }
    if (machine("mixed")) { found[0] = &SECOND5090; found[1] = &RTX4090; return 2; }
    return machine("two5090") || machine("halfway") ? 2 : 1;
}

static int answers(void) {
    const char *wanted = getenv("LOCALLLM_TEST_NVML_ANSWERS");
    return wanted == NULL ? 2 : atoi(wanted);
}

static int file_exists(const char *variable) {
    const char *path = getenv(variable);
    return path != NULL && access(path, F_OK) == 0;
}

/* Lost cards still have a name, a UUID and a bus. */
static nvmlReturn_t reached(nvmlDevice_t card) {
    if (!opened) return UNINITIALIZED;
    if (file_exists("LOCALLLM_TEST_NVML_LOST")) return GPU_IS_LOST;
    if (machine("unreachable")) return UNKNOWN;
    if (machine("halfway") && card == &SECOND5090) return GPU_IS_LOST;
    if (machine("vanishes") && ++questions > answers()) return GPU_IS_LOST;
    return SUCCESS;
}

static void log_line(const char *line) {
    const char *path = getenv("LOCALLLM_TEST_NVML_LOG");
    FILE *file = path == NULL ? NULL : fopen(path, "a");
    if (file == NULL) return;
    fprintf(file, "%s\n", line);
    fclose(file);
}

static nvmlReturn_t text(const char *source, char *target, unsigned int length) {
    snprintf(target, length, "%s", source);
    return SUCCESS;
}

nvmlReturn_t nvmlInitWithFlags(unsigned int flags) {
    (void)flags;
    if (machine("broken")) return DRIVER_NOT_LOADED;
    if (machine("refused")) return UNKNOWN;
    opened++;
    log_line("init");
    return SUCCESS;
}

nvmlReturn_t nvmlInit_v2(void) { return nvmlInitWithFlags(0); }

nvmlReturn_t nvmlShutdown(void) {
    if (!opened) return UNINITIALIZED;
    opened--;
    log_line("shutdown");
    return SUCCESS;
}

const char *nvmlErrorString(nvmlReturn_t code) {
    return code == GPU_IS_LOST ? "GPU is lost" : "Unknown Error";
}

nvmlReturn_t nvmlSystemGetDriverVersion(char *version, unsigned int length) {
    return opened ? text("570.86.16", version, length) : UNINITIALIZED;
}

nvmlReturn_t nvmlSystemGetNVMLVersion(char *version, unsigned int length) {
    return text("12.570.86.16", version, length);
}

nvmlReturn_t nvmlSystemGetCudaDriverVersion_v2(int *version) {
    *version = 12080;
    return opened ? SUCCESS : UNINITIALIZED;
}

nvmlReturn_t nvmlSystemGetCudaDriverVersion(int *version) {
    return nvmlSystemGetCudaDriverVersion_v2(version);
}

nvmlReturn_t nvmlDeviceGetCount_v2(unsigned int *count) {
    Card *found[2];
    *count = cards(found);
    return opened ? SUCCESS : UNINITIALIZED;
}

nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned int index, nvmlDevice_t *device) {
    Card *found[2];
    if (!opened) return UNINITIALIZED;
    if (index >= cards(found)) return INVALID_ARGUMENT;
    *device = found[index];
    return SUCCESS;
}

/* As nvml.h has it, one lost card is enough to find none. */
nvmlReturn_t nvmlDeviceGetHandleByUUID(const char *uuid, nvmlDevice_t *device) {
    Card *found[2];
    nvmlReturn_t answer = NOT_FOUND;
    if (!opened) return UNINITIALIZED;
    for (unsigned int i = cards(found); i-- > 0;) {
        nvmlReturn_t reach = reached(found[i]);
        if (reach != SUCCESS) return reach;
        if (strcmp(found[i]->uuid, uuid) != 0) continue;
        *device = found[i];
        answer = SUCCESS;
    }
    return answer;
}

nvmlReturn_t nvmlDeviceGetHandleByPciBusId_v2(const char *bus, nvmlDevice_t *device) {
    Card *found[2];
    if (!opened) return UNINITIALIZED;
    for (unsigned int i = cards(found); i-- > 0;) {
        if (strcmp(found[i]->bus, bus) != 0) continue;
        *device = found[i];
        return reached(found[i]);
    }
    return NOT_FOUND;
}

nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t card, char *name, unsigned int length) {
    return opened ? text(card->name, name, length) : UNINITIALIZED;
}

nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t card, char *uuid, unsigned int length) {
    return opened ? text(card->uuid, uuid, length) : UNINITIALIZED;
}

nvmlReturn_t nvmlDeviceGetPciInfo_v3(nvmlDevice_t card, nvmlPciInfo_t *pci) {
    memset(pci, 0, sizeof *pci);
    sscanf(card->bus, "%8x:%2x:%2x", &pci->domain, &pci->bus, &pci->device);
    snprintf(pci->busIdLegacy, sizeof pci->busIdLegacy, "%s", card->bus + 4);
    return text(card->bus, pci->busId, sizeof pci->busId);
}

nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t card, nvmlMemory_v2_t *memory) {
    const char *free_mib = getenv("LOCALLLM_TEST_NVML_FREE_MIB");
    nvmlReturn_t answer = reached(card);
    if (answer != SUCCESS) return answer;
    if (card->total_mib == 0) return NOT_SUPPORTED;
    memory->total = card->total_mib * MIB;
    memory->reserved = 0;
    memory->free = (free_mib ? strtoull(free_mib, NULL, 10) : card->free_mib) * MIB;
    memory->used = memory->total - memory->free;
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t card, nvmlMemory_t *memory) {
    nvmlMemory_v2_t more;
    nvmlReturn_t answer = nvmlDeviceGetMemoryInfo_v2(card, &more);
    if (answer != SUCCESS) return answer;
    *memory = (nvmlMemory_t){more.total, more.free, more.used};
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceGetCudaComputeCapability(nvmlDevice_t card, int *major, int *minor) {
    nvmlReturn_t answer = reached(card);
    *major = (int)card->major;
    *minor = (int)card->minor;
    return answer;
}

nvmlReturn_t nvmlDeviceGetEnforcedPowerLimit(nvmlDevice_t card, unsigned int *limit_mw) {
    nvmlReturn_t answer = reached(card);
    *limit_mw = card->limit_mw;
    return answer == SUCCESS && card->limit_mw == 0 ? NOT_SUPPORTED : answer;
}

nvmlReturn_t nvmlDeviceGetPowerManagementLimit(nvmlDevice_t card, unsigned int *limit_mw) {
    return nvmlDeviceGetEnforcedPowerLimit(card, limit_mw);
}

nvmlReturn_t nvmlDeviceGetTemperature(nvmlDevice_t card, int sensor, unsigned int *celsius) {
    (void)sensor;
    *celsius = file_exists("LOCALLLM_TEST_NVML_HOT") ? 91 : 45;
    return reached(card);
}

nvmlReturn_t nvmlDeviceGetPowerUsage(nvmlDevice_t card, unsigned int *milliwatts) {
    *milliwatts = 420500;
    return reached(card);
}

nvmlReturn_t nvmlDeviceGetTotalEnergyConsumption(nvmlDevice_t card,
                                                 unsigned long long *millijoules) {
    const char *path = getenv("LOCALLLM_TEST_NVML_ENERGY");
    FILE *file = path == NULL ? NULL : fopen(path, "r");
    int read = file == NULL ? 0 : fscanf(file, "%llu", millijoules);
    if (file != NULL) fclose(file);
    return read == 1 ? reached(card) : NOT_SUPPORTED;
}

nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t card, nvmlUtilization_t *percent) {
    if (machine("gb10")) return NOT_SUPPORTED;
    *percent = (nvmlUtilization_t){97, 60};
    return reached(card);
}

nvmlReturn_t nvmlDeviceGetCurrentClocksThrottleReasons(nvmlDevice_t card,
                                                       unsigned long long *reasons) {
    int hot = file_exists("LOCALLLM_TEST_NVML_HOT");
    *reasons = hot ? HW_THERMAL_SLOWDOWN | HW_SLOWDOWN : SW_POWER_CAP;
    return reached(card);
}

nvmlReturn_t nvmlDeviceGetCurrentClocksEventReasons(nvmlDevice_t card,
                                                    unsigned long long *reasons) {
    if (machine("older")) return FUNCTION_NOT_FOUND;
    return nvmlDeviceGetCurrentClocksThrottleReasons(card, reasons);
}

static nvmlReturn_t processes(nvmlDevice_t card, unsigned int *room, nvmlProcessInfo_t *out,
                              const nvmlProcessInfo_t *running, unsigned int count) {
    nvmlReturn_t answer = reached(card);
    unsigned int given = *room;
    if (answer != SUCCESS) return answer;
    *room = count;
    if (given < count) return INSUFFICIENT_SIZE;
    for (unsigned int i = 0; i < count; i++) {
        out[i] = running[i];
        if (machine("wsl")) out[i].usedGpuMemory = NOT_AVAILABLE;
    }
    return SUCCESS;
}

/* The asking process itself, its parent, and one that no longer exists. */
nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v3(nvmlDevice_t card, unsigned int *room,
                                                     nvmlProcessInfo_t *out) {
    nvmlProcessInfo_t running[] = {
        {(unsigned int)getpid(), 100 * MIB, 0, 0},
        {(unsigned int)getppid(), 512 * MIB, 0, 0},
        {DEAD_PID, 64 * MIB, 0, 0},
    };
    return processes(card, room, out, running, 3);
}

/* The parent again: it computes and draws. */
nvmlReturn_t nvmlDeviceGetGraphicsRunningProcesses_v3(nvmlDevice_t card, unsigned int *room,
                                                      nvmlProcessInfo_t *out) {
    nvmlProcessInfo_t running[] = {{(unsigned int)getppid(), 512 * MIB, 0, 0}};
    return machine("wsl") ? NOT_SUPPORTED : processes(card, room, out, running, 1);
}
