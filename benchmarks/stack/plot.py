"""Draws memory over time as one SVG, with a line for each service. It needs no library."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from benchmarks.stack.sampling import MIB, Sample, Series

WIDTH, HEIGHT = 900, 460
LEFT, RIGHT, TOP, BOTTOM = 62, 190, 34, 40
POINTS = 300
COLOURS = (
    "#1f77b4", "#d62728", "#2ca02c", "#ff7f0e", "#9467bd", "#8c564b", "#e377c2", "#17becf", "#7f7f7f", "#bcbd22",
    "#393b79", "#843c39",
)  # fmt: skip


def picture(series: Mapping[str, Series], marks: Mapping[str, float]) -> str:
    """The SVG. `marks`: event → second at which it began."""
    shown = {name: item for name, item in series.items() if item.samples}
    last = max((item.samples[-1].at for item in shown.values()), default=1.0)
    most = max((sample.memory for item in shown.values() for sample in item.samples), default=MIB) / MIB
    step = next(step for step in (50, 100, 200, 250, 500, 1000) if most / step <= 8 or step == 1000)
    top = step * (int(most / step) + 1)

    def x(seconds: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * seconds / last

    def y(mib: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - mib / top)

    parts = [_text(LEFT, 20, "Working set per service, MiB", size=14)]
    for mib in range(0, top + 1, step):
        parts += [_line(LEFT, y(mib), WIDTH - RIGHT, y(mib)), _text(LEFT - 8, y(mib) + 4, str(mib), "end")]
    minutes = max(1, round(last / 60 / 8))
    for minute in range(0, int(last / 60) + 1, minutes):
        parts.append(_text(x(minute * 60), HEIGHT - BOTTOM + 18, f"{minute} min", "middle"))
    for what, at in marks.items():
        parts += [_line(x(at), TOP, x(at), HEIGHT - BOTTOM, "4 3"), _text(x(at) + 4, TOP + 12, what)]
    order = sorted(shown, key=lambda name: -shown[name].samples[-1].memory)
    for number, name in enumerate(order):
        colour = COLOURS[number % len(COLOURS)]
        points = " ".join(f"{x(sample.at):.0f},{y(sample.memory / MIB):.0f}" for sample in thinned(shown[name].samples))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.6"/>')
        row = TOP + 10 + 20 * number
        parts.append(f'<rect x="{WIDTH - RIGHT + 14}" y="{row - 9}" width="12" height="10" fill="{colour}"/>')
        parts.append(_text(WIDTH - RIGHT + 32, row, f"{name} ({shown[name].limit // MIB})"))
    parts.append(_text(WIDTH - RIGHT + 14, TOP + 10 + 20 * len(order), "(limit)", colour="#888"))
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">\n'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>\n{body}\n</svg>\n'
    )


def thinned(samples: list[Sample]) -> list[Sample]:
    """At most POINTS samples: the largest of each group, so that peaks stay."""
    handful = 1 + len(samples) // POINTS
    parts = (samples[at : at + handful] for at in range(0, len(samples), handful))
    return [max(part, key=lambda sample: sample.memory) for part in parts]


def _text(x: float, y: float, what: str, anchor: str = "start", size: int = 11, colour: str = "#333") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}" text-anchor="{anchor}"'
    return f"<text {place}>{escape(what)}</text>"


def _line(x1: float, y1: float, x2: float, y2: float, dashes: str = "") -> str:
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#ddd"{dashed}/>'
