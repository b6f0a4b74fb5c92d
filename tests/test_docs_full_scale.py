"""The figures of docs/full_scale.md are those of committed records and of the committed GPU session."""

from __future__ import annotations

import json
import re
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import pytest

from hpe_bench.records import query, store
from hpe_bench.records.schema import RunRecord

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "full_scale.md").read_text(encoding="utf-8")
NETWORKS = {
    "SimpleBaseline-R50": ("simple_baseline", "r50_256x192"),
    "HRNet-W32": ("hrnet", "w32_256x192"),
    "FasterPose-R50": ("fasterpose", "d_r50_256x192"),
}


@pytest.fixture(scope="module")
def session() -> dict[str, Any]:
    """What `make gpu` reported of itself, part by part."""
    parts: dict[str, Any] = json.loads((ROOT / "docs" / "gpu_session.json").read_text())["parts"]
    return parts


@pytest.fixture(scope="module")
def records() -> query.Records:
    folders = [ROOT / "results" / slug for slug, _ in NETWORKS.values()]
    return query.of(store.load_files([p for f in folders for p in sorted(f.glob("*lsp-pc-3x4*.json"))]))


def rows(heading: str) -> dict[str, list[str]]:
    """The cells of the table under a heading row, by the first of each row."""
    _, _, below = PAGE.partition(f"| {heading} |")
    lines = [line for line in below.partition("\n\n")[0].splitlines()[2:] if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {first: rest for first, *rest in cells}


def printed(value: float) -> str:
    """One decimal, halves away from 0, as a reader rounds."""
    return str(Decimal(repr(round(value, 6))).quantize(Decimal("0.1"), ROUND_HALF_UP))


def of(records: query.Records, network: str, protocol: str) -> RunRecord:
    slug, variant = NETWORKS[network]
    (found,) = [r for r in records.full_runs(slug, variant) if r.identity.protocol == protocol]
    return found


def test_accuracies_are_those_of_the_records(records: query.Records) -> None:
    table = rows("network")
    assert set(table) == set(NETWORKS)
    for network, (_, *shown) in table.items():
        for protocol, cell in zip(("lsp-pc-3x4", "lsp-pc-3x4-dark"), shown, strict=True):
            record = of(records, network, protocol)
            measured = record.get("pck@0.2")
            assert measured is not None
            assert measured.interval is not None
            low, high = measured.interval
            assert cell == f"{printed(measured.value)} [{printed(low)}, {printed(high)}]", (network, protocol)
            assert f"{record.identity.samples_seen:,} samples each" in PAGE.replace("\n", " ")


def test_the_session_reports_the_records_that_are_committed(session: dict[str, Any], records: query.Records) -> None:
    for network, (slug, _) in NETWORKS.items():
        told = session[f"train-{slug}"]["figures"]
        for protocol in ("lsp-pc-3x4", "lsp-pc-3x4-dark"):
            record = of(records, network, protocol)
            assert told[protocol]["predictions_sha256"] == record.predictions_sha256
            assert told[protocol]["pck@0.2"] == pytest.approx(record.measurements[0].value, abs=5e-4)
            assert told["weights_sha256"] == record.weights_sha256
            assert record.provenance.device.startswith(session["machine"]["figures"]["device"])
    prepared = session["prepare"]["figures"]
    assert f"{prepared['training_persons']:,} persons of LSP and LSP-extended" in re.sub(r"\s+", " ", PAGE)


def test_throughputs_are_those_of_the_session(session: dict[str, Any]) -> None:
    speeds = session["speeds"]["figures"]
    table = rows("training, samples a second")
    assert len(table) == 2
    for told, cells in table.items():
        network, precision, batch = told.split(", ")
        for way, cell in zip(("graphed", "eager", "bare"), cells, strict=True):
            found = speeds[f"{NETWORKS[network][0]}/{'bf16' if precision == 'bfloat16' else precision}/{way}"]
            assert cell == f"{found['samples_per_second']:,.0f}"
            assert batch == f"batch {found['batch']}"


def test_the_session_says_nothing_but_of_itself() -> None:
    text = (ROOT / "docs" / "gpu_session.json").read_text()
    assert not re.search(r"/work|/root|/home|/tmp|lease|helper", text)
