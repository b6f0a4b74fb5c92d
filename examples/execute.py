"""Executes the notebook of this folder and keeps its output in it, without times: the same records, the same file.

make notebook
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).with_name("results.ipynb")
SECONDS = 600  # a cell may take


def executed(notebook: Path, folder: Path) -> Any:
    """The notebook with fresh output, run in a folder beside which `results/` lies; the file is left as it is."""
    node = nbformat.read(notebook, as_version=4)
    client = NotebookClient(node, timeout=SECONDS, record_timing=False, resources={"metadata": {"path": str(folder)}})
    client.execute()
    for cell in node.cells:
        cell.metadata.pop("execution", None)
    node.metadata["language_info"] = {"name": "python"}  # without the version that ran it
    return node


def main() -> None:
    nbformat.write(executed(NOTEBOOK, NOTEBOOK.parent), NOTEBOOK)


if __name__ == "__main__":
    main()
