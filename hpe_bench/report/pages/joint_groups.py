"""Divisions of a skeleton's joints, drawn on a standing figure: colour and number say the group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from hpe_bench.declare import JointGroups
from hpe_bench.report.kit.svgdraw import skeleton_of
from hpe_bench.report.kit.theme import Style

# A figure seen from the front, so its left is on our right; (x, y) of the left side in a box of 100 x 200.
MIDDLE = {"nose": 28, "head_top": 8, "neck": 42, "upper_neck": 42, "thorax": 56, "pelvis": 108}
LEFT = {
    **{"eye": (58, 14), "ear": (68, 24), "shoulder": (68, 58), "elbow": (80, 86), "wrist": (86, 114)},
    **{"hip": (60, 110), "knee": (63, 148), "ankle": (64, 186)},
}
RADIUS = 6.5


@dataclass(frozen=True)
class Drawing:
    """One figure with its words."""

    title: str
    note: str
    svg: Markup


def drawings(found: Sequence[JointGroups]) -> tuple[Drawing, ...]:
    """A drawing of each division."""
    return tuple(Drawing(g.title, g.note, _svg(g)) for g in found)


def position(joint: str) -> tuple[float, float]:
    """Where a joint of any known skeleton lies on the figure."""
    if joint in MIDDLE:
        return 50.0, float(MIDDLE[joint])
    side, part = joint.split("_", 1)
    x, y = LEFT[part]
    return float(x if side == "left" else 100 - x), float(y)


def _svg(groups: JointGroups) -> Markup:
    skeleton = skeleton_of(groups.joints)
    places = [position(name) for name in skeleton.joints]
    of_joint = [[i for i, group in enumerate(groups.groups) if j in group] for j in range(groups.joints)]
    limbs = "".join(
        f'<line x1="{places[a][0]:g}" y1="{places[a][1]:g}" x2="{places[b][0]:g}" y2="{places[b][1]:g}"/>'
        for a, b in skeleton.limbs
    )
    marks = "".join(map(_joint, places, skeleton.joints, of_joint))
    words = "; ".join(
        f"{i + 1}: " + ", ".join(skeleton.joints[j].replace("_", " ") for j in group)
        for i, group in enumerate(groups.groups)
    )
    svg = f'<svg class="joint-groups" viewBox="0 0 100 200" role="img" aria-label="%s">{limbs}{marks}</svg>'
    return Markup(svg) % (f"{groups.title}. {words}",)


def _joint(place: tuple[float, float], name: str, groups: Sequence[int]) -> str:
    """A dot with the number of its group; a joint of several groups has one dot inside the other."""
    x, y = place
    dots = "".join(
        f'<circle cx="{x:g}" cy="{y:g}" r="{RADIUS + 3 * (len(groups) - 1 - k):g}" fill="{Style(1 + g).css}"/>'
        for k, g in enumerate(groups)
    )
    label = "+".join(str(g + 1) for g in groups)
    return (
        f'<g>{dots}<text x="{x:g}" y="{y + 2.6:g}">{label}</text><title>{name.replace("_", " ")}: {label}</title></g>'
    )
