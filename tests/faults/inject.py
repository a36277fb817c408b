#!/usr/bin/env python3
"""Every way in which a call can fail: small jobs and verbs, run again and again, each time with another call failing.

    inject.py [--at-most N] [--only NAMES[:CLASSES]] [--n N] [--jobs K]

Needs the variables SPECREJ_FAULTS (specrej_faults: faults.c says which calls can fail) and COMPARE_RESULTS.
--at-most: calls tried of each class in each case, evenly spread, always the same ones (of it a quarter in cases of 2
ranks and an eighth in those of 4, which take longer); 0: all.  --only: lists with commas, e.g. demo,resume:read,write
or :mpi.  --n: this call alone.  --jobs: so many at once.

After each failure
  - the program ended by itself, in time, with status 0, 1 or 2, and killed by no signal (but inside HDF5 for want of
    memory that HDF5 asked for);
  - 0: a job gave what it gives undisturbed; a verb did, or says in what it prints what is left out and why.
    Otherwise there is an error message with the system's reason;
  - a result file that is there opens, and its prompts are those of the undisturbed run;
  - the same command without a fault completes the job, and the file is that of the undisturbed run (not tried where
    the failed one left nothing behind);
  - MPI got back all that it was asked to make (calls_mpi.c), unless the job was aborted.
Under the sanitizers nothing may leak: they end the program with another status.
Every fourth call tried is the first of many: all later ones of its class fail, too.
"""
import argparse, concurrent.futures, dataclasses, os, pathlib, re, shutil, subprocess, sys, tempfile, threading

CLASSES = ["alloc", "hdf5", "open", "read", "write", "sync", "close", "system", "short"]
# HDF5 1.10 without memory for one property says, in its whole stack of errors, only that it cannot find the property.
REASON = {"alloc": "memory", "hdf5": "memory|can't find property in skip list", "open": "Too many open files",
          "read": "Input/output error", "write": "No space left on device", "sync": "Input/output error",
          "close": "Input/output error", "system": "Input/output error|Too many open files|Resource temporarily unavailable",
          "mpi": r"MPI_\w+.* failed: ", "short": "(never)"}
TIMEOUT_S = 120

PROGRAM = os.environ["SPECREJ_FAULTS"]
COMPARE = os.environ["COMPARE_RESULTS"]
ROOT = pathlib.Path(__file__).resolve().parents[2]
ENV = dict(os.environ, OMP_NUM_THREADS="1", GOMP_SPINCOUNT="2000", OMPI_ALLOW_RUN_AS_ROOT="1",
           OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", OMPI_MCA_rmaps_base_oversubscribe="1",
           OMPI_MCA_pml="ob1", # looking for a network takes longer than the job
           OMPI_MCA_odls_base_sigkill_timeout="0") # the other ranks need no second to end

# One rank starts faster without what serves to start more; it then needs a folder of its own for Open MPI's files.
ALONE = {"OMPI_MCA_ess_singleton_isolated": "1", "OMPI_MCA_btl": "self"}

CONFIG = """{"architectures": ["%s"], "model_type": "llama", "hidden_act": "silu", "rope_theta": 10000.0,
 "rms_norm_eps": 1e-5, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
 "num_key_value_heads": 1, "max_position_embeddings": 128, "vocab_size": 64, "torch_dtype": "float32",
 "bos_token_id": 1, "eos_token_id": 2, "id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}"""
TINY = """name: tiny
generator: {path: generator, weights: random}
reward: {path: reward, weights: random}
dataset: {path: prompts.jsonl}
sampling: {max_new_tokens: 20}
method: best_of_n
n: 3
backend: cpu
dtype: f32
record: {text: none}
output: out.h5
"""
DEMO = """name: demo
generator: {path: %s/jobs/demo/generator}
reward: {path: %s/jobs/demo/reward}
judge: {path: %s/jobs/demo/reward}
dataset: {path: texts.jsonl}
sampling: {max_new_tokens: 12}
method: speculative_rejection
rounds: every 6
n: 4
backend: cpu
dtype: f32
output: out.h5
"""


@dataclasses.dataclass
class Case:
    """A command, what it starts from and what it must give."""
    name: str
    args: list
    file: str = None        # the result file that it writes
    given: list = ()        # files that are there before
    outputs: list = ()      # other files that it writes
    stdin: str = ""
    masks: bool = False     # numbers of the output differ from run to run
    has_path: bool = True   # finds other programs
    ranks: int = 1
    rank: int = None        # the one whose calls fail
    classes: list = dataclasses.field(default_factory=lambda: CLASSES)
    is_extra: bool = False  # only when --only names it

    def command(self):
        launcher = ["mpirun", "--oversubscribe", "-np", str(self.ranks)] if self.ranks > 1 else []
        return launcher + [PROGRAM] + self.args


def run(case, folder, fault=None, log=None):
    env = dict(ENV) if case.ranks > 1 else dict(ENV, OMPI_MCA_orte_tmpdir_base=str(folder), **ALONE)
    if fault: env["SPECREJ_FAULT"] = fault
    if log: env["SPECREJ_FAULT_LOG"] = str(log)
    if case.rank is not None: env["SPECREJ_FAULT_RANK"] = str(case.rank)
    if not case.has_path: env["PATH"] = "/nowhere"
    try:
        return subprocess.run(case.command(), cwd=folder, env=env, input=case.stdin.encode(), timeout=TIMEOUT_S,
                              capture_output=True)
    except subprocess.TimeoutExpired as late:
        return subprocess.CompletedProcess(case.command(), "none: it hangs", late.stdout or b"", late.stderr or b"")


def compare(folder, *args):
    """'' or how the files differ."""
    got = subprocess.run([COMPARE, *args], cwd=folder, env=ENV, capture_output=True)
    return "" if got.returncode == 0 else got.stderr.decode(errors="replace").strip() or f"status {got.returncode}"


def output_of(case, folder, done):
    texts = [done.stdout] + [(folder / name).read_bytes() if (folder / name).exists() else b"(missing)"
                             for name in case.outputs]
    return [re.sub(rb"[-\d.]+", b"#", t) if case.masks else t for t in texts]


def lay_out(folder):
    """What every case starts from."""
    for name, head in ("generator", "LlamaForCausalLM"), ("reward", "LlamaForSequenceClassification"):
        (folder / name).mkdir(parents=True)
        (folder / name / "config.json").write_text(CONFIG % head)
    (folder / "job.yaml").write_text(TINY)
    (folder / "demo.yaml").write_text(DEMO % (ROOT, ROOT, ROOT))
    (folder / "prompts.jsonl").write_text('{"prompt_ids": [5, 6, 7]}\n{"prompt_ids": [9, 10, 11, 12]}\n')
    (folder / "texts.jsonl").write_text('{"prompt": "The 12 cats"}\n')


class Place:
    """A folder of its own for each thread."""

    def __init__(self, root):
        self.root, self.local = root, threading.local()

    def fresh(self, case, given):
        folder = getattr(self.local, "folder", None)
        if folder is None:
            folder = self.local.folder = pathlib.Path(tempfile.mkdtemp(dir=self.root))
            lay_out(folder)
        for path in folder.glob("out*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for name in case.given:
            shutil.copy(given / name, folder / name)
        return folder


def is_crash_of_hdf5(kind, done):
    """HDF5 1.10 without memory may crash or call exit(-1): as if killed, and no fault of the program."""
    inside = b"libhdf5" in done.stderr and (done.returncode in (-6, 134) or b"AddressSanitizer: " in done.stderr)
    return kind == "hdf5" and (done.returncode in (-11, 139, 255) or inside)


def judge(case, kind, folder, done, want, reference):
    """What is wrong with how it ended, or ''."""
    said = done.stderr.decode(errors="replace")
    if is_crash_of_hdf5(kind, done): pass
    elif done.returncode not in (0, 1, 2): return f"status {done.returncode}"
    elif done.returncode == 0:
        if case.file:
            wrong = compare(folder, "same", reference, case.file)
            if wrong: return f"status 0, but {wrong}"
        elif output_of(case, folder, done) != want:
            told = b"\n".join([done.stderr] + output_of(case, folder, done)).decode(errors="replace")
            if not re.search(REASON[kind], " ".join(told.split())): return "status 0, but other output"
    elif not re.search(r"^specrej: (error: |\[rank )", said, re.M): return "no message"
    elif not re.search(r"^specrej: (error: |warning: |\[rank ).*(%s)" % REASON[kind], said, re.M): return "no reason"
    if not case.file or done.returncode == 0: return ""
    if all(path.name == "out.faults" for path in folder.glob("out*")): return ""
    if (folder / case.file).exists():
        wrong = compare(folder, "part", reference, case.file)
        if wrong: return f"the file afterwards: {wrong}"
        look = subprocess.run([PROGRAM, "inspect", case.file], cwd=folder, env=ENV, capture_output=True)
        if look.returncode != 0: return "inspect: " + look.stderr.decode(errors="replace")
    again = run(case, folder)
    if again.returncode != 0: return f"the next start: status {again.returncode}: {again.stderr.decode()[-600:]}"
    wrong = compare(folder, "same", reference, case.file)
    return f"the next start: {wrong}" if wrong else ""


def place_in_source(line):
    """The call of 'fault CLASS N NAME OFFSET MODULE' and who made it."""
    word = line.split(" ", 5)
    if word[5] != "-": return f"{word[3]}() of {os.path.basename(word[5])}+{word[4]}"
    try:
        at = subprocess.run(["addr2line", "-sfe", PROGRAM, word[4]], capture_output=True, text=True).stdout.split("\n")
    except OSError:
        at = [word[4], ""]
    return f"{word[3]}() of {at[0]} {at[1]}"


def try_one(case, kind, number, place, given, want, reference):
    """(outcome, what is wrong, where)"""
    folder = place.fresh(case, given)
    log = folder / "out.faults"
    done = run(case, folder, f"{kind} {number}", log)
    faults = [line for line in log.read_text().splitlines() if line.startswith("fault ")] if log.exists() else []
    wrong = judge(case, kind, folder, done, want, reference)
    outcome = "bad" if wrong else "not reached" if not faults else "no matter" if done.returncode == 0 else \
        "crash" if is_crash_of_hdf5(kind, done) else "error"
    if wrong: wrong += "\n" + done.stderr.decode(errors="replace")[-1500:].strip()
    return outcome, wrong, place_in_source(faults[0]) if faults else "?"


def count_calls(case, place, given):
    """{class: calls}, the outputs, and the result file of the undisturbed run."""
    folder = place.fresh(case, given)
    log = folder / "out.faults"
    done = run(case, folder, None, log)
    if done.returncode != 0: sys.exit(f"{case.name} without a fault: status {done.returncode}\n{done.stderr.decode()}")
    counts = dict.fromkeys(CLASSES + ["mpi"], 0)
    for line in log.read_text().splitlines():
        word = line.split()
        if word[0] == "count": counts[word[1]] = max(counts[word[1]], int(word[2]))
    return counts, output_of(case, folder, done), folder


def chosen(count, at_most):
    """Numbers of the calls to try, and whether all later ones fail, too."""
    step = 1 if at_most == 0 else max(1, -(-count // at_most))
    numbers = range(1 + (step - 1) // 2, count + 1, step)
    return [f"{n}+" if i % 4 == 3 else f"{n}" for i, n in enumerate(numbers)]


def make_given(root, place):
    """Files that verbs read: scored.h5 of Best-of-N, and half.h5, whose writer died at the second prompt."""
    given = root / "given"
    given.mkdir()
    tiny = ["run", "job.yaml", "-q"]
    first = Case("given", tiny + ["--set", "score_at=every 16"], file="out.h5")
    folder = place.fresh(first, given)
    if run(first, folder).returncode != 0: sys.exit("the job does not run")
    shutil.copy(folder / "out.h5", given / "out.scored.h5")
    half = Case("half", tiny, file="out.h5")
    counts, _, _ = count_calls(half, place, given)
    for n in range(counts["sync"], 0, -1):
        folder = place.fresh(half, given)
        run(half, folder, f"sync {n}")
        got = subprocess.run([COMPARE, "verify", "out.h5"], cwd=folder, env=ENV, capture_output=True, text=True)
        if got.stdout.strip() == "1":
            shutil.copy(folder / "out.h5", given / "out.h5")
            return given
    sys.exit("no file with one prompt of two")


def cases():
    run_job, scored, sets = ["run", "job.yaml", "-q"], "out.scored.h5", lambda *s: [w for x in s for w in ("--set", x)]
    generator = str(ROOT / "jobs/demo/generator")
    reads = [c for c in CLASSES if c != "sync"]
    rejection = run_job + sets("method=speculative_rejection", "rounds=every 8")
    yield Case("best_of_n", run_job, file="out.h5")
    yield Case("rejection", rejection, file="out.h5")
    yield Case("resume", run_job, file="out.h5", given=["out.h5"])
    demo = ["run", "demo.yaml", "-q"]
    yield Case("demo", demo, file="out.h5")
    yield Case("inspect", ["inspect", scored], given=[scored], classes=reads)
    yield Case("inspect_prompt", ["inspect", scored, "--prompt", "1", "--json"], given=[scored], classes=reads)
    yield Case("inspect_model", ["inspect", generator], classes=reads)
    yield Case("report", ["report", scored, "--json"], given=[scored], classes=reads)
    yield Case("report_page", ["report", scored, "-o", "out"], given=[scored], has_path=False,
               outputs=["out/report.csv", "out/report.tex", "out/lengths.gp"])
    yield Case("replay", ["replay", scored] + sets("rounds=every 16", "sweep.alpha=[0.3, 0.5]") + ["-o", "out.json"],
               given=[scored], outputs=["out.json"])
    yield Case("export", ["export", scored, "--pick", "all", "-o", "out.jsonl"], given=[scored], outputs=["out.jsonl"])
    yield Case("timeline", ["timeline", scored, "-o", "out.json"], given=[scored], outputs=["out.json"])
    yield Case("plan", ["plan", "demo.yaml", "--set", "backend=cuda", "--device", "h100"], masks=True, classes=reads)
    yield Case("sweep", ["sweep", "job.yaml"] + sets("output=out%p.h5", "sweep.seed=[1, 2]"), classes=reads)
    yield Case("tokenize", ["tokenize", generator], stdin="The 12 cats\n", classes=reads)
    if "no MPI" in subprocess.run([PROGRAM, "--version"], env=ENV, capture_output=True, text=True).stdout: return
    for rank in 0, 1:
        both = CLASSES + ["mpi"] if rank == 0 else ["mpi", "alloc", "read", "open"]
        yield Case(f"2_ranks_{rank}", rejection, file="out.h5", ranks=2, rank=rank, classes=both)
        yield Case(f"tensor_2_{rank}", rejection + sets("parallel.tensor=2"), file="out.h5", ranks=2, rank=rank,
                   classes=["mpi", "alloc", "open"])
        yield Case(f"demo_2_{rank}", demo, file="out.h5", ranks=2, rank=rank, is_extra=True, classes=both)
        yield Case(f"demo_tensor_2_{rank}", demo + sets("parallel.tensor=2"), file="out.h5", ranks=2, rank=rank,
                   is_extra=True, classes=both)
    square = rejection + sets("parallel.tensor=2", "parallel.split=candidates")
    yield Case("4_ranks_0", square, file="out.h5", ranks=4, rank=0, is_extra=True, classes=CLASSES + ["mpi"])
    yield Case("4_ranks_3", square, file="out.h5", ranks=4, rank=3, classes=["mpi", "alloc", "open"])


def main():
    ask = argparse.ArgumentParser()
    ask.add_argument("--at-most", type=int, default=0)
    ask.add_argument("--only", default="")
    ask.add_argument("--n", default="")
    ask.add_argument("--jobs", type=int, default=2)
    o = ask.parse_args()
    only, _, only_class = o.only.partition(":")
    root = pathlib.Path(tempfile.mkdtemp(prefix="specrej-faults."))
    place, bad, rows = Place(root), 0, []
    try:
        given = make_given(root, place)
        for case in cases():
            if case.name not in only.split(",") if only else case.is_extra: continue
            counts, want, folder = count_calls(case, place, given)
            reference = root / f"{case.name}.h5"
            if case.file: shutil.copy(folder / case.file, reference)
            for kind in case.classes:
                if only_class and kind not in only_class.split(","): continue
                most = -(-o.at_most // (2 * case.ranks)) if case.ranks > 1 else o.at_most
                numbers = [o.n] if o.n else chosen(counts[kind], most)
                tally = {"no matter": 0, "error": 0, "crash": 0, "bad": 0, "not reached": 0}
                with concurrent.futures.ThreadPoolExecutor(o.jobs) as pool:
                    results = pool.map(lambda n: (n, try_one(case, kind, n, place, given, want, reference)), numbers)
                    for n, (outcome, wrong, where) in results:
                        tally[outcome] += 1
                        if not wrong: continue
                        print(f"FAIL {case.name}:{kind} {n}, {where}: {wrong}", flush=True)
                if counts[kind] or o.n: rows.append((case.name, kind, counts[kind], len(numbers), tally))
                bad += tally["bad"]
                if counts[kind]:
                    print(f"{case.name:15}{kind:8}{counts[kind]:7} calls {len(numbers):6} failed:", end=" ")
                    print(", ".join(f"{v} {k}" for k, v in tally.items() if v), flush=True)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    tried, missed = sum(row[3] for row in rows), sum(row[4]["not reached"] for row in rows)
    print(f"{tried} calls failed, {missed} were not reached, {bad} badly taken")
    if missed * 10 > tried: print("too few are reached: does specrej_faults still stand before the libraries?")
    return 1 if bad or missed * 10 > tried else 0


if __name__ == "__main__":
    sys.exit(main())
