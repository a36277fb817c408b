#!/usr/bin/env python3
"""results/README.md against src/trace/format.h: every field of every row is described, with its type and unit, and no other.

    result_fields.py FORMAT.h README.md
"""
import re
import sys

ROWS = {"run_row": "runs", "prompt_row": "prompts", "candidate_row": "candidates", "round_row": "rounds",
        "partial_reward_row": "partial_rewards", "trace_row": "trace"}
TYPES = {"double": "float64", "float": "float32", "int32_t": "int32", "int64_t": "int64", "uint32_t": "uint32", "char": "text"}
ENUMS = {"status", "finish_reason", "trigger", "phase"}  # int32 in memory
UNITS = [(r".*_unix_s|.*_s", "s"), (r".*_ns", "ns"), (r".*tokens.*(?<!_offset)", "tokens"), (r"bytes|.*_bytes|text_length", "bytes"),
         (r".*_flops", "FLOP"), (r".*_j", "J"), (r".*reward", "reward")]


def struct_fields(text, name):
    """Field -> type; first[] and count[] of a prompt's rows are left to the tables' names."""
    body = re.sub(r"/\*.*?\*/", "", re.search(rf"struct {name} \{{(.*?)\n\}};", text, re.S)[1], flags=re.S)
    fields = {}
    for declaration in body.split(";"):
        words = declaration.split(None, 1)
        if not words:
            continue
        for declarator in words[1].split(","):
            field = re.match(r"\s*(\w+)", declarator)[1]
            if field not in ("reserved", "first", "count"):
                fields[field] = "enum" if field in ENUMS and words[0] == "int32_t" else TYPES[words[0]]
    return fields


def described_fields(text, table):
    """Field -> (type, unit, meaning)."""
    part = re.search(rf"^## `/{table}`.*?(?=^## |\Z)", text, re.M | re.S)[0]
    fields = {}
    for line in part.splitlines():
        if line.startswith("| `"):
            names, kind, unit, meaning = (cell.strip() for cell in line.strip("|").split(" |"))
            for field in re.findall(r"`(\w+)`", names):
                assert field not in fields, (table, field)
                fields[field] = kind, unit, meaning
    return fields


def main():
    header, readme = (open(path).read() for path in sys.argv[1:3])
    tables = re.search(r"enum trace_table \{(.*?)TRACE_TABLES", header, re.S)[1].lower()
    counted = [f"{which}_{table}" for table in re.findall(r"t_(\w+)", tables) for which in ("first", "count")]
    for row, table in ROWS.items():
        want, got = struct_fields(header, row), described_fields(readme, table)
        if table == "prompts":
            want.update(dict.fromkeys(counted, "int64"))
        assert set(want) == set(got), (table, set(want) ^ set(got))
        for field, kind in want.items():
            assert got[field][0] == kind, (table, field, got[field][0], kind)
            for pattern, unit in UNITS:
                if field not in counted and re.fullmatch(pattern, field):
                    assert got[field][1] == unit, (table, field, got[field][1], unit)
                    break
    print(f"{len(ROWS)} tables, as in {sys.argv[1]}")


if __name__ == "__main__":
    main()
