"""The paper folders, importable: `hpe_bench.papers.fasterpose.paper`.

A wheel carries them in this package. In a source checkout they lie in the top-level folder `papers/`, which is added to
the package path here; `hpe_bench.catalog` adds the user's own folders (`HPE_BENCH_PAPERS`).
"""

from pathlib import Path

_checkout = Path(__file__).resolve().parents[2] / "papers"
if _checkout.is_dir():
    __path__.append(str(_checkout))
