"""Mannequins, the embedded data set: rendered scenes of articulated people, deterministic and with the whole truth.

`Mannequins` is the data source, `render` one scene with everything known about it, `contact_sheet` a picture of many.
A scene depends on (version, seed, split, index) and the dials only. Poses, proportions, clothes and surroundings are in
the modules of those names; `raycast` draws with an exact depth buffer, from which every joint's visibility is read.
"""

from __future__ import annotations

from hpe_bench.data.mannequins.scene import Dials, Scene, render
from hpe_bench.data.mannequins.sheet import contact_sheet
from hpe_bench.data.mannequins.source import Mannequins

__all__ = ["Dials", "Mannequins", "Scene", "contact_sheet", "render"]
