#!/usr/bin/env python3
"""Compares hwbench of an earlier commit with that of this tree: both are run alternately, and medians are printed.

    benches/compare.py [--pairs N] [--before DIRECTORY] COMMIT BENCH [ARGUMENT OF hwbench ...]

The commit is checked out into target/compare/COMMIT and built there, which takes a while the first time. Nothing else
should run meanwhile. One JSON line per cell: for each figure the median before and after, and after divided by before.
"""

import argparse
import collections
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
# What the last run removed still keeps the file system busy.
PAUSE_SECONDS = 3


def build(tree):
    """Builds the programs and hwbench of a tree."""
    environment = {name: value for name, value in os.environ.items() if name not in ("CARGO_TARGET_DIR", "HEADWORKS_DIST")}
    for command in (["./build.sh"], ["cargo", "build", "--release", "--locked", "--package", "hwbench"]):
        subprocess.run(command, cwd=tree, env=environment, stdout=sys.stderr, check=True)
    return environment


def checkout(commit):
    """A tree with the files of a commit."""
    tree = ROOT / "target" / "compare" / commit
    if not tree.exists():
        subprocess.run(["git", "worktree", "add", "--detach", str(tree), commit], cwd=ROOT, stdout=sys.stderr, check=True)
    return tree


def run(tree, environment, arguments):
    """The figures of one run: {cell: {figure: number}}."""
    os.sync()
    time.sleep(PAUSE_SECONDS)
    command = [str(tree / "target" / "release" / "hwbench"), *arguments]
    printed = subprocess.run(command, cwd=tree, env=environment, stdout=subprocess.PIPE, check=True, text=True).stdout
    cells = {}
    for line in printed.splitlines():
        cell = json.loads(line)
        name = " ".join(word for word in (cell["bench"], cell.get("store"), cell["cell"]) if word)
        figures = dict(cell["figures"], ratio=cell["ratio"])
        cells[name] = {name: value for name, value in figures.items() if isinstance(value, (int, float))}
    return cells


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5, help="runs of each [default: 5]")
    parser.add_argument("--before", type=pathlib.Path, help="a tree of the commit that is built already")
    parser.add_argument("commit", help="the commit to compare with")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="what hwbench is to run")
    asked = parser.parse_args()

    before = asked.before or checkout(asked.commit)
    sides = [("before", before, build(before)), ("after", ROOT, build(ROOT))]
    seen = {side: collections.defaultdict(lambda: collections.defaultdict(list)) for side, _, _ in sides}
    for pair in range(asked.pairs):
        # Who runs second in one pair runs first in the next.
        for side, tree, environment in sides if pair % 2 == 0 else reversed(sides):
            for cell, figures in run(tree, environment, asked.arguments).items():
                for name, value in figures.items():
                    seen[side][cell][name].append(value)
    for cell, figures in seen["after"].items():
        told = {"cell": cell, "pairs": asked.pairs}
        for name, values in figures.items():
            old, new = statistics.median(seen["before"][cell][name] or [0]), statistics.median(values)
            told[name] = {"before": old, "after": new, "quotient": round(new / old, 3) if old else None}
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
