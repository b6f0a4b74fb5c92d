"""Code digests: what a model does counts, how it is described does not."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from hpe_bench import codehash
from hpe_bench.codehash import code_digest
from tests import small

MODEL = '''
"""A model."""
from hpe_bench.papers.codehash_blocks import block

def build(joints):
    """Built."""
    return block(joints, width=8)  # narrow
'''
BLOCKS = """
def block(joints, width):
    return joints * width
"""


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """Writes and imports a module below hpe_bench.papers, anew each time."""
    import importlib

    import hpe_bench.papers

    monkeypatch.setattr(hpe_bench.papers, "__path__", [*hpe_bench.papers.__path__, str(tmp_path)])

    def write(name: str, text: str) -> ModuleType:
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))
        importlib.invalidate_caches()
        sys.modules.pop(f"hpe_bench.papers.{name}", None)
        codehash._essence.cache_clear()
        import linecache

        linecache.clearcache()
        return importlib.import_module(f"hpe_bench.papers.{name}")

    yield write
    for name in ("codehash_blocks", "codehash_model"):
        sys.modules.pop(f"hpe_bench.papers.{name}", None)


def test_numbers_and_what_is_drawn_on_count_and_prose_does_not(load: object) -> None:
    assert callable(load)

    def digest(model: str, blocks: str) -> str:
        load("codehash_blocks", blocks)
        return code_digest([load("codehash_model", model).build])

    first = digest(MODEL, BLOCKS)
    assert digest(MODEL, BLOCKS) == first
    assert digest(MODEL.replace("Built.", "Made.").replace("# narrow", "# slim"), BLOCKS) == first
    assert digest(MODEL.replace("width=8", "width=9"), BLOCKS) != first
    assert digest(MODEL, BLOCKS.replace("joints * width", "joints + width")) != first


def test_a_training_covers_model_loss_and_codecs() -> None:
    run = small.training()
    assert len(run.code) == 16
    assert run.code != code_digest([run.variant.builder])
