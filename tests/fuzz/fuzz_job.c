/* A job file and, as a second part, overrides (--set), one a line.  What is accepted must survive
 * its own canonical form: the same point and the same hash. */
#include "base/mem.h"
#include "fuzz/fuzz.h"
#include "job/sweep.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_SETS = 8, MAX_POINTS = 4 };

static void round_trip(const struct job *j)
{
    char id[2][HASH_HEX], hash[2][HASH_HEX];
    char *yaml = job_to_yaml(j);
    struct job again;
    struct err e = {0};
    int rc = job_from_yaml(&again, yaml, "again", &e);
    if (rc < 0) DIE("%s\n%s", e.text, yaml);
    job_point_id(j, id[0]);
    job_point_id(&again, id[1]);
    job_hash(j, hash[0]);
    job_hash(&again, hash[1]);
    ENSURE(!strcmp(id[0], id[1]) && !strcmp(hash[0], hash[1]));
    free(job_output_path(j));
    free(yaml);
    job_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    size_t length;
    char *yaml = fuzz_part(bytes, n, 0, &length);
    const char *file = fuzz_write("job.yaml", yaml, length);
    free(yaml);
    char *sets = fuzz_part(bytes, n, 1, &length), *rest = sets;
    const char *list[MAX_SETS];
    int n_sets = 0;
    for (char *one; sets && n_sets < MAX_SETS && (one = strsep(&rest, "\n")) != NULL;)
        if (one[0]) list[n_sets++] = one;
    struct sweep s = {0};
    struct err e = {0};
    int rc = sweep_open(&s, file, list, n_sets, &e);
    fuzz_check(rc, &e);
    for (int64_t i = 0; rc == 0 && i < s.n_points && i < MAX_POINTS; i++) round_trip(&s.points[i]);
    if (rc == 0) sweep_free(&s);
    free(sets);
    return 0;
}
