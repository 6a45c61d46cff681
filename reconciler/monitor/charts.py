"""Charts as SVG. They contain numbers only, so no foreign text can get into the page through them."""

from __future__ import annotations

import math
from collections.abc import Sequence

WIDTH, HEIGHT = 120, 26

Part = tuple[str, int]
"""A class of the style sheet, and bytes."""


def sparkline(values: Sequence[float], top: float) -> str:
    """A line chart from 0 to `top`, or to the highest value. A missing value (NaN) is a gap; '' without any value."""
    if all(map(math.isnan, values)):
        return ""
    step = WIDTH / max(1, len(values) - 1)
    high = max(top, *(value for value in values if not math.isnan(value))) or 1.0
    path, drawn = [], False
    for n, value in enumerate(values):
        if math.isnan(value):
            drawn = False
            continue
        path.append(f"{'L' if drawn else 'M'}{n * step:.1f} {HEIGHT - 1 - value / high * (HEIGHT - 2):.1f}")
        if not drawn:
            path.append("h.1")  # so that a single point is visible
        drawn = True
    return (
        f'<svg class="spark" viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" aria-hidden="true" '
        f'focusable="false"><path d="{"".join(path)}"/></svg>'
    )


def bar(parts: Sequence[Part], whole: int, marks: Sequence[Part] = ()) -> str:
    """A bar: parts beside each other, as shares of `whole` bytes. `marks`: lines across the bar at these bytes."""
    if whole <= 0:
        return ""
    drawn, at = [], 0.0
    for look, size in parts:
        width = min(max(0, size) / whole * 100, 100 - at)
        drawn.append(f'<rect class="{look}" x="{at:.2f}" width="{width:.2f}" y="0" height="10"/>')
        at += width
    for look, size in marks:
        place = min(size / whole * 100, 100.0)
        drawn.append(f'<line class="{look}" x1="{place:.2f}" x2="{place:.2f}" y1="-2" y2="12"/>')
    return (
        '<svg class="bar" viewBox="0 -2 100 14" preserveAspectRatio="none" aria-hidden="true" focusable="false">'
        f'<rect class="free" x="0" width="100" y="0" height="10"/>{"".join(drawn)}</svg>'
    )
