"""The demo's timeline as inline SVG: orders taken and settled, the banks' faults, the kills. Pure; needs no library."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape

Say = Callable[[str], str]
_WIDTH, _HEIGHT = 640.0, 270.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 8.0, 22.0, 64.0
_STEPS_S = (5, 10, 20, 30, 60, 120, 300)
_FAULT_ROW = 26.0
_MOST_RADIUS = 7.0


@dataclass(frozen=True, slots=True)
class Timeline:
    """The times of events, in seconds from the start.

    `taken` and `settled` have one time for each order. `faults` are pairs of a time and the number of faults that the
    banks committed in the second before. `kills` are pairs of a kill and the time of the gateway's first message after
    it, None if there was none.
    """

    lasted_s: float
    taken: Sequence[float] = ()
    settled: Sequence[float] = ()
    faults: Sequence[tuple[float, int]] = ()
    kills: Sequence[tuple[float, float | None]] = ()
    calm_s: float | None = None


def svg(line: Timeline, say: Say) -> str:
    """The picture with its legend in words below."""
    last_s = max(line.lasted_s, 1.0)
    most = max(len(line.taken), len(line.settled), 1)
    at = _Scale(last_s, most)
    parts = [
        *(_kill(at, n, kill, say) for n, kill in enumerate(line.kills, start=1)),
        _axes(at, last_s, most),
        "" if line.calm_s is None else _upright(at, line.calm_s, "calm"),
        _curve(at, line.taken, last_s, "taken"),
        _curve(at, line.settled, last_s, "settled"),
        *_faults(at, line.faults),
    ]
    title = say("Orders taken and settled over time, with the banks' faults and the kills")
    legend = "".join(f"<li><i class={name}></i>{escape(say(text))}</li>" for name, text in _LEGEND if _has(line, name))
    return (
        f'<figure class=time><svg viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" role="img" aria-label="{escape(title)}">'
        f"{''.join(parts)}</svg><figcaption><ul>{legend}</ul></figcaption></figure>"
    )


_LEGEND = (
    ("taken", "orders the gateway has taken"),
    ("settled", "orders settled at the bank"),
    ("fault", "faults of the banks (larger: more in one second)"),
    ("kill", "gateway killed; the band ends when it is heard again"),
    ("calm", "from here on the banks behave"),
)


def _has(line: Timeline, name: str) -> bool:
    return name != "calm" or line.calm_s is not None


@dataclass(frozen=True, slots=True)
class _Scale:
    last_s: float
    most: int

    def x(self, at_s: float) -> float:
        return _LEFT + min(max(at_s / self.last_s, 0.0), 1.0) * (_WIDTH - _LEFT - _RIGHT)

    def y(self, count: float) -> float:
        return _HEIGHT - _BOTTOM - count / self.most * (_HEIGHT - _TOP - _BOTTOM)


def _curve(at: _Scale, times: Iterable[float], last_s: float, name: str) -> str:
    points = [(0.0, 0)]
    for n, time_s in enumerate(sorted(times), start=1):
        points.append((time_s, n))
    points.append((last_s, points[-1][1]))
    # One point for each pixel is enough.
    kept = {round(at.x(time_s)): at.y(count) for time_s, count in points}
    drawn, before = list[str](), at.y(0)
    for x, y in kept.items():
        # The line is level while nothing happens, because a slope would mean that something did.
        drawn += [f"{x - 1},{before:.1f}"] if y != before and x - 1 not in kept else []
        drawn.append(f"{x},{y:.1f}")
        before = y
    path = " ".join(drawn)
    return f'<polyline class="{name}" points="{path}"></polyline>'


def _axes(at: _Scale, last_s: float, most: int) -> str:
    step_s = next((step for step in _STEPS_S if last_s / step <= 10), _STEPS_S[-1])
    base = at.y(0)
    ticks = "".join(
        f'<text x="{at.x(n):.0f}" y="{_HEIGHT - 8:g}" text-anchor="middle">{n} s</text>'
        for n in range(0, int(last_s) + 1, step_s)
        if at.x(n) < _WIDTH - 14
    )
    counts = "".join(
        f'<text x="{_LEFT - 6:g}" y="{at.y(count) + 4:.0f}" text-anchor="end">{count}</text>'
        f"{_level('grid', at.y(count))}"
        for count in sorted({0, most // 2, most})
    )
    return f"{counts}{ticks}{_level('axis', base)}"


def _level(name: str, y: float) -> str:
    return f'<line class="{name}" x1="{_LEFT:g}" x2="{_WIDTH - _RIGHT:g}" y1="{y:.1f}" y2="{y:.1f}"></line>'


def _kill(at: _Scale, n: int, kill: tuple[float, float | None], say: Say) -> str:
    killed_s, heard_s = kill
    x = at.x(killed_s)
    width = max(at.x(at.last_s if heard_s is None else heard_s) - x, 1.0)
    return (
        f'<rect class="away" x="{x:.1f}" y="{_TOP:g}" width="{width:.1f}" height="{at.y(0) - _TOP:.1f}"></rect>'
        f'{_upright(at, killed_s, "kill")}<text class="kill" x="{x:.0f}" y="{_TOP - 7:g}" text-anchor="middle">'
        f"{escape(say('kill'))} {n}</text>"
    )


def _upright(at: _Scale, at_s: float, name: str) -> str:
    x = at.x(at_s)
    return f'<line class="{name}" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP:g}" y2="{at.y(0):.1f}"></line>'


def _faults(at: _Scale, faults: Sequence[tuple[float, int]]) -> Iterable[str]:
    row = at.y(0) + _FAULT_ROW / 2 + 3
    for at_s, count in faults:
        if count > 0:
            radius = min(2.0 + count, _MOST_RADIUS)
            yield f'<circle class="fault" cx="{at.x(at_s):.1f}" cy="{row:.1f}" r="{radius:g}"></circle>'
