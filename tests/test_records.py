"""Records: validated both ways, whole or not at all, one name for one set of predictions."""

from __future__ import annotations

import base64
import json
import os
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from hpe_bench.records import query, store
from hpe_bench.records.schema import (
    LONG_PARTS,
    CurvePoint,
    Identity,
    ImageCounts,
    Matches,
    Measurement,
    Provenance,
    RunRecord,
    Timing,
)
from hpe_bench.records.store import RecordError, RecordWarning


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
        "measurements": (Measurement(key="pckh@0.5", value=100 / 3, unit="percent", n=9, interval=(10.1, 60.9)),),
        "tallies": (ImageCounts(key="pckh@0.5", hits=(1, 0, 2), counts=(6, 0, 3)),),
    }
    return RunRecord(**{**values, **changes})  # type: ignore[arg-type]


def test_round_trip_keeps_every_digit(tmp_path: Path) -> None:
    record = make()
    path = store.save(record, tmp_path)
    assert path == tmp_path / "some_paper" / "v__r__p-v1__seed0__abc.json"
    assert store.load(path) == record
    assert json.loads(path.read_text())["measurements"][0]["value"] == 100 / 3


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("surprise", 1, "surprise"),
        ("schema_version", 3, "schema_version"),
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


FOREIGN = {
    "empty.json": b"",
    "half.json": b'{\n "schema_version": 1,\n "id": "x",\n "identity": {"ki',
    "list.json": b"[]",
    "other.json": b'{"id": "x"}',
    "null.json": b"null",
    "._mac.json": b"\x00\x05\x16\x07\x00\x02\x00\x00",
}


def test_what_is_no_record_is_named_and_passed_over(tmp_path: Path) -> None:
    kept = store.save(make(), tmp_path)
    for name, content in FOREIGN.items():
        (kept.parent / name).write_bytes(content)
    (kept.parent / "bom.json").write_bytes(b"\xef\xbb\xbf" + kept.read_bytes())
    (kept.parent / "folder.json").mkdir()
    os.mkfifo(kept.parent / "fifo.json")
    names = [*FOREIGN, "bom.json", "folder.json", "fifo.json"]
    with pytest.warns(RecordWarning) as told:
        found = store.load_all(tmp_path)
    assert found == (make(),)
    assert len(found.passed_over) == len(told) == len(names)
    for name in names:
        path = str(kept.parent / name)
        assert sum(text.startswith((f"{path}:", f"{path} is")) for text in found.passed_over) == 1


@pytest.mark.parametrize("cut", [0.3, 0.6, 0.9, 0.99])
def test_a_truncated_record_is_passed_over_wherever_it_ends(tmp_path: Path, cut: float) -> None:
    path = store.save(make(), tmp_path)
    data = path.read_bytes()
    path.write_bytes(data[: int(cut * len(data))])
    with pytest.warns(RecordWarning, match=re.escape(str(path))):
        assert store.load_all(tmp_path) == ()


def test_values_are_checked_when_written() -> None:
    with pytest.raises(ValidationError):
        Measurement(key="ap", value=float("nan"), unit="percent", n=1)
    with pytest.raises(ValueError, match="wrong way round"):
        Measurement(key="ap", value=1.0, unit="percent", n=1, interval=(2.0, 1.0))
    with pytest.raises(ValidationError):
        ImageCounts(key="ap", hits=(3,), counts=(2,))
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
    both = [one, other.model_copy(update={"id": "def"})]
    assert set(store.shared_predictions(both)) == {"abc", "def"}


def test_a_sweep_at_the_value_of_a_protocol_has_the_predictions_of_that_protocol() -> None:
    """Its record does not say which data the network was trained on; another network's predictions it may not have."""
    one = make(predictions_sha256="a" * 64)
    one = one.model_copy(update={"identity": one.identity.model_copy(update={"train_digest": "1" * 16})})
    swept = one.identity.model_copy(update={"kind": "sweep", "train_digest": "", "protocol": "p-v1-occlusion-0.1"})
    sweep = make(id="def", identity=swept, predictions_sha256="a" * 64)
    assert store.shared_predictions([one, sweep]) == {}
    assert store.shared_predictions([sweep, one]) == {}
    of_another = make(id="ghi", identity=swept.model_copy(update={"seed": 8}), predictions_sha256="a" * 64)
    assert set(store.shared_predictions([one, of_another])) == {"abc", "ghi"}
    elsewhere = one.identity.model_copy(update={"train_digest": "2" * 16})
    assert len(store.shared_predictions([one, make(id="jkl", identity=elsewhere, predictions_sha256="a" * 64)])) == 2


# ---------------------------------------------------------------------------------------------------- version 1


V1 = Path(__file__).parent / "data" / "records_v1"


@pytest.mark.parametrize("path", sorted(V1.glob("*.json")), ids=lambda p: p.stem)
def test_version_1_loads_with_its_words_and_gives_fields(path: Path, tmp_path: Path) -> None:
    old = json.loads(path.read_text())
    record = store.load(path)
    assert record.schema_version == 2
    for new, words in zip(record.measurements, old["measurements"], strict=True):
        assert (new.key, new.scope, new.value, new.n) == (words["key"], words["scope"], words["value"], words["n"])
        assert not new.conditions.note, "every condition of the committed records has a field"
    again = store.save(record, tmp_path)
    assert store.load(again) == record
    assert json.loads(again.read_text())["schema_version"] == 2
    assert '"key"' not in json.dumps(json.loads(again.read_text())["measurements"])


@pytest.mark.parametrize(
    ("key", "unit", "fields"),
    [
        ("pckh@0.5", "percent", {"metric": "pckh@0.5"}),
        ("pckh@0.5/head", "percent", {"metric": "pckh@0.5", "group": "head"}),
        ("pckh@0.5/joint/left_eye", "percent", {"metric": "pckh@0.5", "part": "joint", "joint": "left_eye"}),
        ("pckh@0.5/hidden/joint/nose", "percent", {"metric": "pckh@0.5", "part": "hidden/joint", "joint": "nose"}),
        ("pckh@0.5/sides/hip", "percent", {"metric": "pckh@0.5", "part": "sides", "group": "hip"}),
        ("ap/without/nose", "percent", {"metric": "ap", "part": "without", "joint": "nose"}),
        ("pck@0.2/on-threshold", "percent", {"metric": "pck@0.2", "part": "on-threshold"}),
        (
            "diagnosis/stature/to 9 px",
            "percent",
            {"metric": "diagnosis", "part": "stature", "bin": "to 9 px"},
        ),
        ("diagnosis/kind/good/head", "percent", {"metric": "diagnosis", "part": "kind/good", "group": "head"}),
        ("diagnosis/visible", "percent", {"metric": "diagnosis", "part": "visible"}),
        ("pck@0.2/less_eager", "points", {"metric": "pck@0.2", "against": "eager"}),
        ("macs/hrnet_counter", "MAC", {"metric": "macs/hrnet_counter"}),
        ("latency/median", "ms", {"metric": "latency/median"}),
    ],
)
def test_keys_have_fields_and_come_back_from_them(key: str, unit: str, fields: dict[str, str]) -> None:
    m = Measurement(key=key, value=1.0, unit=unit, n=1)
    assert {k: v for k, v in m.name._asdict().items() if v and k != "key"} == fields
    stored = m.stored()
    assert {k: stored[k] for k in fields} == fields
    assert TypeAdapter(Measurement).validate_json(json.dumps(stored)) == m


@pytest.mark.parametrize(
    ("scope", "fields"),
    [
        ("", {}),
        ("training", {"scope": "training"}),
        ("mannequins-v1-dark", {"protocol": "mannequins-v1-dark"}),
        ("lsp-pc-v1-dark, bf16", {"protocol": "lsp-pc-v1-dark", "runtime": "bf16"}),
        ("one image of 256x192", {"scope": "image", "batch": 1, "input_hw": (256, 192)}),
        (
            "one image of 256x192, eager, fp32",
            {"scope": "image", "batch": 1, "input_hw": (256, 192), "runtime": "eager", "precision": "fp32"},
        ),
        (
            "network only, batch 1, eager, float32, normal noise, 2 threads, warm-up not settled",
            {"scope": "network", "batch": 1, "runtime": "eager", "precision": "fp32", "threads": 2, "settled": False},
        ),
        ("1 thread", {"threads": 1}),
        ("cuda, 256x192, batch 8, 2 threads", {"runtime": "cuda", "input_hw": (256, 192), "batch": 8, "threads": 2}),
        ("maps of 8x6, flip merged", {"heatmap_hw": (8, 6), "flip": True}),
        ("maps of 8x6, box shifted by 10 %", {"heatmap_hw": (8, 6), "box_shift": 0.1}),
        ("maps of 8x6, box scaled by 1.25", {"heatmap_hw": (8, 6), "box_scale": 1.25}),
        ("my words, 2 threads, batch 4", {"threads": 2, "batch": 4, "note": "my words, 2 threads, batch 4"}),
    ],
)
def test_conditions_have_fields_and_come_back_as_words(scope: str, fields: dict[str, object]) -> None:
    m = Measurement(key="x", value=1.0, unit="ms", n=1, scope=scope)
    assert m.conditions.given() == fields
    assert m.scope == scope
    assert TypeAdapter(Measurement).validate_json(json.dumps(m.stored())) == m


# ---------------------------------------------------------------------------------------------------- contradictions


def _edited(path: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(store.compact(json.dumps(content)) + "\n")


EDITS: dict[str, Callable[[dict[str, Any]], None]] = {
    "its counts per image say": lambda c: c["measurements"][0].update(value=99.0, interval=None),
    "is not where the value": lambda c: c["measurements"][0].update(interval=[0.49, 0.74]),
    "outside of 0 to 100": lambda c: c["measurements"][0].update(value=101.0),
    "its images count 9": lambda c: c["measurements"][0].update(n=7),
    "has counts per image but no value": lambda c: c["tallies"][0].update(key="pckh@0.1"),
    "count nothing": lambda c: c["tallies"][0].update(hits=[0, 0], counts=[0, 0]),
    "measured something": lambda c: c.update(measurements=[], tallies=[]),
    "is no time": lambda c: c["provenance"].update(started="yesterday"),
    "at most 120 characters": lambda c: c["identity"].update(protocol="p" * 300),
}


@pytest.mark.parametrize("message", EDITS)
def test_a_record_that_contradicts_itself_is_refused_and_the_others_speak(message: str, tmp_path: Path) -> None:
    path = store.save(make(), tmp_path)
    other = make(id="other", provenance=make().provenance.model_copy(update={"seconds": 2.0}))
    store.save(other, tmp_path)
    _edited(path, EDITS[message])
    with pytest.raises(RecordError, match=message):
        store.load(path)
    with pytest.warns(RecordWarning, match=message):
        found = store.load_all(tmp_path)
    assert found == (other,)
    assert str(path) in found.passed_over[0]


def test_counts_of_other_images_than_the_rest_of_their_condition_are_passed_over(tmp_path: Path) -> None:
    for seed in range(3):
        store.save(make(id=f"s{seed}", identity=make().identity.model_copy(update={"seed": seed})), tmp_path)
    odd = ImageCounts(key="pckh@0.5", hits=(1, 2), counts=(6, 3))
    store.save(make(id="odd", tallies=(odd,)), tmp_path)
    with pytest.warns(RecordWarning, match="counts other joints per image"):
        found = store.load_all(tmp_path)
    assert sorted(r.id for r in found) == ["s0", "s1", "s2"]


@pytest.mark.parametrize(
    ("rounds", "message"), [(((),), "rounds"), (((1.0,), (1.0, 2.0)), "rounds"), (((1.0, 0.0),), "took no time")]
)
def test_rounds_without_calls_or_time_are_refused(rounds: tuple[tuple[float, ...], ...], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Timing(runtime="eager", input_hw=(8, 8), batch=1, threads=1, rounds_ms=rounds)


# ---------------------------------------------------------------------------------------------------- long parts


def test_long_parts_are_read_when_they_are_asked_for(tmp_path: Path) -> None:
    point = CurvePoint(samples=1, train_loss=1.0, probe=2.0, seconds=3.0)
    record = make(curve=(point,))
    path = store.save(record, tmp_path)
    (found,) = store.load_all(tmp_path)
    assert not set(LONG_PARTS) & found.__dict__.keys()
    assert found.counts("pckh@0.5") is not None
    assert [list(part) for part in found.counts("pckh@0.5")] == [[1, 0, 2], [6, 0, 3]]  # type: ignore[union-attr]
    path.unlink()
    assert found.identity == record.identity
    with pytest.raises(RecordError, match="is no file"):
        _ = found.curve
    store.save(record, tmp_path)
    assert found.curve == (point,)
    assert found.tallies == record.tallies
    assert found == record
    assert found.whole() == record
    assert store.load(store.save(found, tmp_path)) == record
    assert found.model_copy(update={"tallies": ()}).counts("pckh@0.5") is None


@pytest.mark.parametrize("indent", [None, 1, 2, 4])
def test_other_layouts_of_the_same_record_say_the_same(tmp_path: Path, indent: int | None) -> None:
    path = store.save(make(), tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()), indent=indent))
    assert store.load_all(tmp_path) == (make(),)


# ---------------------------------------------------------------------------------------------------- which one speaks


def at(started: str, **changes: object) -> RunRecord:
    return make(provenance=make().provenance.model_copy(update={"started": started}), **changes)


def test_a_failed_record_does_not_hide_a_done_one(tmp_path: Path) -> None:
    done = at("2026-01-01T00:00:00+00:00")
    failed = at("2026-02-01T00:00:00+00:00", status="failed", reason="memory", measurements=(), tallies=())
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder, record in zip(folders, (done, failed), strict=True):
        store.save(record, folder)
    assert store.load_folders(folders) == store.load_folders(folders[::-1]) == (done,)


def test_times_are_compared_as_time() -> None:
    early = at("2026-01-01T23:00:00-05:00", id="early")  # 04:00 of the second of January in UTC
    late = at("2026-01-02T05:00:00Z", id="late")
    plain = at("2026-01-02T04:30:00", id="plain")  # no zone: UTC
    assert query.newest([late, early, plain]) is late
    assert query.oldest_first([late, plain, early]) == [early, plain, late]


def test_the_newest_of_each_seed_speaks_and_other_hashes_do_not() -> None:
    old, new = at("2026-01-01T00:00:00Z", id="1"), at("2026-01-03T00:00:00Z", id="2")
    stale = at("2026-01-05T00:00:00Z", id="3", identity=make().identity.model_copy(update={"variant_hash": "0"}))
    coarse = at("2026-01-05T00:00:00Z", id="4", identity=make().identity.model_copy(update={"execution": "bf16"}))
    records = query.of([new, old, stale, coarse])
    assert records.runs(query.training(old), query.condition(old)) == {0: new}
    assert query.of(records) is records
    assert query.current(records, {("some_paper", "1")}, {"2"}) == (new, old, coarse)


def test_weights_belong_to_the_training_that_made_them() -> None:
    trained = make(weights_sha256="w" * 64)
    latency = trained.identity.model_copy(update={"kind": "latency", "recipe": "", "recipe_hash": ""})
    profiled = at("2027-01-01T00:00:00Z", id="p", identity=latency, weights_sha256="w" * 64, tallies=())
    assert query.of([profiled, trained]).trained("w" * 64) is trained
    assert query.of([profiled]).trained("w" * 64) is None
    assert query.of([make()]).trained("") is None


def test_records_older_than_tables_of_matches_are_still_read_lazily(tmp_path: Path) -> None:
    path = store.save(make(), tmp_path)
    _edited(path, lambda values: values.pop("matches"))
    path.write_text(store.compact(path.read_text(encoding="utf-8")) + "\n", encoding="utf-8")
    record = store.load_lazily(path)
    assert isinstance(record, store.StoredRecord)
    assert record.matches == ()
    assert record == store.load(path)


def test_a_table_of_matches_survives_the_round_trip(tmp_path: Path) -> None:
    one_image_without_detections = struct.pack("<qqBH", 1, 0, 0x80, 1)
    packed = base64.b64encode(zlib.compress(one_image_without_detections)).decode()
    made = make(matches=(Matches(key="ap", packed=packed),))
    record = store.load_lazily(store.save(made, tmp_path))
    assert "matches" not in record.__dict__  # it waits in its file
    assert record.matches == made.matches
