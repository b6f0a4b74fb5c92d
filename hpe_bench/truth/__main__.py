"""`python -m hpe_bench.truth`: run the simulations, write their figures, and say which rule missed its limits.

With `--tables` no simulation runs: the tables of the document are made anew from the figures that are there.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from hpe_bench.files import write_atomically
from hpe_bench.truth import experiments, record

FIGURES = Path("docs/truth.json")
DOCUMENT = Path("docs/statistics.md")


def main() -> int:
    """Exit code 1 if a rule in use is outside its limits."""
    parser = argparse.ArgumentParser(prog="python -m hpe_bench.truth", description=__doc__)
    parser.add_argument("--tables", action="store_true", help="write the document's tables from docs/truth.json")
    if parser.parse_args().tables:
        found = record.load(FIGURES)
    else:
        found = [record.rounded(f) for f in _told(experiments.run())]
        record.save(FIGURES, found)
    text = DOCUMENT.read_text(encoding="utf-8")
    write_atomically(DOCUMENT, record.with_tables(text, record.tables(found)).encode())
    missed = [f for f in found if not f.held]
    for f in missed:
        print(f"outside its limits: {f.section}, {f.world}, {f.rule}: {f.figure} {f.value:.1f} ± {f.error:.1f}")
    return 1 if missed else 0


def _told(findings):  # type: ignore[no-untyped-def]
    for f in findings:
        print(
            f"{f.section}: {f.world}: {f.rule}: {f.figure} {f.value:.2f} ± {f.error:.2f} ({f.trials:,} trials)",
            flush=True,
        )
        yield f


if __name__ == "__main__":
    sys.exit(main())
