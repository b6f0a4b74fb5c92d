"""Records: validated both ways, whole or not at all, one name for one set of predictions."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from hpe_bench.records import store
from hpe_bench.records.schema import Identity, Measurement, Provenance, RunRecord, Tally
from hpe_bench.records.store import RecordError


def make(**changes: object) -> RunRecord:
    """A small finished record, with some fields changed."""
    provenance = Provenance(
        version="0",
        commit="",
        dirty=False,
        packages={"numpy": "2"},
        python="3",
        platform="p",
        device="d",
        threads=1,
        flags={},
        started="2026-01-01T00:00:00+00:00",
        seconds=1.5,
    )
    identity = Identity(
        kind="accuracy",
        scale="pocket",
        paper="some_paper",
        variant="v",
        variant_hash="1",
        recipe="r",
        recipe_hash="2",
        protocol="p-v1",
        protocol_hash="3",
        seed=0,
    )
    values: dict[str, object] = {
        "id": "abc",
        "identity": identity,
        "status": "done",
        "provenance": provenance,
        "measurements": (Measurement(key="pckh@0.5", value=1 / 3, unit="percent", n=9, interval=(0.1, 0.9)),),
        "tallies": (Tally(key="pckh@0.5", hits=(1, 0, 2), counts=(3, 0, 3)),),
    }
    return RunRecord(**{**values, **changes})  # type: ignore[arg-type]


def test_round_trip_keeps_every_digit(tmp_path: Path) -> None:
    record = make()
    path = store.save(record, tmp_path)
    assert path == tmp_path / "some_paper" / "v__r__p-v1__seed0__abc.json"
    assert store.load(path) == record
    assert json.loads(path.read_text())["measurements"][0]["value"] == 1 / 3


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("surprise", 1, "surprise"),
        ("schema_version", 2, "schema_version"),
        ("status", "fine", "status"),
        ("reason", "but it is done", "reason"),
        ("id", 7, "id"),
    ],
)
def test_a_changed_file_is_refused_with_file_and_field(tmp_path: Path, field: str, value: object, message: str) -> None:
    path = store.save(make(), tmp_path)
    content = json.loads(path.read_text())
    content[field] = value
    path.write_text(json.dumps(content))
    with pytest.raises(RecordError, match=message) as caught:
        store.load(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"id": "x"}', "null"])
def test_a_truncated_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "some_paper" / "x.json"
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(RecordError, match=r"x\.json"):
        store.load_all(tmp_path)


def test_values_are_checked_when_written() -> None:
    with pytest.raises(ValidationError):
        Measurement(key="ap", value=float("nan"), unit="percent", n=1)
    with pytest.raises(ValidationError):
        Measurement(key="ap", value=1.0, unit="percent", n=1, interval=(2.0, 1.0))
    with pytest.raises(ValidationError):
        Tally(key="ap", hits=(3,), counts=(2,))
    with pytest.raises(ValidationError):
        make(status="failed")  # without a reason
    with pytest.raises(ValidationError):
        make(measurements=(make().measurements[0],) * 2)


def test_a_full_disk_leaves_the_old_file_and_no_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = store.save(make(), tmp_path)
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        store.save(make(reason="", predictions_sha256="0" * 64), tmp_path)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_equal_predictions_under_two_names_are_refused() -> None:
    one = make(predictions_sha256="a" * 64)
    renamed = one.identity.model_copy(update={"paper": "other_paper", "variant_hash": "9"})
    other = make(id="def", identity=renamed, predictions_sha256="a" * 64)
    with pytest.raises(RecordError, match="same predictions"):
        store.refuse_shared_predictions([one, other])
    decoded_twice = one.identity.model_copy(update={"protocol": "p-v1-quarter"})
    store.refuse_shared_predictions([one, make(id="ghi", identity=decoded_twice, predictions_sha256="a" * 64)])
