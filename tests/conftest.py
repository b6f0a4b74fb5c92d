"""Shared fixtures: where the real data lies, and a private cache for generated data."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from filelock import FileLock

from hpe_bench import catalog
from hpe_bench.run import exporting

ROOT = Path(__file__).parents[1]

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real data sets (`HPE_BENCH_DATA`, else `../shared/data` beside the checkout); skips without."""
    named = os.environ.get("HPE_BENCH_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set HPE_BENCH_DATA to a folder that holds lsp/, coco_mini/, ...")
    return folder


@pytest.fixture(scope="session")
def data_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder of this test session, so that tests neither read nor fill the user's own."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def private_cache(data_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPE_BENCH_CACHE", str(data_cache))


@pytest.fixture(scope="session")
def exported_pocket(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """ONNX files of the papers' miniatures (the variant `pocket`, seed 0), each exported once a session."""
    folder = tmp_path_factory.mktemp("exported")

    @cache
    def export(slug: str) -> Path:
        variant = catalog.find_variant(catalog.load(slug), "pocket")
        torch.manual_seed(0)
        return exporting.to_onnx(variant.builder(variant.joints), variant.input_hw, folder / f"{slug}.onnx")

    return export


REBUILD = """
import sys
from pathlib import Path
from hpe_bench.report import site
results, reports = Path("results"), Path(sys.argv[1])
site.write_site(results, reports)
for committed in sorted(Path("reports", "compare").iterdir()):
    site.write_comparison(committed.name.split("-vs-"), results, reports)
"""


@pytest.fixture(scope="session")
def built_site(data_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every page of the committed records, and the comparisons that are committed, written anew; half a minute.

    By a process with another hash seed, time zone, locale, home (of matplotlib's settings and font cache) and number of
    threads than anybody's who commits pages, since none of them may matter.
    """
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "site"
    folder.mkdir(exist_ok=True)
    environment = {k: v for k, v in os.environ.items() if k != "HPE_BENCH_PAPERS"}
    environment |= {"PYTHONHASHSEED": "1", "TZ": "Asia/Tokyo", "LC_ALL": "C", "LANG": "C", "OMP_NUM_THREADS": "1"}
    environment |= {"HOME": str(folder), "MPLCONFIGDIR": str(folder), "HPE_BENCH_CACHE": str(data_cache)}
    with FileLock(folder / "lock"):  # one of the workers builds, the others wait for it
        if not (folder / "reports").exists():
            command = [sys.executable, "-c", REBUILD, str(folder / "partial")]
            subprocess.run(command, env=environment, cwd=ROOT, check=True)
            (folder / "partial").rename(folder / "reports")
    return folder / "reports"
