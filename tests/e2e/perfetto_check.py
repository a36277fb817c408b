#!/usr/bin/env python3
"""A timeline's document against the Trace Event Format and, where h5py is there, against the rows of its result file.

    perfetto_check.py OUT.json [FILE.h5]
"""
import collections
import json
import re
import sys

PHASES = {"load", "prefill", "decode", "score", "decide", "move", "comm", "wait", "commit"}
# ph -> the fields that the format wants of it, with their types; each may have `args`, X and i have `cat`
FIELDS = {"M": {"pid": int, "name": str, "args": dict},
          "X": {"pid": int, "tid": int, "ts": float, "dur": float, "name": str, "cat": str, "args": dict},
          "i": {"pid": int, "tid": int, "ts": float, "s": str, "name": str, "cat": str, "args": dict},
          "C": {"pid": int, "ts": float, "name": str, "args": dict}}


def unique(pairs):
    keys = [k for k, _ in pairs]
    assert len(keys) == len(set(keys)), keys
    return dict(pairs)


def load(path):
    with open(path) as f:
        document = json.load(f, object_pairs_hook=unique, parse_constant=lambda word: 1 / 0)
    assert set(document) == {"traceEvents", "displayTimeUnit", "otherData"} and document["displayTimeUnit"] in ("ms", "ns")
    return document


def check_fields(event):
    fields = FIELDS[event["ph"]]
    for name, kind in fields.items():
        assert isinstance(event[name], kind), (name, event)
    more = set(event) - set(fields) - {"ph"}
    assert more <= ({"tid"} if event["ph"] == "M" else set()), event
    assert event["ph"] == "M" or event["ts"] >= 0
    if event["ph"] == "X":
        assert event["dur"] >= 0
        assert event["cat"] != "phase" or event["name"] in PHASES, event
    if event["ph"] == "i":
        assert event["s"] in ("t", "p", "g")
    if event["ph"] == "C":
        assert len(event["args"]) == 1 and all(isinstance(v, (int, float)) and v >= 0 for v in event["args"].values()), event


def check_names(events):
    """Every track has a name; a rank is on one track."""
    processes = {e["pid"]: e["args"]["name"] for e in events if e["name"] == "process_name"}
    threads = {(e["pid"], e["tid"]): e["args"]["name"] for e in events if e["name"] == "thread_name"}
    assert len(set(processes.values())) == len(processes) and len(set(threads.values())) == len(threads)
    assert {pid for pid, _ in threads} == set(processes)
    for e in events:
        if e["ph"] == "C":
            assert e["pid"] in processes, e
        elif e["ph"] != "M":
            assert (e["pid"], e["tid"]) in threads, e
    return {track: int(name.split()[1]) for track, name in threads.items() if name.startswith("rank ")}


def nanoseconds(us):
    return round(us * 1000)


def check_tracks(events):
    """In the order of time; what begins within an event ends within it; phases and rounds within their prompt."""
    open_events = collections.defaultdict(list)
    last = 0
    for e in events:
        if e["ph"] == "M":
            continue
        start = nanoseconds(e["ts"])
        assert start >= last, ("not in the order of time", e)
        last = start
        if e["ph"] == "C":
            continue
        stack = open_events[e["pid"], e["tid"]]
        end = start + nanoseconds(e.get("dur", 0))
        while stack and stack[-1][0] <= start and end > stack[-1][0]:
            stack.pop()
        assert not stack or end <= stack[-1][0], ("not within what encloses it", e, stack[-1])
        if e["cat"] in ("phase", "round"):
            assert stack and stack[0][1]["cat"] == "prompt", e
            assert stack[0][1]["args"]["prompt_index"] == e["args"]["prompt_index"], (e, stack[0])
        else:
            assert not stack, (e, stack)
        if e["ph"] == "X":
            stack.append((end, e))


def check_counters(events):
    """They fall back to nothing at the end; only what changes is said twice."""
    last = {}
    for e in events:
        if e["ph"] == "C":
            last[e["pid"], e["name"]] = next(iter(e["args"].values()))
    assert set(last.values()) <= {0}, last
    assert {name for _, name in last} <= {"live candidates", "tokens/s", "KV tokens"}


def check_file(events, rank_of, path):
    import h5py
    import numpy as np

    f = h5py.File(path, "r", swmr=True)
    runs, prompts = f["runs"][:], f["prompts"][:]
    offset = {}  # of a run's times, in nanoseconds
    for e in events:
        if e["ph"] == "X" and e["cat"] == "run":
            offset[int(e["name"].split()[1])] = nanoseconds(e["ts"])
    assert sorted(offset) == list(range(len(runs)))
    got = collections.defaultdict(collections.Counter)
    counters = collections.defaultdict(list)
    for e in events:
        if e["ph"] == "X" and e["cat"] == "phase":
            got[e["args"]["prompt_index"]][(rank_of[e["pid"], e["tid"]], e["name"], nanoseconds(e["ts"]), nanoseconds(e["dur"]),
                                            *(e["args"][k] for k in ("step", "sequences", "tokens", "bytes")))] += 1
        if e["ph"] == "C":
            counters[e["pid"], e["name"]].append((nanoseconds(e["ts"]), next(iter(e["args"].values()))))
    rounds_seen = collections.Counter(e["args"]["prompt_index"] for e in events if e["ph"] == "i")
    names = {v: k for k, v in h5py.check_enum_dtype(f["trace"].dtype["phase"]).items()}
    parallel = re.search(r"split: (\w+)", bytes(f.attrs["job_yaml"]).decode())[1]
    for p in prompts:
        since = offset[p["run"]]
        rows = f["trace"][p["first_trace"]:p["first_trace"] + p["count_trace"]]
        want = collections.Counter((int(s["rank"]), names[s["phase"]], since + int(s["start_ns"]), int(s["end_ns"] - s["start_ns"]),
                                    *(int(s[k]) for k in ("step", "sequences", "tokens", "bytes"))) for s in rows)
        assert got.pop(p["prompt_index"], collections.Counter()) == want, p["prompt_index"]
        assert rounds_seen.pop(p["prompt_index"], 0) == p["count_rounds"]
        if p["alpha"] == 0 or p["count_rounds"] == 0:
            continue
        begin, end = (since + round(s * 1e9) for s in (p["start_s"], p["start_s"] + p["wall_s"]))
        kv = [(at, v) for at, v in counters[int(p["group"]) + 2, "KV tokens"] if begin <= at <= end]
        for r in f["rounds"][p["first_rounds"]:p["first_rounds"] + p["count_rounds"]]:
            assert (since + round(r["start_s"] * 1e9), r["live_tokens"]) in kv, (r, kv)
        if p["count_candidates"] < p["n"]:
            continue
        peak = max(v for _, v in kv)  # what the pages' own count says; with several groups, each group's at its time
        assert peak == p["kv_peak_tokens"] if parallel == "prompts" else peak <= p["kv_peak_tokens"], (peak, p["kv_peak_tokens"])
    assert not got and not rounds_seen
    if len(f["trace"]) == 0:
        return
    tokens = sum(e["args"]["tokens"] for e in events if e["ph"] == "X" and e["name"] == "decode" and rank_of[e["pid"], e["tid"]] % runs[0]["tensor"] == 0)
    assert tokens == np.sum(prompts["tokens_generated"]), (tokens, np.sum(prompts["tokens_generated"]))


def main():
    document = load(sys.argv[1])
    events = document["traceEvents"]
    for e in events:
        check_fields(e)
    ranks = check_names(events)
    check_tracks(events)
    check_counters(events)
    if len(sys.argv) > 2:
        check_file(events, ranks, sys.argv[2])
    kinds = collections.Counter(e["ph"] for e in events)
    print(f"{sys.argv[1]}: {kinds['X']} complete, {kinds['i']} instant, {kinds['C']} counter events")
    assert kinds["X"] > 0


if __name__ == "__main__":
    main()
