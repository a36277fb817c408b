#include "run/plan/files.h"

#include "base/mem.h"
#include "trace/format.h"

#include <errno.h>
#include <libgen.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#define TEXT_BYTES_OF_TOKEN 4.5   /* of English text, as of most tokenizers */
#define EMPTY_FILE_BYTES    200e3 /* tables and chunks of a file without prompts */
#define SPARE_TABLES        1.05  /* chunks that are not full, HDF5's own blocks */

/* Numbers of statfs(2), <linux/magic.h> and the makers' own.  worry: what may go wrong there. */
static const struct file_system {
    unsigned long type;
    const char *name, *worry;
} file_systems[] = {
    {0xEF53, "ext4", NULL},
    {0x58465342, "xfs", NULL},
    {0x9123683E, "btrfs", NULL},
    {0x2FC12FC1, "zfs", NULL},
    {0xF2F52010, "f2fs", NULL},
    {0x6969, "nfs",
     "NFS: readers of a file that is being written may see stale parts of it, fsync is slow and a "
     "lock file may linger after a lost connection"},
    {0x0BD00BD0, "lustre",
     "Lustre: every commit's fsync goes to the servers (milliseconds to seconds when they are "
     "busy)"},
    {0x47504653, "gpfs",
     "GPFS: a reader on another node takes the write token away, which slows the writer down"},
    {0x19830326, "beegfs",
     "BeeGFS: fsync may be configured to return early: what was committed could be lost with a "
     "server"},
    {0x00C36400, "ceph", "CephFS: fsync waits for all replicas"},
    {0x01021994, "tmpfs",
     "tmpfs: the results are gone when the node restarts, and take its memory"},
    {0x858458F6, "ramfs",
     "ramfs: the results are gone when the node restarts, and take its memory"},
    {0x65735546, "fuse", "a FUSE file system: whether fsync and O_EXCL hold there depends on it"},
    {0xFF534D42, "cifs", "SMB: locks and O_EXCL depend on the server"},
    {0xFE534D42, "smb2", "SMB: locks and O_EXCL depend on the server"},
    {0x794C7630, "overlayfs",
     "overlayfs: results in a container's layer may go with the container"},
    {0x01021997, "9p", "9p: fsync and locks depend on the host"},
    {0xAAD7AAEA, "panfs", "PanFS: every commit's fsync goes to the servers"},
    {0x5346414F, "afs", "AFS: a file is only safe once it is closed"},
};

static void name_file_system(struct plan_output *o, unsigned long type, struct plan_notes *notes)
{
    snprintf(o->file_system, sizeof o->file_system, "type 0x%lx", type);
    for (size_t i = 0; i < sizeof file_systems / sizeof *file_systems; i++) {
        const struct file_system *f = &file_systems[i];
        if (f->type != type) continue;
        snprintf(o->file_system, sizeof o->file_system, "%s", f->name);
        if (f->worry) notes_add(notes, NOTE_WARNING, "output %s is on %s", o->folder, f->worry);
        return;
    }
    notes_add(
        notes, NOTE_WARNING,
        "output %s is on a file system of unknown kind (%s): whether its fsync and locks hold "
        "is not known",
        o->folder, o->file_system);
}

/* The folder itself, or the nearest above it. */
static void nearest_folder(char *folder, size_t size, const char *path)
{
    char *copy = mem_strdup(path), *at = dirname(copy);
    while (access(at, F_OK) != 0 && strcmp(at, "/") != 0 && strcmp(at, ".") != 0) at = dirname(at);
    snprintf(folder, size, "%s", at);
    free(copy);
}

void output_look(struct plan_output *o, const struct job *j, struct plan_notes *notes)
{
    char *path = job_output_path(j);
    struct err e;
    struct statvfs room;
    struct statfs kind;
    *o = (struct plan_output){.free_bytes = -1};
    snprintf(o->path, sizeof o->path, "%s", path);
    free(path);
    nearest_folder(o->folder, sizeof o->folder, o->path);
    if (statvfs(o->folder, &room) != 0 || statfs(o->folder, &kind) != 0) {
        err_set(&e, "output: %.300s: %s", o->folder, strerror(errno));
        notes_problem(notes, &e, "set output to a folder that this node sees");
        return;
    }
    o->free_bytes = (double)room.f_bavail * (double)room.f_frsize;
    bool no_disk = room.f_blocks == 0, is_refused = access(o->folder, W_OK | X_OK) != 0;
    const char *why = is_refused                  ? strerror(errno)
                      : room.f_flag & ST_RDONLY   ? "mounted for reading alone"
                      : no_disk /* /proc, e.g. */ ? "no disk"
                                                  : NULL;
    if (why) {
        err_set(&e, "output: %.300s cannot be written: %s", o->folder, why);
        notes_problem(notes, &e, "set output to a folder of your own");
        o->free_bytes = -1;
    }
    name_file_system(o, (unsigned long)kind.f_type, notes);
}

double output_prompt_bytes(const struct job *j, const struct output_counts *c)
{
    bool all = j->record.candidates == RECORD_CANDIDATES_ALL;
    bool completed = j->record.candidates == RECORD_CANDIDATES_COMPLETED;
    double rows = all ? (double)c->candidates : completed ? (double)c->complete : 1;
    double mean = (double)c->complete_tokens / (double)(c->complete ? c->complete : 1);
    double tokens = all ? (double)c->tokens : completed ? (double)c->complete_tokens : mean;
    double texts = j->record.text == RECORD_TEXT_ALL         ? tokens
                   : j->record.text == RECORD_TEXT_COMPLETED ? (double)c->complete_tokens
                                                             : 0;
    if (texts > tokens) texts = tokens;
    bool lockstep = j->method == METHOD_SPECULATIVE_REJECTION && j->alpha > 0;
    double partials = lockstep ? (double)c->texts : (double)(c->texts - c->candidates);
    double spans = j->record.trace == RECORD_TRACE_STEPS    ? (double)c->steps
                   : j->record.trace == RECORD_TRACE_ROUNDS ? (double)c->steps / 16
                                                            : 0;
    double bytes = sizeof(struct prompt_row) + rows * sizeof(struct candidate_row) +
                   tokens * sizeof(int32_t) + texts * TEXT_BYTES_OF_TOKEN +
                   fmax(partials, 0) * sizeof(struct partial_reward_row) +
                   (double)c->rounds * (sizeof(struct round_row) + 2 * sizeof(struct trace_row)) +
                   spans * sizeof(struct trace_row);
    return bytes * SPARE_TABLES;
}

double output_file_bytes(void)
{
    return EMPTY_FILE_BYTES;
}
