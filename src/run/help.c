#include "run/help.h"

#include <string.h>

struct verb_help {
    const char *verb;
    const char *usage;   /* how it is called, one line or more */
    const char *what;    /* in the list of all */
    const char *options; /* of this verb alone: shown by specrej VERB --help */
};

#define SET                                                                                        \
    "  --set KEY=VALUE      override any key of the job file (jobs/example.yaml has them all):\n"  \
    "                       --set alpha=0.7 --set \"rounds=every 128\" --set parallel.tensor=4\n"
#define POINT                                                                                      \
    "  --point ID           of a sweep, this point alone; its first digits do, and it may be "     \
    "repeated\n"
#define RUNS                                                                                       \
    "  --allow-mixed        continue a file that another kind of machine began\n"                  \
    "  -q, --quiet          no progress and no summary\n"
#define JSON      "  --json               for programs, with everything that the text leaves out\n"
#define OUTPUT    "  -o, --output FILE    write there instead of to the terminal\n"
#define NO_LEGEND "  -q, --quiet          the tables without the words on what their columns mean\n"
#define REFERENCE                                                                                  \
    "  --reference POINT    what has improvement score 100: N (of Best-of-N; without it 120, "     \
    "else\n"                                                                                       \
    "                       the largest), static:N, or speculative_rejection:N,alpha=A, more "     \
    "keys\n"                                                                                       \
    "                       behind a comma\n"

static const struct verb_help all[] = {
    {"run", "specrej run JOB.yaml... [--set KEY=VALUE]... [--point ID]...",
     "run jobs one after the other, or some points of a sweep",
     SET POINT RUNS
     "\nThe same command again goes on behind the last prompt that the result file has.\n"
     "On several ranks: mpirun -np 4 specrej run JOB.yaml (srun --mpi=pmix under Slurm).\n"},
    {"sweep",
     "specrej sweep JOB.yaml [--set KEY=VALUE]... [--run]\n"
     "  specrej sweep JOB.yaml --submit [--dry-run] [--max-running K] [--points-per-task K]\n"
     "      [-- SBATCH OPTIONS]",
     "list the points of a sweep, run them here, or send those that are not complete to Slurm\n"
     "      as a job array",
     "  --run                run the points here, one after the other\n"
     "  --submit             to Slurm (slurm/README.md); what is complete or waiting is left out\n"
     "  --dry-run            only say what would be submitted\n"
     "  --max-running K      so many tasks of the array at a time\n"
     "  --points-per-task K  so many points one after the other in a task\n"
     "  -o, --output FOLDER  keep what is submitted there, not in NAME.sweep\n" SET POINT RUNS},
    {"status", "specrej status NAME.sweep|JOB.yaml... [--json] [--done]",
     "how far each point is, and why one failed",
     "  --done               only the number of prompts that are in the files\n" JSON SET POINT
     "  -o, --output FOLDER  where sweep --submit -o kept the job file's points\n"},
    {"plan",
     "specrej plan JOB.yaml [--ranks N] [--device NAME] [--memory GIB] [--hardware KEY=VALUE]...\n"
     "               [--like FILE.h5] [--mean-tokens MEAN] [--verbose] [--json]",
     "before it runs, without ranks or a GPU: is everything there, does it fit, how long will it "
     "take",
     "  --ranks N            on so many ranks; without it parallel.tensor\n"
     "  --device NAME        a100, h100, h200, b200, this\n"
     "  --memory GIB         of a rank, instead of the device's\n"
     "  --hardware KEY=VALUE another figure of the hardware; --verbose lists them\n"
     "  --like FILE.h5       lengths and efficiency from a result of such a job\n"
     "  --mean-tokens MEAN   of a response that nothing rejects; without it max_new_tokens\n"
     "  -v, --verbose        models, prompts, memory, scaling, figures and assumptions, too\n" JSON
         SET POINT},
    {"inspect", "specrej inspect MODEL|FILE.h5 [--prompt INDEX] [--json]",
     "what is in a checkpoint folder or a result file; --prompt: one prompt's story",
     "  --prompt INDEX       row of the dataset, from 0\n"
     "  --template NAME      show a conversation in this chat template (of a checkpoint)\n" JSON},
    {"report", "specrej report FILE.h5|REPLAY.json... [--reference POINT] [--json] [-o DIR]",
     "result files side by side: rewards, cost and speedup against a reference; -o: also as a\n"
     "      page report.html with figures, CSV, Markdown and LaTeX rows",
     REFERENCE JSON NO_LEGEND "  -o, --output DIR     report.html, .csv, .md, .tex and figures "
                              "(results/README.md says what\n"
                              "                       their columns mean)\n"},
    {"replay",
     "specrej replay FILE.h5 [--set KEY=VALUE]... [--nearest] [--subsets K] [--reference POINT]\n"
     "      [--json] [-o OUT.csv|OUT.json]",
     "what other alphas, N, rounds and budgets would have made of a Best-of-N run with score_at,\n"
     "      e.g. --set \"sweep.alpha=[0.3, 0.5]\"; report takes OUT.json",
     "  --set KEY=VALUE      of the points: --set \"sweep.alpha=[0.3, 0.5]\" --set "
     "budget_tokens=4000\n"
     "  --nearest            where no score of a round's length was recorded, take an earlier one\n"
     "  --subsets K          intervals over K random subsets of the candidates\n" REFERENCE JSON
         NO_LEGEND "  -o, --output FILE    .csv, or .json, which report takes\n"},
    {"export",
     "specrej export FILE.h5 [--format jsonl|alpaca_eval|csv] [--pick best|all|pairs] "
     "[-o OUT]",
     "the answers, for other programs; pairs: best and worst of each prompt (DPO)",
     "  --format FORMAT      jsonl (default), alpaca_eval, csv\n"
     "  --pick WHICH         best (default), all: every candidate with a text, pairs\n" OUTPUT},
    {"timeline", "specrej timeline FILE.h5 [--prompt INDEX] [-o OUT.json]",
     "when each rank did what, for ui.perfetto.dev or chrome://tracing",
     "  --prompt INDEX       this prompt alone\n" OUTPUT},
    {"tokenize", "specrej tokenize MODEL [--raw] [--decode]",
     "text on stdin -> ids, BOS as the model wants it (--raw: without); --decode: ids -> text",
     "  --raw                without what the model wants before a text\n"
     "  --decode             ids on stdin -> text\n"},
    {"score",
     "specrej score MODEL [--template NAME] [--backend cpu|cuda] [--dtype f32|bf16|f16|fp8]",
     "lines {\"prompt\": ..., \"response\": ...} or {\"messages\": [...]} on stdin -> rewards",
     "  --template NAME      chat template; without it the checkpoint's own\n"
     "  --backend, --dtype   as in a job file\n"
     "  -q, --quiet          no line about the model\n"},
};

#define N_VERBS (sizeof all / sizeof *all)

static void print_all(FILE *out)
{
    fputs("specrej: Best-of-N and Speculative Rejection decoding as a batch job\n\n", out);
    for (size_t i = 0; i < N_VERBS; i++)
        fprintf(out, "  %s\n      %s\n", all[i].usage, all[i].what);
    fputs("\n  specrej VERB --help     its options, one by one\n"
          "  --set alpha=0.7         override any key of the job file, e.g. --set \"rounds=every "
          "128\"\n"
          "  -q, --quiet             no progress and no summary\n"
          "  --version               version, commit and libraries\n"
          "\n"
          "On several ranks: mpirun -np 4 specrej run JOB.yaml (srun --mpi=pmix under Slurm).\n"
          "Exit status: 0 all done; 1 failed while running; 2 bad usage or input; 75 stopped "
          "early, run it again to go on.\n",
          out);
}

void help_print(const char *verb, FILE *out)
{
    for (size_t i = 0; verb && i < N_VERBS; i++) {
        if (strcmp(verb, all[i].verb) != 0) continue;
        fprintf(out, "  %s\n      %s\n\n%s", all[i].usage, all[i].what, all[i].options);
        return;
    }
    print_all(out);
}
