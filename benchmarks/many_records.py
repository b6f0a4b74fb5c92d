"""Many records: how long a folder of them takes to load and to make a board, in CPU seconds and memory.

    python benchmarks/many_records.py 100000 many

makes the records (trainings of the bundled papers' declared arms with ever other seeds: 150 test images, eight rates
with counts per image, a curve, ten drawn persons) unless they are there, then loads them and writes the board, with
`--pages` every page, and says what that took and how large the largest page is.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(HERE))


def make(count: int, folder: Path) -> None:
    """Records of all headline arms in turn; one in memory is varied, since only reading is timed."""
    from hpe_bench import catalog
    from hpe_bench.records import store
    from tests import synthetic_records

    papers, _ = catalog.load_all()
    arms = [a for p in papers for a in p.paper.headline.arms]
    level = synthetic_records.Level(60.0)
    texts = []
    for arm in arms:
        record = synthetic_records.accuracy(arm, 0, level)
        texts.append((record, store.compact(json.dumps(record.model_dump(mode="json"), ensure_ascii=False))))
    for record, _ in texts:
        (folder / record.identity.paper).mkdir(parents=True, exist_ok=True)
    for k in range(count):
        record, text = texts[k % len(texts)]
        seed, id = k // len(texts), f"{k:016x}"
        own = text.replace(f'"id": "{record.id}"', f'"id": "{id}"', 1).replace('"seed": 0', f'"seed": {seed}', 1)
        own = own.replace(record.predictions_sha256, f"{k:064x}", 1)
        name = record.model_copy(update={"id": id}).filename.replace("seed0", f"seed{seed}")
        (folder / record.identity.paper / name).write_text(own + "\n")


def measure(folder: Path, pages: Path) -> None:
    """The board alone, or with `--pages` every page, in this process."""
    from hpe_bench.report import site

    start = time.process_time()
    if "--pages" in sys.argv:
        site.write_site(folder, pages)
    else:
        site.write_leaderboard(folder, pages)
    print(f"{time.process_time() - start:.1f} s of CPU, {_mib()} MiB at the peak")
    largest = max(pages.rglob("*.html"), key=lambda p: p.stat().st_size)
    print(f"largest page: {largest.relative_to(pages)}, {largest.stat().st_size / 1e6:.2f} MB")


def _mib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


if __name__ == "__main__":
    number, place = int(sys.argv[1]), Path(sys.argv[2])
    if sys.argv[-1] == "--measure":
        measure(place / "results", place / "reports")
    else:
        if not (place / "results").is_dir():
            make(number, place / "results")
        subprocess.run([sys.executable, __file__, *sys.argv[1:], "--measure"], check=True)
