"""Our reader of MATLAB arrays against scipy's, on what scipy writes and on the real files, and on damaged ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.io import loadmat, savemat

from hpe_bench.data.mat_files import read_mat
from tests.json_faults import one_sentence

REAL = {
    "lsp/joints.mat": {"joints": (3, 14, 2000)},
    "lspet_crops/joints.mat": {"joints": (14, 3, 7091), "image_number": (1, 7091)},
    "mpii_eval_oracle/gt_valid.mat": {
        "jnt_missing": (16, 2958),
        "pos_gt_src": (16, 2, 2958),
        "headboxes_src": (2, 2, 2958),
    },
}
NUMBERS = st.sampled_from([np.dtype(name) for name in ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8")])


@pytest.mark.parametrize("name", REAL)
def test_real_files_as_scipy_reads_them(shared_data: Path, name: str) -> None:
    theirs = loadmat(shared_data / name)
    for key, ours in read_mat(shared_data / name, REAL[name], "the data set").items():
        assert ours.dtype == theirs[key].dtype
        np.testing.assert_array_equal(ours, theirs[key])


@settings(max_examples=60, deadline=None)
@given(values=arrays.arrays(NUMBERS, arrays.array_shapes(min_dims=2, max_dims=4)), compressed=st.booleans())
def test_arrays_of_all_types_as_scipy_wrote_them(
    tmp_path_factory: pytest.TempPathFactory, values: np.ndarray, compressed: bool
) -> None:
    """Among a cell, a text, a struct and a complex number, which are passed over."""
    path = tmp_path_factory.getbasetemp() / "values.mat"
    others = {"names": np.array(["rank", "rkne"], dtype=object), "text": "abc", "z": 1j, "about": {"n": 3}}
    savemat(path, {**others, "values": values, "b": np.arange(3.0)}, do_compression=compressed)
    found = read_mat(path, {"values": values.shape, "b": (1, 3)}, "the test")
    np.testing.assert_array_equal(found["values"], values)
    assert found["values"].dtype == values.dtype
    with pytest.raises(ValueError, match=r"names is no array of numbers, expected \(1, 2\)"):
        read_mat(path, {"names": (1, 2)}, "the test")


@settings(max_examples=300, deadline=None)
@given(position=st.integers(0, 10**6), byte=st.integers(0, 255), cut=st.booleans(), compressed=st.booleans())
def test_a_damaged_file_is_one_sentence_or_another_array(
    tmp_path_factory: pytest.TempPathFactory, position: int, byte: int, cut: bool, compressed: bool
) -> None:
    """Every byte may be wrong: type codes, lengths, dimensions, names."""
    path = tmp_path_factory.getbasetemp() / "damaged.mat"
    content: dict[str, Any] = {"names": np.array(["rank"], dtype=object), "a": np.ones((4, 3)), "b": np.arange(6)}
    savemat(path, content, do_compression=compressed)
    data = bytearray(path.read_bytes())
    position %= len(data)
    data[position] = byte
    path.write_bytes(data[:position] if cut else data)
    try:
        assert read_mat(path, {"a": (4, 3)}, "the test")["a"].shape == (4, 3)
    except ValueError as error:
        one_sentence(error, path)
