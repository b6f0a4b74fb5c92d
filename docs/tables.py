"""Makes the tables of measured figures in these pages anew from the committed records: `make leaderboard`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from hpe_bench import catalog
from hpe_bench.declare import Paper
from hpe_bench.records import store
from hpe_bench.records.marked import filled
from hpe_bench.records.schema import RunRecord
from hpe_bench.report.kit.text import number, signed, span
from hpe_bench.report.pages import robustness
from hpe_bench.timing.rows import ALONE, EAGER, TimedRow, rows

ROOT = Path(__file__).parents[1]
BY = "make leaderboard"
RUNTIMES = {
    "eager": "eager, ms",
    "onnxruntime": "ONNX Runtime",
    "onnxruntime_int8": "ONNX Runtime, int8",
    "openvino": "OpenVINO",
    "openvino_int8": "OpenVINO, int8",
}
EIGHT_BITS = {name: title for name, title in RUNTIMES.items() if name.endswith("_int8")}
INPUT_HW = (256, 192)
MOVED = "Box moved"


def main() -> None:
    records = store.load_all(ROOT / "results")
    for name, part, made in made_of(records):
        path = ROOT / "docs" / name
        path.write_text(filled(path.read_text(encoding="utf-8"), part, BY, made), encoding="utf-8")


def made_of(records: Sequence[RunRecord]) -> list[tuple[str, str, str]]:
    """Every generated part of these pages: the file, the part's name, its text."""
    papers, timed = {p.paper.slug: p.paper for p in catalog.load_all()[0]}, rows(records)
    return [
        ("onnx.md", "times", times(timed, papers)),
        ("onnx.md", "losses", losses(records, papers)),
        ("onnx.md", "refusals", refusals(timed, papers)),
        ("robustness.md", "scores", scores(records, papers)),
    ]


def times(found: Sequence[TimedRow], papers: dict[str, Paper]) -> str:
    """Full-size networks in five runtimes, on the machine where they were timed in all; of several the latest."""
    own: dict[tuple[str, str, str], dict[str, TimedRow]] = {}
    for row in found:
        i, t = row.record.identity, row.timing
        if row.counts and (t.scope, t.batch, t.threads, t.input_hw) == (ALONE, 1, 1, INPUT_HW):
            own.setdefault((row.machine, i.paper, i.variant), {})[t.runtime] = row
    whole = {key: by for key, by in own.items() if all(name in by for name in RUNTIMES)}
    machine = max(whole.items(), key=lambda item: item[1][EAGER].record.provenance.started)[0][0]
    lines = [
        [papers[slug].name_of(variant), *(_ms(by[name]) for name in RUNTIMES)]
        for (where, slug, variant), by in sorted(whole.items())
        if where == machine
    ]
    return f"\n{machine}:\n\n{_table(['network, 256x192', *RUNTIMES.values()], lines)}\n"


def _ms(row: TimedRow) -> str:
    return f"{number(row.median_ms, 0)} {span(row.latency.interval_ms, 0)}"


def losses(records: Sequence[RunRecord], papers: dict[str, Paper]) -> str:
    """What 8 bits cost trained networks: points of the same weights, less those in eager float32."""
    found: dict[str, dict[str, str]] = {}
    for r in sorted(records, key=lambda r: r.identity.paper):
        for m in (m for m in r.measurements if m.name.against == EAGER and m.conditions.runtime in EIGHT_BITS):
            model = f"{papers[r.identity.paper].name_of(r.identity.variant)}, {m.conditions.protocol}, {m.name.metric}"
            text = f"{signed(m.value, 2)} {span(m.interval, 2, sign=True)}"
            found.setdefault(model, {})[m.conditions.runtime] = text
    lines = [[model, *(by.get(runtime, "") for runtime in EIGHT_BITS)] for model, by in found.items()]
    return f"\n{_table(['network, protocol, metric', *EIGHT_BITS.values()], lines)}\n"


def refusals(found: Sequence[TimedRow], papers: dict[str, Paper]) -> str:
    """Networks whose maps in 8 bits are farther from eager's than a row that counts may be."""
    far: dict[str, list[float]] = {}
    for row in (r for r in found if r.timing.runtime in EIGHT_BITS and r.timed and not r.counts):
        i, apart = row.record.identity, row.timing.deviation
        if apart is not None:
            far.setdefault(papers[i.paper].name_of(i.variant), []).append(apart)
    lines = [[model, number(max(deviations), 2)] for model, deviations in sorted(far.items())]
    return f"\n{_table(['refused in 8 bits', 'maps apart by, of their spread'], lines)}\n"


def scores(records: Sequence[RunRecord], papers: dict[str, Paper]) -> str:
    """Models under corruptions: clean, on average, and what moved boxes cost."""
    lines = []
    for r in robustness.speaking(records):
        assert r.robustness is not None
        clean, mean, *kinds = robustness.averages(r.robustness)
        moved = next(k for k in kinds if k.title == MOVED)
        assert moved.change is not None
        assert moved.change_interval is not None
        low, high = moved.change_interval
        cells = [f"{number(a.value, 1)} {span(a.interval)}" for a in (clean, mean)]
        cells.append(f"{number(-moved.change, 1)} {span((-high, -low))}")
        lines.append([robustness.model_name(r, papers), *cells])
    return f"\n{_table(['model', 'clean', 'mean corruption score', 'box moved, points lost'], lines)}\n"


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rule = "|---|" + "---:|" * (len(head) - 1) + "\n"
    return _line(head) + rule + "".join(map(_line, lines))


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |\n"


if __name__ == "__main__":
    main()
