"""Takes the README's picture: the top of reports/index.html in Chromium, light, at a fixed size.

make picture
"""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from tests.browser import launched

ROOT = Path(__file__).parents[1]
SIZE_PX = {"width": 1280, "height": 1000}
PIXELS_PER_PX = 2  # sharp on dense screens
COLOURS = 64
LIMIT_BYTES = 300_000


def main() -> None:
    with launched() as browser:
        page = browser.new_page(viewport=SIZE_PX, device_scale_factor=PIXELS_PER_PX, color_scheme="light")
        page.goto((ROOT / "reports" / "index.html").as_uri())
        shot = page.screenshot()
    buffer = io.BytesIO()
    Image.open(io.BytesIO(shot)).convert("RGB").quantize(COLOURS).save(buffer, "PNG", optimize=True)
    assert len(buffer.getvalue()) <= LIMIT_BYTES, f"{len(buffer.getvalue()):,} bytes: take fewer colours"
    (ROOT / "docs" / "leaderboard.png").write_bytes(buffer.getvalue())


if __name__ == "__main__":
    main()
