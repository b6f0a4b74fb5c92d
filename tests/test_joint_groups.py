"""Drawn groups of joints: every joint once, with its groups, named for those who cannot see the drawing."""

from __future__ import annotations

import re

import pytest
from hpe_bench.papers.part_branching.paper import paper

from hpe_bench.declare import JointGroups
from hpe_bench.report.kit.svgdraw import skeleton_of
from hpe_bench.report.pages.joint_groups import drawings, position


@pytest.mark.parametrize("groups", paper.joint_groups, ids=lambda g: g.title)
def test_every_joint_carries_its_group(groups: JointGroups) -> None:
    (drawing,) = drawings([groups])
    shown = dict(re.findall(r"<title>([a-z ]+): (\d)</title>", drawing.svg))
    expected = {
        skeleton_of(groups.joints).joints[j].replace("_", " "): str(i + 1)
        for i, group in enumerate(groups.groups)
        for j in group
    }
    assert shown == expected


def test_a_joint_of_two_groups_shows_both() -> None:
    (drawing,) = drawings([JointGroups("t", 14, ((0, 1), (1, 2)))])
    assert "right knee: 1+2" in drawing.svg


@pytest.mark.parametrize("joints", [14, 16, 17])
def test_no_two_joints_lie_on_each_other(joints: int) -> None:
    places = [position(name) for name in skeleton_of(joints).joints]
    assert len(set(places)) == joints


def test_words_are_escaped() -> None:
    (drawing,) = drawings([JointGroups('"><script>', 14, ((0,),))])
    assert "<script>" not in drawing.svg
