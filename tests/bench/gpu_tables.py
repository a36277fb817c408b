"""What tests/bench/gpu.sh makes of its measurements.  Needs Python's own library alone.

    gpu_tables.py costs TIMELINE.json...       bookkeeping of whole jobs, from `specrej timeline`
    gpu_tables.py memory FILE.h5 COMMAND...    runs a job; is its memory at the end that of its first prompts?
    gpu_tables.py compare FOLDER               decode.csv and score.csv beside peers.csv, at the same points
    gpu_tables.py plot FOLDER                  decode.gp and, where gnuplot is, decode.svg of decode.csv

The first three print CSV.
costs: times are sums over prompts and ranks.  bookkeeping: all that is neither prefill, decoding nor scoring: decide,
        free, move, record and the time between prompts; bookkeeping_share is of prompts and that time together.
memory: of the process and of the device, when its first prompts were done and just before its last; MiB, and MiB a
        prompt.  The number of prompts is that of FILE.h5.status.json, which is some seconds old.
compare: decode: a step of ours and of theirs.  round: ours_ms is the reward model over the new tokens of kept texts;
        paper_way_ms is ours computing both models' whole texts anew; peer_ms is transformers doing that.  So
        engine_factor = peer_ms / paper_way_ms, algorithm_factor = paper_way_ms / ours_ms.
"""
import json
import pathlib
import subprocess
import sys
import time

HEADS = {"B", "what", "kernel", "matrix", "name", "method"}  # a line that begins so names the columns


def fail(text):
    sys.exit(f"gpu_tables.py: {text}")


def read(path):
    """Rows of a CSV of gpu.sh as dictionaries; remarks and points without a measurement are left out."""
    if not path.exists():
        return []
    head, rows = [], []
    for line in path.read_text().splitlines():
        cells = line.split(",")
        if line.startswith("#") or not line:
            continue
        if cells[0] in HEADS:
            head = cells
        elif len(cells) == len(head):
            rows.append(dict(zip(head, cells)))
    return rows


# ---- whole jobs ----

def costs(paths):
    print("method,prompts,wall_s,prefill_s,decode_s,score_s,decide_s,move_s,other_s,idle_s,bookkeeping_share")
    for path in paths:
        events = json.loads(pathlib.Path(path).read_text())["traceEvents"]
        spans = [e for e in events if e["ph"] == "X"]
        prompts = [e for e in spans if e["cat"] == "prompt"]
        if not prompts:
            print(f"# {path}: no prompt in it")
            continue

        def phases(*names):
            return [e for e in spans if e["cat"] == "phase" and e["name"] in names]

        def total(events):
            return sum(e["dur"] for e in events) * 1e-6

        def inside(e, others):
            return any(o["tid"] == e["tid"] and o["ts"] <= e["ts"] <= o["ts"] + o["dur"] for o in others)

        wall, decisions = total(prompts), phases("decide")
        prefill, decode, score, move = (total(phases(p)) for p in ("prefill", "decode", "score", "move"))
        decide = total(decisions) - total(e for e in phases("score", "move") if inside(e, decisions))
        idle = sum(e["args"]["idle_s"] for e in spans if e["cat"] == "run")
        book = wall - prefill - decode - score + idle
        method = "best_of_n" if prompts[0]["args"]["alpha"] == 0 else "speculative_rejection"
        print(f"{method},{len(prompts)},{wall:.4f},{prefill:.4f},{decode:.4f},{score:.4f},{decide:.5f},{move:.5f},"
              f"{book - idle - decide - move:.5f},{idle:.5f},{book / (wall + idle):.5f}")


def resident_mib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return None  # it has just ended


def device_mib():
    """Memory in use on the first GPU, by whomever; None where nobody says so."""
    try:
        out = subprocess.run(["nvidia-smi", "-i", "0", "--query-gpu=memory.used", "--format=csv,noheader,nounits"],
                             capture_output=True, text=True, timeout=20)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None
    return float(out.stdout) if out.returncode == 0 else None


def prompts_done(status):
    """0 also where the job is about to end: it gives its memory back."""
    try:
        s = json.loads(status.read_text())
    except (FileNotFoundError, ValueError):
        return 0
    return s["prompts_done"] if s["state"] == "running" and s["prompts_done"] < s["prompts"] else 0


def memory(file, command):
    """Samples (prompts done, host MiB, device MiB) while the command runs: the first and last with some prompts done."""
    status, samples = pathlib.Path(file + ".status.json"), []
    status.unlink(missing_ok=True)
    job = subprocess.Popen(command, stdout=sys.stderr)
    while job.poll() is None:
        done, host, device = prompts_done(status), resident_mib(job.pid), device_mib()
        if done > 0 and host is not None:
            samples.append((done, host, device))
        time.sleep(0.02)
    if job.returncode != 0:
        fail(f"status {job.returncode} of: {' '.join(command)}")
    print("what,first_prompts,first_mib,last_prompts,last_mib,growth_per_prompt")
    if len(samples) < 2:
        print("# not measured: the job was over before its memory was seen twice")
        return
    first, last = samples[0], samples[-1]
    for name, k in (("host", 1), ("device", 2)):
        if first[k] is None or last[k] is None:
            print(f"# {name}: not measured, no nvidia-smi")
            continue
        growth = (last[k] - first[k]) / max(last[0] - first[0], 1)
        print(f"{name},{first[0]},{first[k]:.2f},{last[0]},{last[k]:.2f},{growth:.5f}")


# ---- beside transformers ----

def compare(folder):
    def point(row):
        return row["B"], row["P"], row["S"]

    decode = {point(r): float(r["step_ms"]) for r in read(folder / "decode.csv")}
    score = {(r["what"], r["cache"], *point(r)): float(r["time_ms"]) for r in read(folder / "score.csv")}
    print("what,B,P,S,ours_ms,paper_way_ms,peer_ms,engine_factor,algorithm_factor")
    n = 0
    for r in read(folder / "peers.csv"):
        at = point(r)
        if r["what"] == "decode":
            ours = paper = decode.get(at)
            peer = float(r["step_ms"])
        else:
            ours, paper = score.get(("again", "device", *at)), score.get(("again", "none", *at))
            paper = paper and 2 * paper  # the generator, which has the reward model's shape, and the reward model
            peer = float(r["prefill_again_ms"]) + float(r["score_ms"])
        if ours is None or paper is None:
            print(f"# {r['what']} at B {at[0]}, P {at[1]}, S {at[2]}: not measured on both sides")
            continue
        n += 1
        print(f"{r['what']},{','.join(at)},{ours:.3f},{paper:.3f},{peer:.3f},{peer / paper:.2f},{paper / ours:.2f}")
    if n == 0:
        print("# no point was measured on both sides")


# ---- a picture ----

PLOT = """# gnuplot decode.gp >decode.svg
set terminal svg size 900,560 background "white"
set title "A decode step and its floor"
set logscale xy
set xlabel "live candidates"
set ylabel "milliseconds"
set key outside right
set grid
"""


def plot(folder):
    points = {}
    for r in read(folder / "decode.csv"):
        if r["floor_ms"]:
            points.setdefault((int(r["P"]), int(r["S"])), []).append((int(r["B"]), r["step_ms"], r["floor_ms"]))
    if not points:
        fail(f"{folder}/decode.csv: no point with a floor")
    script, lines = PLOT, []
    for i, (at, rows) in enumerate(sorted(points.items()), 1):
        data = "\n".join(f"{B} {step} {floor}" for B, step, floor in sorted(rows))
        script += f"$d{i} << END\n{data}\nEND\n"
        name = f"P {at[0]}, S {at[1]}"
        lines.append(f'$d{i} using 1:2 with linespoints linecolor {i} pointtype 7 title "{name}"')
        lines.append(f'$d{i} using 1:3 with lines linecolor {i} dashtype 2 title "{name}, floor"')
    (folder / "decode.gp").write_text(script + "plot " + ", \\\n    ".join(lines) + "\n")
    try:
        out = subprocess.run(["gnuplot", "decode.gp"], cwd=folder, capture_output=True, text=True, timeout=60)
    except FileNotFoundError:
        print(f"skipped: decode.svg, there is no gnuplot here: later, in {folder}: gnuplot decode.gp >decode.svg")
        return
    if out.returncode != 0:
        fail(f"gnuplot ended with status {out.returncode}: {out.stderr.strip()}")
    (folder / "decode.svg").write_text(out.stdout)


def main():
    verbs = {"costs": (1, lambda a: costs(a)), "memory": (2, lambda a: memory(a[0], a[1:])),
             "compare": (1, lambda a: compare(pathlib.Path(a[0]))), "plot": (1, lambda a: plot(pathlib.Path(a[0])))}
    if len(sys.argv) < 2 or sys.argv[1] not in verbs or len(sys.argv) - 2 < verbs[sys.argv[1]][0]:
        sys.exit(__doc__)
    verbs[sys.argv[1]][1](sys.argv[2:])


if __name__ == "__main__":
    main()
