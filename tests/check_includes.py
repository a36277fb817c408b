#!/usr/bin/env python3
"""Checks that includes point upwards only, and that a library's header is used in one place.

A module may include itself and what stands above it in MODULES.  Some headers are confined to one folder.
Prints each offending line as path:line: reason; the exit status is 1 when there is one.

    check_includes.py [ROOT]        ROOT is the repository, the parent of this file's folder by default
"""
import pathlib
import re
import sys

MODULES = "base job text comm backend model decode policy trace run cluster report main".split()

# header pattern -> the folders, below the root, that may include it
CONFINED = [
    (r"mpi\.h", ["src/comm"]),
    (r"hdf5(_hl)?\.h|H5\w+\.h", ["src/trace"]),
    (r"(oneapi/dnnl/)?dnnl\w*\.h", ["tests/bench"]),
    (r"(cuda|cublas|cudnn|nccl|curand|nvml|nvtx3/)\w*\.h(pp)?|cub/.*|cute/.*|cutlass/.*", ["src/backend/cuda", "kernels"]),
    (r"cyaml/.*", ["src/job"]),
    (r"pcre2\w*\.h|utf8proc\.h", ["src/text"]),
]
INCLUDE = re.compile(r'\s*#\s*include\s*([<"])([^>"]+)[>"]')


def module_of(path, root):
    """The module of a file under src/, or None; src/main.c is main, a header directly in src/ belongs to base."""
    parts = path.relative_to(root / "src").parts
    if len(parts) > 1:
        return parts[0]
    return "main" if path.suffix == ".c" else "base"


def check_line(path, root, quoted, target):
    """The reason why this include is wrong, or None."""
    where = path.relative_to(root).as_posix()
    for pattern, folders in CONFINED:
        if re.fullmatch(pattern, target) and not any(where.startswith(f + "/") for f in folders):
            return f"<{target}> belongs in {' and '.join(folders)} alone"
    if not quoted or not where.startswith("src/"):
        return None
    here = module_of(path, root)
    if (path.parent / target).exists():
        there = module_of((path.parent / target).resolve(), root)
    else:
        there = target.split("/")[0] if "/" in target else "base"
    if there not in MODULES:
        return f'"{target}" is in no module'
    if MODULES.index(there) > MODULES.index(here):
        return f'{here} may not include "{target}": {there} stands below it'
    return None


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent).resolve()
    wrong, count = [], 0
    for folder in ("src", "kernels"):
        for path in sorted((root / folder).rglob("*")):
            if path.suffix not in (".c", ".h", ".cu", ".cuh", ".in"):
                continue
            if path.parts[len(root.parts)] == "src" and module_of(path, root) not in MODULES:
                wrong.append(f"{path.relative_to(root)}: the folder is no module")
                continue
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                match = INCLUDE.match(line)
                if match:
                    count += 1
                    reason = check_line(path, root, match[1] == '"', match[2])
                    if reason:
                        wrong.append(f"{path.relative_to(root)}:{number}: {reason}")
    print("\n".join(wrong) if wrong else f"check_includes: {count} includes, all upwards")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
