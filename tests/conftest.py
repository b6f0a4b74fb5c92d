"""Shared fixtures: where the real data lies, and a private cache for generated data."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch

from hpe_bench import catalog, exporting
from hpe_bench.report import site

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


@pytest.fixture(scope="session")
def built_site(data_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every page of the committed records, and the comparisons that are committed, written anew; half a minute."""
    folder = tmp_path_factory.mktemp("site") / "reports"
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("HPE_BENCH_CACHE", str(data_cache))
        patched.delenv("HPE_BENCH_PAPERS", raising=False)
        site.write_site(ROOT / "results", folder)
        for committed in sorted((ROOT / "reports" / "compare").iterdir()):
            site.write_comparison(committed.name.split("-vs-"), ROOT / "results", folder)
    return folder
