"""The notebook under `examples/`: it runs, and the output that is committed is that of the committed records."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = ROOT / "examples" / "results.ipynb"
LIMIT_BYTES = 200_000


def texts(notebook: Mapping[str, Any]) -> list[str]:
    """What each code cell answers, as text; pictures aside, whose bytes depend on fonts."""
    outputs = [o for cell in notebook["cells"] for o in cell.get("outputs", ()) if "image/png" not in o.get("data", {})]
    return ["".join(o["data"]["text/plain"]) if "data" in o else str(dict(o)) for o in outputs]


def test_the_notebook_is_small_executed_and_without_errors() -> None:
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert NOTEBOOK.stat().st_size < LIMIT_BYTES
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert all(cell["outputs"] for cell in code)
    assert {o["output_type"] for cell in code for o in cell["outputs"]} == {"execute_result", "display_data"}
    assert all("execution" not in cell["metadata"] for cell in notebook["cells"])


@pytest.mark.slow
def test_its_output_is_that_of_the_committed_records(
    committed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("nbclient", "nbformat", "ipykernel"):
        pytest.importorskip(package, reason="pip install 'hpe-bench[dev]' for notebooks")
    from examples.execute import executed

    monkeypatch.setenv("HPE_BENCH_PAPERS", "")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    (tmp_path / "results").symlink_to(committed / "results")
    (tmp_path / "examples").mkdir()
    fresh = executed(NOTEBOOK, tmp_path / "examples")
    assert texts(json.loads(NOTEBOOK.read_text(encoding="utf-8"))) == texts(fresh), "run `make notebook`"
