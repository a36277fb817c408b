/* Energy counters: a made-up /sys/class/powercap. */
#include "base/energy.h"
#include "base/mem.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct sysfs {
    char root[64];
};

static void put(const struct sysfs *s, const char *zone, const char *file, unsigned long long value)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", s->root, zone);
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/%s/%s", s->root, zone, file);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f, "%llu\n", value);
    fclose(f);
}

static void set(const struct sysfs *s, unsigned long long first, unsigned long long second)
{
    put(s, "intel-rapl:0", "energy_uj", first);
    put(s, "intel-rapl:1", "energy_uj", second);
}

static int make(void **state)
{
    static struct sysfs s;
    snprintf(s.root, sizeof s.root, "/tmp/specrej-energy.XXXXXX");
    assert_non_null(mkdtemp(s.root));
    set(&s, 1000000, 65000000);
    put(&s, "intel-rapl:0", "max_energy_range_uj", 65532610);
    put(&s, "intel-rapl:1", "max_energy_range_uj", 65532610);
    put(&s, "intel-rapl:0:0", "energy_uj", 777); /* a part of package 0 */
    put(&s, "intel-rapl-mmio:0", "energy_uj", 777);
    *state = &s;
    return 0;
}

static int unmake(void **state)
{
    const struct sysfs *s = *state;
    char *command = mem_printf("rm -r %s", s->root);
    int rc = system(command);
    free(command);
    return rc;
}

static void counts_packages(void **state)
{
    const struct sysfs *s = *state;
    struct energy *e = energy_open(s->root);
    assert_non_null(e);
    assert_true(energy_read(e) == 0);
    set(s, 3500000, 65000000);
    assert_true(fabs(energy_read(e) - 2.5) < 1e-9);
    set(s, 3500000, 467390); /* 0.53261 J to the end of the range, then from 0 */
    assert_true(fabs(energy_read(e) - 3.5) < 1e-9);
    put(s, "intel-rapl:0:0", "energy_uj", 999999999);
    assert_true(fabs(energy_read(e) - 3.5) < 1e-9);
    char path[256];
    snprintf(path, sizeof path, "%s/intel-rapl:1/energy_uj", s->root);
    assert_int_equal(unlink(path), 0);
    assert_true(isnan(energy_read(e)));
    energy_close(e);
    assert_null(energy_open(s->root)); /* one package of two is not the host */
}

static void unknown(void **state)
{
    (void)state;
    assert_null(energy_open("/nonexistent"));
    assert_true(isnan(energy_read(NULL)));
    energy_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(counts_packages, make, unmake),
        cmocka_unit_test(unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
