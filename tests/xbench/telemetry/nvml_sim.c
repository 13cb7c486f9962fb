/* A simulated libnvidia-ml.so.1: NVML's functions over GPUs whose power and time a test sets.
 *
 * nvidia-ml-py loads it in place of the driver's library, so that every call goes through its own
 * C layer. Functions named sim_* are the test's; the others have NVML's signatures and error codes.
 * Power is added up in steps of a millisecond; the counter and the powers are renewed every period,
 * as on hardware, and nvmlDeviceGetPowerUsage is the mean of the last second.
 */
#include <math.h>
#include <string.h>

typedef unsigned long long u64;
enum { OK = 0, UNINITIALIZED = 1, INVALID = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, TOO_SMALL = 7 };
enum { GPUS = 4, PARTS = 7, PROCESSES = 8, SECOND = 1000, FAULTS = 16, INSTANT = 186, HELD = 8,
       POLICIES = 12 };

typedef struct {
    char uuid[96], name[64];
    double watts, at_s, left_s, period_s;        /* what it draws; time; how often it tells */
    double spent_j, base_j;                      /* what it drew; at the driver's last start */
    double told_j, told_w, told_mean_w;          /* what is told until the next period */
    double history_w[SECOND];
    long steps;
    int frozen, split, processes;
    unsigned busy, pids[PROCESSES];
    u64 process_bytes[PROCESSES], used_bytes, reserved_bytes;
    unsigned memory_reads, sm_mhz, mem_mhz, celsius;
    u64 reasons;                                 /* bits: why its clock is not higher */
    struct { unsigned field; u64 ns; } held[HELD];            /* counters that its driver has */
    struct { int known; u64 ns; } violations[POLICIES];       /* the older ones */
    struct { char function[64]; int code; } faults[FAULTS];
} Gpu;
typedef struct { int gpu, part; char uuid[96]; } Handle;

static Gpu gpus[GPUS];
static Handle wholes[GPUS], parts[GPUS][PARTS];
static int count, ready;

/* ---- the test's side ---- */
void sim_reset(int n) {
    memset(gpus, 0, sizeof gpus);
    memset(parts, 0, sizeof parts);
    count = n;
    ready = 0;
    for (int i = 0; i < GPUS; i++) {
        gpus[i].period_s = 0.1;
        wholes[i] = (Handle){.gpu = i, .part = -1};
    }
}
void sim_identity(int i, const char *uuid, const char *name) {
    strncpy(gpus[i].uuid, uuid, 95);
    strncpy(wholes[i].uuid, uuid, 95);
    strncpy(gpus[i].name, name, 63);
}
void sim_watts(int i, double watts) { gpus[i].watts = watts; }
void sim_period(int i, double seconds) { gpus[i].period_s = seconds; }
void sim_frozen(int i) { gpus[i].frozen = 1; }
void sim_reload(int i) { gpus[i].base_j = gpus[i].spent_j; gpus[i].told_j = 0; }
void sim_busy(int i, unsigned percent) { gpus[i].busy = percent; }
void sim_memory(int i, u64 used, u64 reserved) {
    gpus[i].used_bytes = used;
    gpus[i].reserved_bytes = reserved;
}
void sim_process(int i, unsigned pid, u64 bytes) {
    int k = 0;
    while (k < gpus[i].processes && gpus[i].pids[k] != pid) k++;
    gpus[i].pids[k] = pid;
    gpus[i].process_bytes[k] = bytes;
    if (k == gpus[i].processes) gpus[i].processes++;
}
unsigned sim_memory_reads(int i) { return gpus[i].memory_reads; }
void sim_clocks(int i, unsigned sm_mhz, unsigned mem_mhz, unsigned celsius) {
    gpus[i].sm_mhz = sm_mhz;
    gpus[i].mem_mhz = mem_mhz;
    gpus[i].celsius = celsius;
}
void sim_reasons(int i, u64 bits) { gpus[i].reasons = bits; }
void sim_held(int i, unsigned field, u64 ns) {
    int k = 0;
    while (gpus[i].held[k].field && gpus[i].held[k].field != field) k++;
    gpus[i].held[k].field = field;
    gpus[i].held[k].ns = ns;
}
void sim_violation(int i, int policy, u64 ns) {
    gpus[i].violations[policy].known = 1;
    gpus[i].violations[policy].ns = ns;
}
void sim_mig(int i, int part, const char *uuid) {
    gpus[i].split = 1;
    parts[i][part] = (Handle){.gpu = i, .part = part};
    strncpy(parts[i][part].uuid, uuid, 95);
}
void sim_fault(int i, const char *function, int code) {
    int k = 0;
    while (gpus[i].faults[k].function[0] && strcmp(gpus[i].faults[k].function, function)) k++;
    strncpy(gpus[i].faults[k].function, function, 63);
    gpus[i].faults[k].code = code;
}
double sim_spent_j(int i) { return gpus[i].spent_j; }

static void step(Gpu *g) {
    double before_s = g->at_s;
    g->at_s += 0.001;
    g->spent_j += g->watts * 0.001;
    g->history_w[g->steps++ % SECOND] = g->watts;
    if (floor(g->at_s / g->period_s) == floor(before_s / g->period_s)) return;
    long n = g->steps < SECOND ? g->steps : SECOND;
    double sum_w = 0;
    for (long k = 0; k < n; k++) sum_w += g->history_w[k];
    if (g->frozen) return;
    g->told_j = g->spent_j - g->base_j;
    g->told_w = g->watts;
    g->told_mean_w = sum_w / n;
}
void sim_advance(double seconds) {
    for (int i = 0; i < count; i++)
        for (gpus[i].left_s += seconds; gpus[i].left_s >= 0.001; gpus[i].left_s -= 0.001)
            step(&gpus[i]);
}

/* ---- NVML's side ---- */
static int fault(const Handle *h, const char *function) {
    if (!ready) return UNINITIALIZED;
    for (int k = 0; k < FAULTS && gpus[h->gpu].faults[k].function[0]; k++)
        if (!strcmp(gpus[h->gpu].faults[k].function, function)) return gpus[h->gpu].faults[k].code;
    return OK;
}
#define CHECK(h) do { int code = fault(h, __func__); if (code) return code; } while (0)
#define WHOLE(h) if ((h)->part >= 0) return NOT_SUPPORTED

int nvmlInitWithFlags(unsigned flags) { (void)flags; ready = 1; return OK; }
int nvmlShutdown(void) { ready = 0; return OK; }
const char *nvmlErrorString(int code) { (void)code; return "an error of the simulation"; }
int nvmlSystemGetDriverVersion(char *text, unsigned size) {
    strncpy(text, "580.1", size);
    return OK;
}
int nvmlDeviceGetCount_v2(unsigned *n) { *n = count; return ready ? OK : UNINITIALIZED; }
int nvmlDeviceGetHandleByIndex_v2(unsigned i, Handle **h) {
    if (i >= (unsigned)count) return INVALID;
    *h = &wholes[i];
    CHECK(*h);
    return OK;
}
int nvmlDeviceGetUUID(Handle *h, char *text, unsigned size) {
    CHECK(h);
    strncpy(text, h->uuid, size);
    return OK;
}
int nvmlDeviceGetName(Handle *h, char *text, unsigned size) {
    CHECK(h);
    strncpy(text, gpus[h->gpu].name, size);
    return OK;
}
int nvmlDeviceGetMigMode(Handle *h, unsigned *now, unsigned *pending) {
    CHECK(h);
    *now = *pending = gpus[h->gpu].split;
    return OK;
}
int nvmlDeviceGetMaxMigDeviceCount(Handle *h, unsigned *n) {
    CHECK(h);
    *n = PARTS;
    return OK;
}
int nvmlDeviceGetMigDeviceHandleByIndex(Handle *h, unsigned i, Handle **part) {
    CHECK(h);
    if (i >= PARTS || !parts[h->gpu][i].uuid[0]) return NOT_FOUND;
    *part = &parts[h->gpu][i];
    return OK;
}
int nvmlDeviceGetTotalEnergyConsumption(Handle *h, u64 *millijoules) {
    CHECK(h);
    WHOLE(h);
    *millijoules = (u64)(1000 * gpus[h->gpu].told_j);
    return OK;
}
int nvmlDeviceGetPowerUsage(Handle *h, unsigned *milliwatts) {
    CHECK(h);
    WHOLE(h);
    *milliwatts = (unsigned)(1000 * gpus[h->gpu].told_mean_w);
    return OK;
}
int nvmlDeviceGetEnforcedPowerLimit(Handle *h, unsigned *milliwatts) {
    CHECK(h);
    *milliwatts = 700000;
    return OK;
}
/* what `xbench devices` asks besides */
int nvmlSystemGetCudaDriverVersion(int *version) { *version = 13000; return ready ? OK : UNINITIALIZED; }
int nvmlDeviceGetCudaComputeCapability(Handle *h, int *major, int *minor) {
    CHECK(h);
    *major = 9, *minor = 0;
    return OK;
}
int nvmlDeviceGetMaxClockInfo(Handle *h, int kind, unsigned *mhz) {
    CHECK(h);
    *mhz = kind == 2 ? 2619 : 1980; /* NVML_CLOCK_MEM */
    return OK;
}
int nvmlDeviceGetPowerManagementDefaultLimit(Handle *h, unsigned *milliwatts) {
    CHECK(h);
    *milliwatts = 650000;
    return OK;
}
int nvmlDeviceGetPowerManagementLimitConstraints(Handle *h, unsigned *least, unsigned *most) {
    CHECK(h);
    *least = 200000, *most = 700000;
    return OK;
}
int nvmlDeviceGetPersistenceMode(Handle *h, unsigned *on) {
    CHECK(h);
    *on = 1;
    return OK;
}
int nvmlDeviceGetEccMode(Handle *h, unsigned *now, unsigned *pending) {
    CHECK(h);
    *now = 0, *pending = 1;
    return OK;
}
typedef struct {
    unsigned field, scope;
    long long timestamp, latency;
    int type, code;
    union { double d; int i; unsigned u; u64 ull; } value;
} Field;
int nvmlDeviceGetFieldValues(Handle *h, int n, Field *fields) {
    CHECK(h);
    Gpu *g = &gpus[h->gpu];
    for (int k = 0; k < n; k++) {
        fields[k].code = NOT_SUPPORTED;
        if (h->part >= 0) continue;
        if (fields[k].field == INSTANT) {
            fields[k].code = fault(h, "INSTANT");
            fields[k].type = 1;
            fields[k].value.u = (unsigned)(1000 * g->told_w);
        }
        for (int j = 0; j < HELD && g->held[j].field; j++)
            if (g->held[j].field == fields[k].field) {
                fields[k].code = OK;
                fields[k].type = 3;
                fields[k].value.ull = g->held[j].ns;
            }
    }
    return OK;
}
typedef struct { u64 reference_us, ns; } Violation;
int nvmlDeviceGetViolationStatus(Handle *h, int policy, Violation *time) {
    CHECK(h);
    WHOLE(h);
    if (!gpus[h->gpu].violations[policy].known) return NOT_SUPPORTED;
    *time = (Violation){0, gpus[h->gpu].violations[policy].ns};
    return OK;
}
int nvmlDeviceGetClockInfo(Handle *h, int kind, unsigned *mhz) {
    CHECK(h);
    *mhz = kind == 2 ? gpus[h->gpu].mem_mhz : gpus[h->gpu].sm_mhz;
    return OK;
}
int nvmlDeviceGetTemperature(Handle *h, int sensor, unsigned *celsius) {
    CHECK(h);
    if (sensor) return INVALID;
    *celsius = gpus[h->gpu].celsius;
    return OK;
}
int nvmlDeviceGetCurrentClocksEventReasons(Handle *h, u64 *bits) {
    CHECK(h);
    *bits = gpus[h->gpu].reasons;
    return OK;
}
int nvmlDeviceGetCurrentClocksThrottleReasons(Handle *h, u64 *bits) {
    CHECK(h);
    *bits = gpus[h->gpu].reasons;
    return OK;
}
typedef struct { unsigned gpu, memory; } Utilization;
int nvmlDeviceGetUtilizationRates(Handle *h, Utilization *rates) {
    CHECK(h);
    *rates = (Utilization){gpus[h->gpu].busy, 0};
    return OK;
}
typedef struct { u64 total, free, used; } Memory;
typedef struct { unsigned version; u64 total, reserved, free, used; } Memory2;
enum { ALL = 80 };
int nvmlDeviceGetMemoryInfo(Handle *h, Memory *m) {
    CHECK(h);
    gpus[h->gpu].memory_reads++;
    u64 used = gpus[h->gpu].used_bytes + gpus[h->gpu].reserved_bytes;
    *m = (Memory){(u64)ALL << 30, ((u64)ALL << 30) - used, used};
    return OK;
}
int nvmlDeviceGetMemoryInfo_v2(Handle *h, Memory2 *m) {
    CHECK(h);
    gpus[h->gpu].memory_reads++;
    m->total = (u64)ALL << 30;
    m->used = gpus[h->gpu].used_bytes;
    m->reserved = gpus[h->gpu].reserved_bytes;
    m->free = m->total - m->used - m->reserved;
    return OK;
}
typedef struct { unsigned pid; u64 bytes; unsigned gpu_instance, compute_instance; } Process;
int nvmlDeviceGetComputeRunningProcesses_v3(Handle *h, unsigned *n, Process *found) {
    CHECK(h);
    Gpu *g = &gpus[h->gpu];
    unsigned room = *n;
    *n = g->processes;
    if ((unsigned)g->processes > room || (!found && g->processes)) return TOO_SMALL;
    for (int k = 0; k < g->processes; k++)
        found[k] = (Process){g->pids[k], g->process_bytes[k], ~0u, ~0u};
    return OK;
}
