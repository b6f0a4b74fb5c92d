"""Where the records of a page come from: one row per environment, one per record."""

from __future__ import annotations

from collections.abc import Sequence

from hpe_bench.records.schema import RunRecord
from hpe_bench.report.kit.tables import Cell, Column, Table
from hpe_bench.report.kit.text import NO_BREAK, identifier, number, plural

SHOWN_HASH = 12
MOST_RUNS = 500  # rows of a table of records


def anchor(record_id: str) -> str:
    """The id of a record's row in the table of runs."""
    return f"record-{identifier(record_id)}"


def environments(records: Sequence[RunRecord]) -> Table:
    """Code, packages and machine of the records, equal ones together."""
    groups: dict[tuple[str, ...], list[RunRecord]] = {}
    for r in records:
        p = r.provenance
        commit = (p.commit[:SHOWN_HASH] or "no commit") + (", with uncommitted changes" if p.dirty else "")
        machine = f"{p.device}, {plural(p.threads, 'thread')}, {p.platform}"
        packages = ", ".join(f"{k} {v}" for k, v in sorted(p.packages.items()))
        flags = ", ".join(f"{k} {v}" for k, v in sorted(p.flags.items()))
        groups.setdefault(
            (f"hpe-bench {p.version}, {commit}", machine, f"Python {p.python}, {packages}", flags), []
        ).append(r)
    rows = []
    for (code, machine, packages, flags), found in sorted(groups.items()):
        days = sorted({r.provenance.started[:10] for r in found})
        rows.append(
            (
                Cell(code),
                Cell(machine),
                Cell(packages, note=flags),
                Cell(days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"),
                Cell(str(len(found)), sort=float(len(found))),
            )
        )
    columns = (
        Column("Code"),
        Column("Machine"),
        Column("Packages and numeric flags"),
        Column("Date (UTC)"),
        Column("Records", numeric=True),
    )
    return Table("environments", "Code, machine and packages behind the records of this page.", columns, tuple(rows))


def runs(records: Sequence[RunRecord]) -> Table:
    """Every record of the page, as far as a page can hold them."""
    rows = []
    shown = records[:MOST_RUNS]
    for r in shown:
        i, p = r.identity, r.provenance
        training = r.get("train/seconds")
        rows.append(
            (
                Cell(r.id[:SHOWN_HASH], f"{r.id}, results/{i.paper}/{r.filename}"),
                Cell(f"{i.paper}/{i.variant}", note=i.recipe),
                Cell(i.protocol, note=f"protocol {i.protocol_hash}" if i.protocol_hash else ""),
                Cell("–" if i.seed is None else str(i.seed), sort=None if i.seed is None else float(i.seed)),
                Cell(f"{i.samples_seen:,}", sort=float(i.samples_seen)),
                Cell(p.started, note="" if training is None else f"{number(training.value, 1)}{NO_BREAK}s"),
                Cell(r.status, note=r.reason),
                Cell(
                    r.predictions_sha256[:SHOWN_HASH] or "–", r.predictions_sha256, note=r.weights_sha256[:SHOWN_HASH]
                ),
            )
        )
    columns = (
        Column("Record"),
        Column("What ran"),
        Column("Protocol"),
        Column("Seed", numeric=True),
        Column("Training samples seen", numeric=True),
        Column("Started (UTC), training time"),
        Column("Status"),
        Column("SHA-256 of predictions, of weights"),
    )
    anchors = tuple({"id": anchor(r.id)} for r in shown)
    note = "" if len(shown) == len(records) else f"The first {MOST_RUNS:,} of {len(records):,}; records.json has all."
    return Table("runs", "Every record behind this page.", columns, tuple(rows), note, attributes=anchors)
