"""`python -m tests.bench [NAME...]`: measure and print one table; NAMEs choose among the parts."""

import importlib
import os
import platform
import sys
from pathlib import Path

from tests.bench.rows import Row

PARTS = {
    "frames": "nanoseconds per frame, BPF_PROG_TEST_RUN, 10,000 VIPs loaded",
    "rates": "answers per second on one core through veth, live frames",
    "node": "latency at 1,000 requests/s and memory, one node and a client in a lab",
    "tables": "the table of VIPs: loading and flipping 10,000",
    "idle": "a herald with nothing to do, among two and among nine others",
    "validation": "a whole configuration checked, and the models imported",
    "takeover": "10,000 VIPs of a dead node taken over and announced",
}


def machine() -> str:
    """Processor, cores and kernel, for whoever compares figures."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    else:
        model = platform.machine()
    return f"{model}, {os.cpu_count()} cores, Linux {platform.release()}"


def show(rows: list[Row]) -> None:
    """Print rows as a table."""
    width = max(len(row.name) for row in rows)
    for row in rows:
        verdict = {True: "met", False: "MISSED", None: ""}[row.met]
        print(
            f"  {row.name:<{width}}  {row.minimum:>10.3g} {row.median:>10.4g} {row.maximum:>10.3g}"
            f"  {row.unit:<6} {row.reference:<26} {row.aim:<18} {verdict}".rstrip(),
            flush=True,
        )


def main(names: list[str]) -> int:
    """Run the parts; 1 when an aim was missed, 2 for a wrong name."""
    unknown = set(names) - set(PARTS)
    if unknown:
        print(f"bench: no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
        return 2
    print(f"machine: {machine()}")
    missed = 0
    for name, about in PARTS.items():
        if names and name not in names:
            continue
        print(f"\n{name}: {about}\n  (min / median / max, unit, against, aim)", flush=True)
        rows: list[Row] = importlib.import_module(f"tests.bench.{name}").run()
        show(rows)
        missed += sum(row.met is False for row in rows)
    print(f"\n{missed} aims missed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
