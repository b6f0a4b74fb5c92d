"""Protocols: their identities are pinned, their names resolve, their differences are said in words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from rich.console import Console

from hpe_bench import catalog, protocols
from hpe_bench.codecs.udp import UDP
from hpe_bench.commands import protocols as protocol_commands
from hpe_bench.data.lsp import LSP, ObserverLSPBySide, observer_centric
from hpe_bench.data.persons import PersonSet
from hpe_bench.data.skeletons import LSP_14
from hpe_bench.declare import fingerprint, replace
from hpe_bench.report.kit import protocol_text

# F28: committed records carry the first four; a protocol that changes must get a new name.
FINGERPRINTS = {
    "mannequins-v1-dark": "0c9fff25704b9c20",
    "mannequins-v1-quarter": "bbdf0676a7ce3932",
    "lsp-pc-v1-dark": "389dbc0ede8134d6",
    "lsp-pc-v1-quarter": "f4417a5f7045f22a",
    "coco-val2017-gtbox": "ab43eddb1df22b04",
    "coco-mini-gtbox": "2b2a949f9d732d5c",
    "crowdpose-test-gtbox": "ae138977e68227b5",
    "mpii-val": "0f76584bc1a36285",
    "lsp-pc": "b75a6afd7c272d4f",
    "lsp-pc-3x4": "bcc1a69ead9ab078",
    "lsp-pc-3x4-dark": "178c4b6897ededca",
    "lsp-oc": "c16fc0500c9adc22",
    "mannequins-v1": "0fc1f02647e9f018",
    "coco-val2017-det56": "5a393b39db6c5b86",
    "coco-val2017-det56-argmax": "34e715bd71a66c1f",
    "coco-val2017-det56-dark": "d55667fb104549ae",
    "coco-val2017-det56-udp": "cd37247eb981a1e8",
    "mpii-val-dark": "236404c0ae2a9606",
    "lsp-pc-mpii-trained": "caaf69cdc434faf9",
    "lsp-oc-by-side": "22dc2c78df186e6f",
    "flic-test-oc": "62ae3ca22db2734e",
    "ochuman-val": "8e930f210e1473ad",
    "coco-wholebody-val": "3b2c774be384f233",
    "halpe-val": "03110ba58c52997d",
    "aic-val": "08f5339117403b48",
}


def test_no_protocol_was_edited() -> None:
    assert {name: fingerprint(p) for name, p in protocols.every().items()} == FINGERPRINTS


def test_names_resolve_and_near_misses_are_offered() -> None:
    assert all(catalog.find_protocol(name).name == name for name in FINGERPRINTS)
    with pytest.raises(ValueError, match=r"no protocol 'coco-val'; close are: .*coco-val2017-gtbox"):
        catalog.find_protocol("coco-val")
    with pytest.raises(ValueError, match=r"no protocol 'qqq'; known are: .*mannequins-v1"):
        catalog.find_protocol("qqq")


def test_boxes_are_part_of_the_identity() -> None:
    """F1: the two COCO protocols differ in the boxes and in nothing else."""
    found = {d.field for d in protocol_text.differences(protocols.COCO_GTBOX, protocols.COCO_DET)}
    assert found == {"name", "boxes", "data: detections"}
    other = replace(protocols.COCO_DET, rescoring=protocols.Rescoring(nms_oks=0.8))
    assert fingerprint(other) != fingerprint(protocols.COCO_DET)


def test_inputs_of_another_aspect_are_refused() -> None:
    for height, width in ((256, 192), (384, 288)):
        protocols.COCO_DET.check_input((height, width))
    protocols.MPII_VAL.check_input((256, 256))
    with pytest.raises(ValueError, match=r"crops 3:4 \(width : height\), but the model's input is 256x256; .*192x256"):
        protocols.COCO_DET.check_input((256, 256))


def test_impossible_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="visible_over lies in"):
        protocols.Rescoring(visible_over=1.0)
    with pytest.raises(ValueError, match="visible_over lies in"):
        protocols.Rescoring(nms_oks=0.0)
    with pytest.raises(ValueError, match="give positive whole numbers"):
        replace(protocols.MPII_VAL, aspect_wh=(0, 1))


# ---------------------------------------------------------------------------------------------------- words


def test_differences_go_into_nested_values() -> None:
    first = protocols.COCO_GTBOX
    second = replace(first, padding=1.1, codec=replace(protocols.HRNET_CODEC, sigma_px=3.0), flip_test=False)
    assert list(protocol_text.differences(first, second)) == [
        ("codec: sigma_px", "2.0", "3.0"),
        ("padding", "1.25", "1.1"),
        ("flip_test", "yes", "no"),
    ]
    assert list(protocol_text.differences(first, replace(first, note="other words"))) == []


def test_values_of_other_kinds_are_told_whole() -> None:
    second = replace(protocols.COCO_GTBOX, codec=UDP())
    ((field, ours, theirs),) = protocol_text.differences(protocols.COCO_GTBOX, second)
    assert field == "codec"
    assert ours.startswith("Gaussian (sigma_px 2.0; centre rounded; decoder quarter")
    assert theirs == "UDP (sigma_px 2.0; kernel_px 11)"


def test_fields_that_only_one_of_two_has() -> None:
    found = {d.field: d for d in protocol_text.differences(protocols.COCO_DET, protocols.MPII_VAL)}
    assert found["rescoring"][1:] == ("Rescoring (visible_over 0.2; nms_oks 0.9)", protocol_text.ABSENT)
    assert found["aspect_wh"][1:] == ("3, 4", "1, 1")
    back = {d.field: d for d in protocol_text.differences(protocols.MPII_VAL, protocols.COCO_DET)}
    assert {(d.field, d.second, d.first) for d in back.values()} == set(map(tuple, found.values()))


def test_equal_fingerprints_mean_no_difference_and_the_other_way_round() -> None:
    known = list(protocols.every().values())
    for first in known:
        for second in known:
            same = fingerprint(first) == fingerprint(second)
            assert same == (type(first) is type(second) and not list(protocol_text.differences(first, second)))


def test_builders_are_said_by_name() -> None:
    """The words of a recipe go into pages; an address in memory would differ from run to run."""
    recipes = [recipe for slug in catalog.slugs() for recipe in catalog.load(slug).paper.recipes]
    assert len(recipes) > 8
    said = {recipe.name: protocol_text.in_words(recipe) for recipe in recipes}
    assert [name for name, text in said.items() if " at 0x" in text] == []
    assert any("builder " in text for text in said.values())  # a teacher's


def test_printed_pages(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(width=200)
    protocol_commands.print_list(console)
    listed = capsys.readouterr().out.splitlines()
    assert len(listed) == len(catalog.all_protocols())
    assert all(
        value in line for value, line in zip(map(fingerprint, catalog.all_protocols().values()), listed, strict=True)
    )
    protocol_commands.print_protocol(console, "coco-val2017-det56")
    shown = capsys.readouterr().out
    assert "  nms_oks: 0.9" in shown
    assert "    boxes: 104125" in shown
    protocol_commands.print_diff(console, "coco-val2017-gtbox", "coco-val2017-det56")
    assert "boxes: ground truth in coco-val2017-gtbox, detector in coco-val2017-det" in capsys.readouterr().out
    protocol_commands.print_diff(console, "mpii-val", "mpii-val")
    assert "do not differ" in capsys.readouterr().out


# ---------------------------------------------------------------------------------------------------- observer-centric


@dataclass
class Faces:
    """Which way a made-up person's arms and legs are seen."""

    arms_crossed: bool
    legs_crossed: bool


def standing(faces: Faces) -> PersonSet:
    """One person; joint k at (x, y) = (10 or 30, 10 k), right at 10 unless that limb is seen from behind."""
    joints = np.zeros((1, 14, 2))
    for k, name in enumerate(LSP_14.joints):
        legs = any(part in name for part in ("hip", "knee", "ankle"))
        right = name.startswith("right") != (faces.legs_crossed if legs else faces.arms_crossed)
        joints[0, k] = (20 if "_" not in name or name == "head_top" else 10 if right else 30, 10 * k)
    flags = np.ones((1, 14), bool)
    visible = flags.copy()
    visible[0, LSP_14.index("left_wrist")] = False
    box, nothing = np.array([[0.0, 0, 40, 140]]), np.full(1, np.nan)
    return PersonSet(LSP_14, [], np.zeros(1, int), box, joints, flags, visible, nothing, nothing)  # type: ignore[arg-type]


def test_limbs_seen_from_behind_change_sides_together() -> None:
    person = standing(Faces(arms_crossed=True, legs_crossed=False))
    seen = observer_centric(person)
    for limb in ("shoulder", "elbow", "wrist"):
        right, left = LSP_14.index(f"right_{limb}"), LSP_14.index(f"left_{limb}")
        np.testing.assert_array_equal(seen.joints[0, right], person.joints[0, left])
        assert seen.visible[0, right] == person.visible[0, left]
    for limb in ("hip", "knee", "ankle"):
        right = LSP_14.index(f"right_{limb}")
        np.testing.assert_array_equal(seen.joints[0, right], person.joints[0, right])
    np.testing.assert_array_equal(seen.joints[0, 12:], person.joints[0, 12:])


def test_frontal_persons_stay_and_a_second_conversion_changes_nothing() -> None:
    front = standing(Faces(arms_crossed=False, legs_crossed=False))
    assert observer_centric(front).digest() == front.digest()
    back = observer_centric(standing(Faces(arms_crossed=True, legs_crossed=True)))
    assert observer_centric(back).digest() == back.digest()


def test_both_readings_of_the_real_set(shared_data: object) -> None:
    """F3: another data source with another identity, and every limb's right end on the left of the image."""
    pc, oc = LSP().truth("test", str(shared_data)), ObserverLSPBySide().truth("test", str(shared_data))
    for root in ("hip", "shoulder"):
        right, left = LSP_14.index(f"right_{root}"), LSP_14.index(f"left_{root}")
        assert (oc.joints[:, right, 0] <= oc.joints[:, left, 0]).all()
        assert (pc.joints[:, right, 0] > pc.joints[:, left, 0]).mean() > 0.2
    np.testing.assert_array_equal(oc.box, pc.box)
    assert fingerprint(LSP()) != fingerprint(ObserverLSPBySide())
