#include "trace/attrs.h"

#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind { KIND_TEXT, KIND_NUMBER, KIND_BOOL };

static const struct {
    const char *name;
    enum kind kind;
    bool fixed;         /* must be equal for a file to be continued; in this order of importance */
    const char *absent; /* value in a file that lacks it; NULL: every file has it */
} table[ATTRS] = {
    [A_FORMAT_VERSION] = {"format_version", KIND_NUMBER, false},
    [A_PROGRAM_VERSION] = {"program_version", KIND_TEXT, false},
    [A_COMMIT] = {"commit", KIND_TEXT, false},
    [A_JOB_YAML] = {"job_yaml", KIND_TEXT, false},
    [A_JOB_HASH] = {"job_hash", KIND_TEXT, true},
    [A_POINT_ID] = {"point_id", KIND_TEXT, true},
    [A_DTYPE] = {"dtype", KIND_TEXT, true},
    [A_BUDGET_TOKENS] = {"budget_tokens", KIND_NUMBER, true},
    [A_N] = {"n", KIND_NUMBER, true},
    [A_REPRODUCIBLE] = {"reproducible", KIND_BOOL, true},
    [A_JUDGE] = {"judge", KIND_TEXT, false, ""},
    [A_JUDGED_RUNS] = {"judged_runs", KIND_NUMBER, false, "0"},
    [A_PASS_ROWS] = {"pass_rows", KIND_NUMBER, false, "0"},
    [A_GENERATOR_WEIGHT_BYTES] = {"generator_weight_bytes", KIND_NUMBER, false, "0"},
    [A_REWARD_WEIGHT_BYTES] = {"reward_weight_bytes", KIND_NUMBER, false, "0"},
    [A_GENERATOR_KV_BYTES] = {"generator_kv_bytes", KIND_NUMBER, false, "0"},
    [A_REWARD_KV_BYTES] = {"reward_kv_bytes", KIND_NUMBER, false, "0"},
};

const char *attrs_name(enum attr a)
{
    return table[a].name;
}

static char *text_or_empty(const char *s)
{
    return mem_strdup(s ? s : "");
}

void attrs_from_meta(struct attrs *a, const struct trace_meta *meta)
{
    *a = (struct attrs){0};
    a->value[A_FORMAT_VERSION] = mem_printf("%d", TRACE_FORMAT_VERSION);
    a->value[A_PROGRAM_VERSION] = text_or_empty(meta->program_version);
    a->value[A_COMMIT] = text_or_empty(meta->commit);
    a->value[A_JOB_YAML] = text_or_empty(meta->job_yaml);
    a->value[A_JOB_HASH] = text_or_empty(meta->job_hash);
    a->value[A_POINT_ID] = text_or_empty(meta->point_id);
    a->value[A_DTYPE] = text_or_empty(meta->dtype);
    a->value[A_BUDGET_TOKENS] = mem_printf("%" PRId64, meta->budget_tokens);
    a->value[A_N] = mem_printf("%" PRId64, meta->n);
    a->value[A_REPRODUCIBLE] = text_or_empty(meta->reproducible ? "true" : "false");
    const struct trace_passes *p = &meta->passes;
    a->value[A_PASS_ROWS] = mem_printf("%" PRId64, p->rows);
    a->value[A_GENERATOR_WEIGHT_BYTES] = mem_printf("%" PRId64, p->generator_weight_bytes);
    a->value[A_REWARD_WEIGHT_BYTES] = mem_printf("%" PRId64, p->reward_weight_bytes);
    a->value[A_GENERATOR_KV_BYTES] = mem_printf("%" PRId64, p->generator_kv_bytes);
    a->value[A_REWARD_KV_BYTES] = mem_printf("%" PRId64, p->reward_kv_bytes);
    attrs_set_judge(a, "", 0);
}

void attrs_set_judge(struct attrs *a, const char *judge, int64_t judged_runs)
{
    free(a->value[A_JUDGE]);
    free(a->value[A_JUDGED_RUNS]);
    a->value[A_JUDGE] = text_or_empty(judge);
    a->value[A_JUDGED_RUNS] = mem_printf("%" PRId64, judged_runs);
}

void attrs_free(struct attrs *a)
{
    for (int i = 0; i < ATTRS; i++) {
        free(a->value[i]);
        a->value[i] = NULL;
    }
}

/* The type of a value in the file; a boolean is the enum that h5py makes of one. */
static hid_t file_type(enum kind kind, size_t text_bytes)
{
    if (kind == KIND_NUMBER) return H5_MUST(H5Tcopy(H5T_NATIVE_INT64));
    if (kind == KIND_BOOL) {
        hid_t t = H5_MUST(H5Tenum_create(H5T_NATIVE_INT8));
        int8_t no = 0, yes = 1;
        H5_MUST(H5Tenum_insert(t, "FALSE", &no));
        H5_MUST(H5Tenum_insert(t, "TRUE", &yes));
        return t;
    }
    hid_t t = H5_MUST(H5Tcopy(H5T_C_S1));
    H5_MUST(H5Tset_size(t, text_bytes ? text_bytes : 1));
    H5_MUST(H5Tset_strpad(t, H5T_STR_NULLPAD));
    H5_MUST(H5Tset_cset(t, H5T_CSET_UTF8));
    return t;
}

static int write_one(hid_t file, enum attr i, const char *value, const char *path, struct err *e)
{
    enum kind kind = table[i].kind;
    int64_t number = kind == KIND_NUMBER ? strtoll(value, NULL, 10) : 0;
    int8_t yes = kind == KIND_BOOL && strcmp(value, "true") == 0;
    const void *bytes = kind == KIND_TEXT     ? (const void *)value
                        : kind == KIND_NUMBER ? (const void *)&number
                                              : &yes;
    hid_t type = file_type(kind, strlen(value));
    hid_t space = H5_MUST(H5Screate(H5S_SCALAR));
    hid_t attr = H5Acreate2(file, table[i].name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    int rc = 0;
    if (attr < 0 || H5Awrite(attr, type, bytes) < 0)
        rc = h5_err(e, "%s: cannot write attribute '%s'", path, table[i].name);
    if (attr >= 0) H5Aclose(attr);
    H5Sclose(space);
    H5Tclose(type);
    return rc;
}

int attrs_write(const struct attrs *a, hid_t file, const char *path, struct err *e)
{
    for (int i = 0; i < ATTRS; i++) TRY(write_one(file, (enum attr)i, a->value[i], path, e));
    return 0;
}

static int cannot_read(enum attr i, const char *path, struct err *e)
{
    return h5_err(e, "%s: cannot read attribute '%s'", path, table[i].name);
}

/* NULL: it is no text, or, with *e set, it cannot be read. */
static char *read_text(hid_t attr, enum attr i, const char *path, struct err *e)
{
    hid_t stored = H5Aget_type(attr);
    size_t bytes = stored >= 0 && H5Tget_class(stored) == H5T_STRING ? H5Tget_size(stored) : 0;
    if (stored >= 0) H5Tclose(stored);
    /* The file says how long: a damaged size must not end the program. */
    char *value = bytes ? calloc(bytes + 1, 1) : NULL;
    if (bytes && !value) err_set(e, "%s: no memory for an attribute of %zu bytes", path, bytes);
    if (!value) return NULL;
    hid_t type = file_type(KIND_TEXT, bytes);
    herr_t rc = H5Aread(attr, type, value);
    if (rc < 0) cannot_read(i, path, e);
    H5Tclose(type);
    if (rc >= 0) return value;
    free(value);
    return NULL;
}

/* NULL: it is not there, or, with *e set, cannot be read. */
static char *read_one(hid_t file, enum attr i, const char *path, struct err *e)
{
    htri_t exists = H5Aexists(file, table[i].name);
    hid_t attr = exists > 0 ? H5Aopen(file, table[i].name, H5P_DEFAULT) : H5I_INVALID_HID;
    if (exists < 0 || (exists > 0 && attr < 0)) cannot_read(i, path, e);
    if (attr < 0) return NULL;
    hid_t space = H5Aget_space(attr);
    bool is_scalar = space >= 0 && H5Sget_simple_extent_type(space) == H5S_SCALAR;
    if (space >= 0) H5Sclose(space);
    char *value = NULL;
    if (!is_scalar) {
        /* of another program: leave it */
    } else if (table[i].kind == KIND_TEXT) {
        value = read_text(attr, i, path, e);
    } else {
        int64_t number = 0;
        int8_t yes = 0;
        bool is_number = table[i].kind == KIND_NUMBER;
        hid_t type = file_type(table[i].kind, 0);
        if (H5Aread(attr, type, is_number ? (void *)&number : &yes) >= 0)
            value = is_number ? mem_printf("%" PRId64, number) : mem_strdup(yes ? "true" : "false");
        else
            cannot_read(i, path, e);
        H5Tclose(type);
    }
    H5Aclose(attr);
    return value;
}

/* The version comes first: another one may have other attributes. */
static int check_version(const char *version, const char *path, struct err *e)
{
    if (!version)
        return err_set(e,
                       "%s: an HDF5 file, but not a result file of this program (no attribute "
                       "'format_version')",
                       path);
    if (strtol(version, NULL, 10) == TRACE_FORMAT_VERSION) return 0;
    return err_set(e, "%s: format version %s, this program reads version %d", path, version,
                   TRACE_FORMAT_VERSION);
}

int attrs_read(struct attrs *a, hid_t file, const char *path, struct err *e)
{
    memset(a, 0, sizeof *a);
    for (int i = 0; i < ATTRS; i++) {
        struct err why = {0};
        a->value[i] = read_one(file, (enum attr)i, path, &why);
        if (why.text[0]) {
            *e = why;
            goto fail;
        }
        if (i == A_FORMAT_VERSION) TRY_GOTO(check_version(a->value[i], path, e), fail);
        if (!a->value[i] && table[i].absent) a->value[i] = mem_strdup(table[i].absent);
        if (a->value[i]) continue;
        err_set(e, "%s: attribute '%s' is missing or damaged", path, table[i].name);
        goto fail;
    }
    return 0;
fail:
    attrs_free(a);
    return -1;
}

/* The first two lines in which two canonical YAML texts differ, as a hint for a person. */
static void differing_lines(const char *have, const char *want, char *out, size_t bytes)
{
    size_t used = 0;
    out[0] = 0;
    for (int shown = 0; *have && *want && shown < 2;) {
        size_t h = strcspn(have, "\n"), w = strcspn(want, "\n");
        if (h != w || memcmp(have, want, h) != 0) {
            int n = snprintf(out + used, bytes - used, "%s'%.*s' there, '%.*s' here",
                             shown ? "; " : ": ", (int)(h < 60 ? h : 60), have,
                             (int)(w < 60 ? w : 60), want);
            if (n < 0 || (size_t)n >= bytes - used) return;
            used += (size_t)n;
            shown++;
        }
        have += h + (have[h] != 0);
        want += w + (want[w] != 0);
    }
}

int attrs_match(const struct attrs *have, const struct attrs *want, const char *path, struct err *e)
{
    for (int i = 0; i < ATTRS; i++) {
        if (!table[i].fixed || strcmp(have->value[i], want->value[i]) == 0) continue;
        char lines[280];
        differing_lines(have->value[A_JOB_YAML], want->value[A_JOB_YAML], lines, sizeof lines);
        return err_set(e, "%s belongs to another job: %s is %.40s there, %.40s here%s", path,
                       table[i].name, have->value[i], want->value[i], lines);
    }
    return 0;
}
