"""Side-by-side measurements, each printed as ratios from one run: `make bench`, or `python -m bench NAME …`."""

from __future__ import annotations

import sys

from rich.console import Console

from bedside.evaluation.scores import Machine
from bedside.offline import quiet_libraries, stay_offline

NAMES = (
    "quality",
    "understanding",
    "neighbours",
    "training",
    "safety",
    "mutants",
    "deidentification",
    "duplicates",
    "curation",
    "gateway",
    "phone_media",
    "phone_calls",
    "reports_ecg",
    "reports_feed",
    "answers",
)


def main() -> None:
    """Run the measurements named on the command line, all by default."""
    stay_offline()
    quiet_libraries()
    console = Console(soft_wrap=True)
    machine = Machine.here()
    console.print(f"{machine.cpu}, {machine.cores} cores, {machine.memory / 2**30:.0f} GiB", highlight=False)
    for name in sys.argv[1:] or NAMES:
        module = __import__(f"bench.{name}", fromlist=["measure"])
        console.rule(name)
        module.measure(console)


if __name__ == "__main__":
    main()
