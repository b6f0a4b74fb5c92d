"""Shared fixtures: where the real data lies, and a private cache for generated data."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

# Before NumPy and torch are there: small products of matrices on several threads keep all cores busy for nothing.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
from filelock import FileLock

from hpe_bench import catalog
from hpe_bench.inference import exporting

ROOT = Path(__file__).parents[1]

torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of the whole built site run with those in Chromium (`make browser`), for which it is built anyway."""
    for item in items:
        if "built_site" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")


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


@pytest.fixture(autouse=True, scope="session")
def private_cache(data_cache: Path) -> Iterator[None]:
    """Of the session, so that what a module's fixtures make is not put into the user's own either."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HPE_BENCH_CACHE", str(data_cache))
        yield


@pytest.fixture(autouse=True)
def own_switches() -> Iterator[None]:
    """A training makes its process strict: that ends with the test, or the order of tests decides what may run."""
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture(scope="session")
def exported_pocket(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """ONNX files of the papers' miniatures (the variant `pocket`, seed 0), each exported once for all workers."""
    folder = shared_folder(tmp_path_factory, "exported")

    def export(slug: str) -> Path:
        path = folder / slug / f"{slug}.onnx"
        path.parent.mkdir(exist_ok=True)
        with FileLock(folder / f"{slug}.lock"):
            if not path.exists():
                variant = catalog.find_variant(catalog.load(slug), "pocket")
                torch.manual_seed(0)
                exporting.to_onnx(variant.builder(variant.joints), variant.input_hw, path)
        return path

    return export


@pytest.fixture(scope="session")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`results/`, `reports/` and `README.md` as git holds them (its index), whatever has been run here since.

    Records and pages of the user's own never decide whether a test passes; where there is no git checkout, it skips.
    """
    folder = shared_folder(tmp_path_factory, "committed")
    with FileLock(folder / "lock"):  # one of the workers writes, the others wait for it
        if not (folder / "tree").exists():
            listed = subprocess.run(
                ["git", "ls-files", "-z", "--", "results", "reports", "README.md"], cwd=ROOT, capture_output=True
            )
            if listed.returncode or not listed.stdout:
                pytest.skip("no git checkout, so nothing says what is committed")
            command = ["git", "checkout-index", "-z", "--stdin", f"--prefix={folder / 'partial'}/"]
            subprocess.run(command, input=listed.stdout, cwd=ROOT, check=True)
            (folder / "partial").rename(folder / "tree")
    return folder / "tree"


def shared_folder(factory: pytest.TempPathFactory, name: str) -> Path:
    """A folder of this test session that all its workers share."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    folder.mkdir(exist_ok=True)
    return folder


REBUILD = """
import sys
from pathlib import Path
from hpe_bench.report import site
committed, reports = Path(sys.argv[1]), Path(sys.argv[2])
site.write_site(committed / "results", reports)
for page in sorted(committed.glob("reports/compare/*/index.html")):
    if not (reports / "compare" / page.parent.name).exists():
        site.write_comparison(page.parent.name.split("-vs-"), committed / "results", reports)
"""


def build_site(committed: Path, reports: Path, home: Path, **environment: str) -> None:
    """Write every page of the committed records, and the comparisons that are committed, in a process of its own.

    Its home (of matplotlib's settings and font cache) is another than the user's, and it knows no papers of theirs.
    """
    home.mkdir(exist_ok=True)
    own = {k: v for k, v in os.environ.items() if k != "HPE_BENCH_PAPERS"}
    own |= {"HOME": str(home), "MPLCONFIGDIR": str(home), **environment}
    command = [sys.executable, "-c", REBUILD, str(committed), str(reports)]
    subprocess.run(command, env=own, cwd=ROOT, check=True)


@pytest.fixture(scope="session")
def built_site(committed: Path, data_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every page of the committed records, written once for all tests; half a minute."""
    folder = shared_folder(tmp_path_factory, "site")
    with FileLock(folder / "lock"):
        if not (folder / "reports").exists():
            build_site(committed, folder / "partial", folder / "home", HPE_BENCH_CACHE=str(data_cache))
            (folder / "partial").rename(folder / "reports")
    return folder / "reports"
