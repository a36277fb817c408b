/* A sweep's folder, NAME.sweep: what was submitted of it.
 *
 * manifest.json: its points and its submissions; replaced by rename.
 *
 * points/ID.yaml: the whole job of each point, as it was when it was submitted: a job file that is
 * edited while its tasks wait changes nothing of them.
 *
 * tasks-K.txt: of submission K, a line per task of the array with its points' files, as seen from
 * the folder.
 *
 * logs/JOB_TASK.log */
#pragma once

#include "base/json.h"
#include "job/sweep.h"

struct sweep_folder {
    char *path;       /* absolute; owned */
    json_t *manifest; /* owned; NULL: nothing was submitted yet */
};

/* A point's place in Slurm: task `index` of the array `job`. */
struct folder_task {
    int64_t job, index;
    size_t n_points; /* that share the task */
};

/* NAME.sweep in the working directory.  Caller frees. */
char *folder_default_path(const char *job_name);

/* A folder that need not exist.  -1 with *e: not a manifest of ours. */
int folder_open(struct sweep_folder *f, const char *path, struct err *e);
void folder_close(struct sweep_folder *f);

/* Job ids of all submissions, in *jobs (caller frees); returns how many. */
size_t folder_jobs(const struct sweep_folder *f, int64_t **jobs);
/* The newest task that this point was given; false: none. */
bool folder_find(const struct sweep_folder *f, const char *id, struct folder_task *t);
/* Log of a task.  Caller frees. */
char *folder_log(const struct sweep_folder *f, const struct folder_task *t);
/* Ids of the points of the newest submission's sweep: n texts, borrowed from the manifest. */
size_t folder_n_points(const struct sweep_folder *f);
const char *folder_point(const struct sweep_folder *f, size_t i);
/* points/ID.yaml.  Caller frees. */
char *folder_point_file(const struct sweep_folder *f, const char *id);

/* Where the next submission's list of tasks goes.  Caller frees. */
char *folder_list(const struct sweep_folder *f);

/* A new submission: the points of the sweep, and which of them go, `per_task` by `per_task`.
 * Writes the points' job files and the list of tasks. */
int folder_prepare(const struct sweep_folder *f, const struct sweep *s, const size_t *chosen,
                   size_t n_chosen, size_t per_task, struct err *e);
/* Slurm took it as `job`: into the manifest. */
int folder_submitted(struct sweep_folder *f, const struct sweep *s, const size_t *chosen,
                     size_t n_chosen, size_t per_task, int64_t job, struct err *e);
