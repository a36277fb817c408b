#include "trace/names.h"

const char *const run_status_names[RUN_STATUSES] = {"running",  "complete", "stopped",
                                                    "continue", "failed",   "killed"};
const char *const prompt_status_names[PROMPT_STATUSES] = {"ok", "skipped", "failed"};
const char *const candidate_status_names[CANDIDATE_STATUSES] = {"finished", "truncated",
                                                                "rejected"};
const char *const finish_reason_names[FINISH_REASONS] = {"none", "end_token", "length", "rejected",
                                                         "numerics"};
const char *const round_trigger_names[ROUND_TRIGGERS] = {"memory", "schedule", "early", "final"};
