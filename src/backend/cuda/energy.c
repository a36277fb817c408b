/* Energy by NVML, the driver's library, opened at run time: a machine without it just does not
 * know.  Declarations as NVML documents them. */
#include "cuda.h"

#include "base/mem.h"

#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct cuda_energy {
    void *library, *device;
    int (*total_mj)(void *device, unsigned long long *millijoules);
    int (*shutdown)(void);
};

/* "GPU-" and 32 hexadecimal digits in groups of 4, 2, 2, 2, 6 bytes. */
static void write_uuid(char *out, const unsigned char *bytes)
{
    out += sprintf(out, "GPU");
    for (int i = 0; i < 16; i++)
        out += sprintf(out, "%s%02x", i == 0 || i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
                       (unsigned)bytes[i]);
}

struct cuda_energy *cuda_energy_open(const unsigned char uuid[16])
{
    int (*init)(void), (*by_uuid)(const char *, void **);
    char name[64];
    struct cuda_energy *e = mem_calloc(1, sizeof *e);
    e->library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!e->library) goto unknown;
    *(void **)&init = dlsym(e->library, "nvmlInit_v2");
    *(void **)&by_uuid = dlsym(e->library, "nvmlDeviceGetHandleByUUID");
    *(void **)&e->total_mj = dlsym(e->library, "nvmlDeviceGetTotalEnergyConsumption");
    *(void **)&e->shutdown = dlsym(e->library, "nvmlShutdown");
    if (!init || !by_uuid || !e->total_mj || !e->shutdown || init() != 0) goto unknown;
    unsigned long long now;
    write_uuid(name, uuid);
    if (by_uuid(name, &e->device) == 0 && e->total_mj(e->device, &now) == 0) return e;
    e->shutdown();
unknown:
    if (e->library) dlclose(e->library);
    free(e);
    return NULL;
}

void cuda_energy_close(struct cuda_energy *e)
{
    if (!e) return;
    e->shutdown();
    dlclose(e->library);
    free(e);
}

double cuda_energy_j(struct backend *b)
{
    const struct cuda_energy *e = cuda_of(b)->energy;
    unsigned long long now;
    if (!e || e->total_mj(e->device, &now) != 0) return NAN;
    return (double)now * 1e-3 / b->ranks_on_device;
}
