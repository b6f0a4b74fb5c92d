"""Files of predictions: what is written reads back, three foreign layouts, and one sentence for whatever is wrong."""

from __future__ import annotations

import io
import json
import struct
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from hpe_bench.data import prediction_files
from hpe_bench.data.persons import PersonSet
from hpe_bench.data.prediction_files import Header, read, to_bytes
from hpe_bench.data.prediction_files.own import ARRAYS
from hpe_bench.data.predictions import Predictions
from hpe_bench.data.skeletons import LSP_14, MPII_16
from tests.predicted import answers, persons, results, write_json

TRUTH = persons()
ANSWERS = answers(TRUTH)


def ids(truth: PersonSet, predictions: Predictions) -> np.ndarray:
    assert truth.image_ids is not None
    return truth.image_ids[predictions.image]


def header(truth: PersonSet = TRUTH) -> Header:
    return Header(truth.skeleton.joints, "a test", "some-protocol", truth.digest())


def own_bytes(truth: PersonSet = TRUTH, predictions: Predictions = ANSWERS) -> bytes:
    return to_bytes(predictions, ids(truth, predictions), header(truth))


def write_own(folder: Path, **changes: Any) -> Path:
    """A file in our layout with some entries replaced (None: left out)."""
    with np.load(io.BytesIO(own_bytes())) as archive:
        entries = {name: archive[name] for name in archive.files} | changes
    path = folder / "p.npz"
    np.savez(path, **{name: values for name, values in entries.items() if values is not None})
    return path


def equal(a: Predictions, b: Predictions) -> bool:
    rows = [np.full(len(p), -1) if p.person is None else p.person for p in (a, b)]
    pairs = [(a.image, b.image), (a.joints, b.joints), (a.joint_scores, b.joint_scores), (a.score, b.score)]
    return all(np.array_equal(x, y) for x, y in [*pairs, (rows[0], rows[1])])


# ---------------------------------------------------------------------------------------------------- our own layout


def test_what_is_written_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "p.npz"
    path.write_bytes(own_bytes())
    found = read(path, TRUTH)
    assert equal(found.predictions, ANSWERS)
    assert found.predictions.joints.dtype == np.float32
    assert (found.creator, found.protocol, found.layout) == ("a test", "some-protocol", "hpe-bench npz")


@given(st.integers(0, 12), st.integers(0, 2**32 - 1), st.booleans())
def test_any_detections_read_back(count: int, seed: int, double: bool) -> None:
    rng = np.random.default_rng(seed)
    kind = np.float64 if double else np.float32
    predictions = Predictions(
        image=rng.integers(0, len(TRUTH.images), count),
        joints=rng.normal(0, 300, (count, 17, 2)).astype(kind),
        joint_scores=rng.normal(0, 1, (count, 17)).astype(kind),
        score=rng.normal(0, 1, count),
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "p.npz"
        path.write_bytes(own_bytes(predictions=predictions))
        found = read(path, TRUTH).predictions
    assert equal(found, predictions)
    assert found.person is None


def test_the_same_predictions_give_the_same_bytes_and_any_change_another_digest() -> None:
    assert own_bytes() == own_bytes()
    digest = prediction_files.content_sha256(ANSWERS, ids(TRUTH, ANSWERS), TRUTH.skeleton.joints)
    for changed in (
        replace(ANSWERS, joints=ANSWERS.joints + 1e-3),
        replace(ANSWERS, score=ANSWERS.score[::-1]),
        replace(ANSWERS, person=None),
    ):
        assert prediction_files.content_sha256(changed, ids(TRUTH, changed), TRUTH.skeleton.joints) != digest


def test_the_digest_is_of_the_answers_not_of_the_layout(tmp_path: Path) -> None:
    free = replace(ANSWERS, person=None)
    (tmp_path / "a.npz").write_bytes(own_bytes(predictions=free))
    write_json(tmp_path / "b.json", results(TRUTH, free))
    assert read(tmp_path / "a.npz", TRUTH).sha256 == read(tmp_path / "b.json", TRUTH).sha256


ROWS = np.arange(6)
SPOILED: list[tuple[dict[str, Any], list[str]]] = [
    ({"joints": None}, ["joints", "missing"]),
    ({"header": np.array("{")}, ["header"]),
    ({"header": np.array('{"format": "another"}')}, ["format"]),
    ({"joints": np.zeros((6, 16, 2), np.float32)}, ["joints", "(6, 16, 2)", "(6, 17, 2)"]),
    ({"joints": np.full((6, 17, 2), np.nan, np.float32)}, ["joints of detection 0", "nose", "nan"]),
    ({"scores": np.full(6, np.inf)}, ["scores of detection 0", "inf"]),
    ({"joint_scores": np.zeros((6, 17), int)}, ["joint_scores", "int"]),
    ({"image_ids": np.full(6, 5)}, ["record 0", "image id 5"]),
    ({"persons": np.zeros(6, int)}, ["record 1", "person row 0", "twice"]),
    ({"persons": ROWS - 1}, ["record 0", "-1"]),
    ({"persons": ROWS + 1}, ["record 5", "person row 6"]),
    ({"persons": ROWS[::-1]}, ["record 0", "not in the record's image"]),
    ({"joints": np.array([{"a": 1}] * 6)}, ["damaged", "pickle"]),
]


@pytest.mark.parametrize(("changes", "words"), SPOILED)
def test_a_wrong_entry_is_named(tmp_path: Path, changes: dict[str, Any], words: list[str]) -> None:
    path = write_own(tmp_path, **changes)
    refused(lambda: read(path, TRUTH), str(path), *words)


def test_a_file_made_for_other_persons_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.npz"
    path.write_bytes(own_bytes())
    refused(lambda: read(path, persons(seed=5)), TRUTH.digest(), persons(seed=5).digest())
    refused(lambda: read(path, persons(skeleton=LSP_14)), "lsp-14", "nose")
    free = replace(ANSWERS, person=None)
    path.write_bytes(own_bytes(predictions=free))
    other = persons(seed=5)
    assert read(path, other).predictions.person is None  # the data set's own image numbers say where they belong
    refused(lambda: read(path, replace(other, image_ids=None)), other.digest())
    path.write_bytes(to_bytes(free, free.image, replace(header(), images=("mine.jpg",))))
    refused(lambda: read(path, TRUTH), "mine.jpg", "no truth")


def refused(call: Callable[[], object], *words: str) -> None:
    """A ValueError of one line with these words."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        call()
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


# ---------------------------------------------------------------------------------------------------- COCO results


def test_coco_results_keep_every_digit(tmp_path: Path) -> None:
    free = replace(ANSWERS, joints=TRUTH.joints + 1 / 3, joint_scores=ANSWERS.joint_scores.astype(float), person=None)
    found = read(write_json(tmp_path / "r.json", results(TRUTH, free)), TRUTH).predictions
    assert equal(found, free)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("image_id", 5, ["image id 5"]),
        ("image_id", "100", ["image_id"]),
        ("category_id", 18, ["category_id", "18"]),
        ("keypoints", [0.0] * 48, ["keypoints", "48", "51"]),
        ("keypoints", [float("nan")] * 51, ["keypoints", "nose", "nan"]),
        ("keypoints", [10**400] * 51, ["keypoints", "too large"]),
        ("keypoints", ["1"] * 51, ["keypoints", "no number"]),
        ("score", None, ["score"]),
        ("score", True, ["score"]),
        ("score", float("inf"), ["score", "inf"]),
    ],
)
def test_a_wrong_record_is_named(tmp_path: Path, field: str, value: object, words: list[str]) -> None:
    listed = results(TRUTH, ANSWERS)
    listed[2][field] = value
    refused(lambda: read(write_json(tmp_path / "r.json", listed), TRUTH), "r.json", "2", *words)


def test_repeated_missing_and_foreign_records(tmp_path: Path) -> None:
    listed = results(TRUTH, ANSWERS)
    refused(lambda: read(write_json(tmp_path / "r.json", [*listed, listed[1]]), TRUTH), "record 6 repeats record 1")
    refused(lambda: read(write_json(tmp_path / "r.json", {"annotations": []}), TRUTH), "annotation file")
    refused(lambda: read(write_json(tmp_path / "r.json", [{}]), TRUTH), "record 0", "image_id is missing")
    assert len(read(write_json(tmp_path / "r.json", []), TRUTH).predictions) == 0


# ---------------------------------------------------------------------------------------------------- arrays


@pytest.mark.parametrize(
    ("skeleton", "kind"), [(MPII_16, ".npy"), (LSP_14, ".npz"), (LSP_14, ".mat"), (MPII_16, ".mat")]
)
def test_arrays_counted_from_1_become_ours(tmp_path: Path, skeleton: Any, kind: str) -> None:
    truth = persons(skeleton=skeleton)
    given_1based = truth.joints + 1
    path = tmp_path / f"a{kind}"
    if kind == ".npy":
        np.save(path, given_1based)
    elif kind == ".npz":
        np.savez(path, anything=np.concatenate([given_1based, np.full((6, 14, 1), 0.25)], axis=-1))
    else:
        savemat(path, {"preds": given_1based})
    found = read(path, truth, None if kind == ".mat" else 1).predictions
    np.testing.assert_allclose(found.joints, truth.joints, atol=1e-12)
    assert found.person is not None
    assert found.person.tolist() == list(range(6))
    assert (found.joint_scores == (0.25 if kind == ".npz" else 1)).all()


def test_what_an_array_does_not_say_must_be_said(tmp_path: Path) -> None:
    truth = persons(skeleton=LSP_14)
    path = tmp_path / "a.npy"
    np.save(path, truth.joints)
    refused(lambda: read(path, truth), "a.npy", "--origin")
    square = persons(14, skeleton=LSP_14)  # as many persons as joints: which axis is which cannot be told
    np.save(path, square.joints.transpose(2, 1, 0))
    refused(lambda: read(path, square, 0), "(2, 14, 14)", "transpose", "(2, 1, 0)", "(1, 2, 0)")
    np.save(path, truth.joints[:5])
    refused(lambda: read(path, truth, 0), "(5, 14, 2)", "(6, 14, 2)", "F23")
    np.save(path, np.where(np.arange(14)[:, None] == 3, np.nan, truth.joints))
    refused(lambda: read(path, truth, 0), "detection 0", "left_hip", "nan")
    np.save(path, np.array([{"a": 1}]), allow_pickle=True)
    refused(lambda: read(path, truth, 0), "pickled")
    np.savez(tmp_path / "b.npz", a=truth.joints, b=truth.joints)
    refused(lambda: read(tmp_path / "b.npz", truth, 0), "a, b", "preds")
    refused(lambda: read(tmp_path / "c.csv", truth, 0), "no such file")
    (tmp_path / "c.csv").touch()
    refused(lambda: read(tmp_path / "c.csv", truth, 0), "unknown kind")
    write_json(tmp_path / "r.json", [])
    refused(lambda: read(tmp_path / "r.json", truth, 1), "0-based")


# ---------------------------------------------------------------------------------------------------- mutations


def in_a_file(suffix: str, content: bytes, truth: PersonSet, origin: Any) -> None:
    """Reading either works or gives one ValueError that names the file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"mutated{suffix}"
        path.write_bytes(content)
        problem = ""
        try:
            read(path, truth, origin)
        except ValueError as error:
            problem = str(error)
        assert not problem or "mutated" in problem
        assert "\n" not in problem


def mat_bytes() -> bytes:
    buffer = io.BytesIO()
    savemat(buffer, {"preds": TRUTH.joints})
    return buffer.getvalue()


def npy_bytes() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, TRUTH.joints)
    return buffer.getvalue()


WHOLE = {
    ".npz": own_bytes(),
    ".json": json.dumps(results(TRUTH, ANSWERS)).encode(),
    ".npy": npy_bytes(),
    ".mat": mat_bytes(),
}


@pytest.mark.parametrize("suffix", sorted(WHOLE))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_damaged_bytes_give_one_sentence(suffix: str, data: st.DataObject) -> None:
    whole = bytearray(WHOLE[suffix])
    if data.draw(st.booleans()):
        whole = whole[: data.draw(st.integers(0, len(whole)))]
    for _ in range(data.draw(st.integers(0, 3)) if whole else 0):
        whole[data.draw(st.integers(0, min(len(whole), 600) - 1))] = data.draw(st.integers(0, 255))
    in_a_file(suffix, bytes(whole), TRUTH, 1 if suffix == ".npy" else None)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=6,
)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 5), st.sampled_from(["image_id", "category_id", "keypoints", "score", "bbox"]), JSON_VALUES)
def test_any_value_in_any_field_of_coco_results(row: int, field: str, value: object) -> None:
    listed = results(TRUTH, ANSWERS)
    listed[row][field] = value
    in_a_file(".json", json.dumps(listed).encode(), TRUTH, None)


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(ARRAYS),
    st.sampled_from(["<f4", "<f8", "<i8", "u1", "<U3", "<c8"]),
    st.lists(st.integers(0, 4), max_size=3),
)
def test_any_array_in_any_entry(name: str, kind: str, shape: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = write_own(Path(folder), **{name: np.zeros(shape, kind)})
        content = path.read_bytes()
    in_a_file(".npz", content, TRUTH, None)


def test_a_shape_that_asks_for_all_memory_is_refused(tmp_path: Path) -> None:
    text = b"{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999, 17, 2), }"
    text += b" " * (118 - len(text) - 1) + b"\n"
    path = tmp_path / "huge.npy"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text)
    refused(lambda: read(path, TRUTH, 0), "huge.npy")
