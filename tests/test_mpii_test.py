"""MPII's test persons: read from a release as MATLAB writes it, predicted in, and written as the server takes them."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.io import loadmat, savemat

from hpe_bench import Predictor, catalog, protocols
from hpe_bench.data.mpii_test import MPIITest, ReleasePersons, read_release, server_file
from hpe_bench.declare import replace
from hpe_bench.inference.predictors import Estimator
from hpe_bench.run import prediction
from tests.json_faults import one_sentence

EMPTY = np.zeros((0, 0))
NAME = "mpii_human_pose_v1_u12_1.mat"


def structs(rows: list[dict[str, object]]) -> np.ndarray:
    made = np.zeros((1, len(rows)), dtype=[(name, object) for name in rows[0]])
    for i, row in enumerate(rows):
        for name, value in row.items():
            made[name][0, i] = value
    return made


def person(x: float, y: float, scale: float) -> dict[str, object]:
    return {"x1": 1.0, "scale": scale, "objpos": structs([{"x": x, "y": y}])}


NOBODY: dict[str, object] = {"x1": 1.0, "scale": EMPTY, "objpos": EMPTY}
PEOPLE = [  # of a training image, then of three test images
    structs([person(9, 9, 1.0)]),
    structs([person(30, 20, 0.2), NOBODY, person(91, 61, 0.5)]),
    EMPTY,
    structs([person(60, 50, 0.25)]),
]
SINGLE = [[1], [3, 1], [], [1]]  # not in order, as nothing says that they are


def release(people: list[np.ndarray] = PEOPLE, single: list[list[int]] = SINGLE) -> dict[str, object]:
    lists = np.zeros((len(single), 1), object)
    for i, numbers in enumerate(single):
        lists[i, 0] = np.array(numbers, float).reshape(-1, 1) if numbers else EMPTY
    images = [
        {"image": structs([{"name": f"{i:09d}.png"}]), "annorect": own, "frame_sec": EMPTY, "vididx": EMPTY}
        for i, own in enumerate(people)
    ]
    parts = {"annolist": structs(images), "img_train": np.array([[1.0, 0, 0, 0]]), "single_person": lists}
    return {"RELEASE": structs([{**parts, "version": "12"}])}


def lights(image: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The middle of the light in each box, for every joint."""
    spots = []
    for x, y, w, h in boxes.astype(int).tolist():
        left, top = max(x, 0), max(y, 0)
        rows, columns = np.nonzero(image[top : y + h, left : x + w, 0])
        spots.append((left + columns.mean(), top + rows.mean()))
    return np.repeat(np.array(spots)[:, None], 16, 1), np.ones((len(boxes), 16))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Images with a light at the place of the judged persons."""
    folder = tmp_path / "mpii"
    (folder / "images").mkdir(parents=True)
    (folder / "mpii_human_pose_v1_u12_2").mkdir()
    savemat(folder / "mpii_human_pose_v1_u12_2" / NAME, release(), do_compression=True)
    for i, spots in enumerate([[], [(90, 60), (29, 19)], [], [(59, 49)]]):
        image = np.zeros((120, 160, 3), np.uint8)
        for x, y in spots:
            image[y - 2 : y + 3, x - 2 : x + 3] = 255
        cv2.imwrite(str(folder / "images" / f"{i:09d}.png"), image)
    return tmp_path


def test_judged_persons_in_the_order_of_the_release(root: Path) -> None:
    persons = MPIITest(test_images=3).load("test", str(root))
    assert isinstance(persons, ReleasePersons)
    assert [persons.images.name(i) for i in persons.image] == ["000000001.png", "000000001.png", "000000003.png"]
    assert persons.box.tolist() == [
        [90 - 50, 60 + 7.5 - 50, 100, 100],
        [29 - 20, 19 + 3 - 20, 40, 40],
        [59 - 25, 49 + 3.75 - 25, 50, 50],
    ]
    assert not persons.labelled.any()
    assert [len(image.people) for image in persons.listed] == [3, 0, 1]


def test_the_servers_file_is_the_list_with_the_predicted_joints(root: Path) -> None:
    persons = MPIITest(test_images=3).load("test", str(root))
    assert isinstance(persons, ReleasePersons)
    joints = np.arange(3 * 16 * 2).reshape(3, 16, 2) / 4
    data = server_file(persons, joints)
    assert data == server_file(persons, joints)
    pred = loadmat(io.BytesIO(data), struct_as_record=False)["pred"]
    assert pred.shape == (1, 3)
    assert [str(p.image[0, 0].name[0]) for p in pred[0]] == ["000000001.png", "000000002.png", "000000003.png"]
    first, nobody, last = (p.annorect for p in pred[0])
    assert [rect.annopoints.size for rect in first[0]] == [1, 0, 1]
    assert [rect.objpos.size for rect in first[0]] == [1, 0, 1]
    assert (first[0, 2].objpos[0, 0].x.item(), first[0, 2].scale.item()) == (91, 0.5)
    assert nobody.size == 0
    for rect, row in ((first[0, 2], 0), (first[0, 0], 1), (last[0, 0], 2)):
        points = rect.annopoints[0, 0].point[0]
        found = [[p.x.item(), p.y.item()] for p in points]
        assert found == (joints[row] + 1).tolist()  # positions count from 1 there
        assert [p.id.item() for p in points] == list(range(16))


def test_it_is_predicted_in_and_written_and_never_scored(root: Path) -> None:
    protocol = replace(protocols.MPII_TEST, data=MPIITest(test_images=3))
    assert catalog.find_predicted("mpii-test") is protocols.MPII_TEST
    with pytest.raises(
        ValueError, match=r"server scores it.*predict --protocol mpii-test --to pred_keypoints_mpii\.mat"
    ):
        catalog.find_protocol("mpii-test")
    task = prediction.task_of_protocol(protocol, str(root))
    model = Estimator(Predictor(lights, "mpii-16", takes="images"), "lights", "0" * 64, "here")
    found = prediction.answer(task, model)
    data = prediction.writer(Path("p.mat"), protocol.data)(task, found, model)
    assert data == prediction.as_mpii_server_file(task, found.subset(np.array([2, 0, 1])), model)
    first, _, last = (p.annorect[0] for p in loadmat(io.BytesIO(data), struct_as_record=False)["pred"][0, [0, 0, 2]])
    for rect, spot in ((first[2], (90, 60)), (first[0], (29, 19)), (last[0], (59, 49))):
        assert [(p.x.item() - 1, p.y.item() - 1) for p in rect.annopoints[0, 0].point[0]] == [spot] * 16
    for data_set in (protocols.LSP_PC.data, None):
        with pytest.raises(ValueError, match=r"a \.mat is what MPII's server takes"):
            prediction.writer(Path("p.mat"), data_set)


def test_other_releases_and_faults_are_told(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="3 test images, but MPII has 6,908; fetch the official release"):
        MPIITest().load("test", str(root))
    with pytest.raises(ValueError, match="no test split 'valid'"):
        MPIITest().load("valid", str(root))
    with pytest.raises(ValueError, match=r"u12_1\.mat here; --root names the folder that holds mpii/"):
        MPIITest().load("test", str(tmp_path / "mpii" / "images"))
    path = tmp_path / NAME
    for single, said in (
        ([[1], [2], [], [1]], r"image 2 \(000000001.png\): single person 2 has no place and scale"),
        ([[1], [4], [], [1]], "single person 4 has no place"),
        (SINGLE[:3], "4 images, but 4 flags and 3 lists of single persons"),
    ):
        savemat(path, release(single=single))
        with pytest.raises(ValueError, match=said):
            read_release(path)
    savemat(path, {"RELEASE": np.arange(3.0)})
    with pytest.raises(ValueError, match="no struct"):
        read_release(path)
    savemat(path, {"annolist": 1.0})
    with pytest.raises(ValueError, match="no variable 'RELEASE'"):
        read_release(path)
    (root / "mpii" / "images" / "000000003.png").unlink()
    with pytest.raises(ValueError, match="1 of 3 images are missing"):
        MPIITest(test_images=3).load("test", str(root))


@pytest.mark.parametrize("compressed", [False, True])
def test_a_damaged_release_is_one_sentence_or_another_list(tmp_path: Path, compressed: bool) -> None:
    path = tmp_path / NAME
    savemat(path, release(), do_compression=compressed)
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    for _ in range(800):
        data = bytearray(whole)
        data[rng.integers(len(data))] = rng.integers(256)
        path.write_bytes(data[: rng.integers(len(data))] if rng.random() < 0.1 else data)
        try:
            read_release(path)
        except ValueError as error:
            one_sentence(error, path)
