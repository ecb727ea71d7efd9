"""
Rounds of several servers, and the table of what came out.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.servers import Server, running

#: A case's name, and what it measures: units of work, in which unit.
Case = tuple[str, Callable[[Server], float], str]


def main(
    title: str,
    servers: Sequence[str],
    prepare: Callable[[Path], None],
    cases: Sequence[Case],
    *,
    tftp: bool = False,
) -> None:
    """
    Run every case with every server in turn, so that a busy minute hits all alike, and
    print the medians: work per second and processor time per unit of work, and how
    FileHub compares with each of the others.

    @param prepare: fills the folder that is served.
    """
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--servers", default=",".join(servers), help="default: %(default)s")
    parser.add_argument("--folder", default="/dev/shm", help="where files lie (%(default)s)")
    options = parser.parse_args()
    names = options.servers.split(",")
    rates: dict[tuple[str, str], list[float]] = {}
    costs: dict[tuple[str, str], list[float]] = {}
    for number in range(options.rounds):
        for case, work, _ in cases:
            for name in names:
                print(f"round {number + 1}: {case}, {name}", file=sys.stderr)
                with tempfile.TemporaryDirectory(dir=options.folder) as folder:
                    root = Path(folder) / "root"
                    root.mkdir()
                    prepare(root)
                    with running(name, root, tftp=tftp) as server:
                        before, start = server.cpu(), time.perf_counter()
                        units = work(server)
                        seconds = time.perf_counter() - start
                        used = server.cpu() - before
                rates.setdefault((case, name), []).append(units / seconds)
                costs.setdefault((case, name), []).append(used / units)
    print(f"\n{title}\n")
    print(f"{'case':<24}{'server':<12}{'per second':>14}{'CPU per unit':>16}{'ratio':>8}")
    for case, _, unit in cases:
        ours = statistics.median(rates.get((case, "filehub"), [0.0]))
        for name in names:
            rate = statistics.median(rates[case, name])
            cost = statistics.median(costs[case, name])
            ratio = f"{ours / rate:.2f}" if name != "filehub" else ""
            print(f"{case:<24}{name:<12}{rate:>10.1f} {unit:<4}{cost * 1e3:>12.3f} ms{ratio:>8}")
