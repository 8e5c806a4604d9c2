"""The campaign's report: one self-contained HTML file. Pure: facts in, text out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from faults.compare import Result
from faults.incidents import Incident
from gateway.demo.evidence import EvidenceLine

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --good: #2a7d46; --bad: #b3261e; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto; padding: 0 1rem; }
h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line); }
.sum { font: 600 1.05rem ui-monospace, monospace; padding: .8rem 1rem; border-left: .4rem solid var(--good); }
.sum.bad { border-color: var(--bad); }
table { border-collapse: collapse; width: 100%; margin: .8rem 0; font-size: .92rem; }
th, td { text-align: left; padding: .25rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
td.n { text-align: right; font-variant-numeric: tabular-nums; } .soft { opacity: .7; }
details { margin: .5rem 0; } summary { cursor: pointer; } .scroll { overflow-x: auto; }
svg text { font: 11px system-ui, sans-serif; fill: currentColor; }
"""
_ROW_PX, _LEFT_PX, _WIDE_PX = 18, 260, 780


@dataclass(frozen=True, slots=True)
class Moment:
    """One line of an incident's timeline: the seconds since the incident began, and the event."""

    after_s: float
    text: str


@dataclass(frozen=True, slots=True)
class Facts:
    """All facts that the report shows. `timelines` belong to `incidents`; `stories` are decrypted files of payments."""

    result: Result
    incidents: Sequence[Incident]
    timelines: Sequence[Sequence[Moment]]
    lasted_s: float
    stories: Sequence[tuple[str, str, Sequence[EvidenceLine]]]
    rules: Mapping[str, int]
    environment: Mapping[str, str]
    again: str
    matrix: Sequence[tuple[str, str, int]] = ()


def html(facts: Facts) -> str:
    """The whole HTML page of the report."""
    result = facts.result
    parts = [
        f"<!doctype html><meta charset=utf-8><title>bankgw fault campaign</title><style>{_STYLE}</style>",
        "<h1>Fault campaign</h1>",
        f'<p class="sum{"" if result.holds else " bad"}">{escape(result.last_line())}</p>',
        f"<p class=soft>{escape(str(result.verdict.breakdown()))}. Again: <code>{escape(facts.again)}</code></p>",
        *_findings(result),
        "<h2>When what was done</h2>",
        _chart(facts.incidents, facts.lasted_s),
        "<h2>Faults by kind</h2>",
        _counts(result.faults, "fault", "times"),
        "<h2>Lines of the fault matrix</h2>",
        _table([("line", "kind of incident", "times"), *((one, kind, str(n)) for one, kind, n in facts.matrix)]),
        "<h2>What the payments' table went through</h2>",
        _counts(Counter(facts.rules), "row", "times"),
        "<h2>Incidents, one by one</h2>",
        *(_incident(*pair) for pair in zip(facts.incidents, facts.timelines, strict=True)),
        "<h2>Files of payments to which something happened</h2>",
        *(_story(*story) for story in facts.stories),
        "<h2>Where this ran</h2>",
        _table([(key, value) for key, value in facts.environment.items()]),
    ]
    return "\n".join(parts)


def _findings(result: Result) -> list[str]:
    if result.holds:
        return ["<p>The banks' ledgers, the journal and the ERP's events agree, line by line.</p>"]
    rows = [(finding.wrong.value, finding.about, finding.text) for finding in result.findings]
    return ["<h2>What must not be</h2>", _table(rows)]


def _counts(counts: Counter[str], what: str, number: str) -> str:
    rows = "".join(f"<tr><td>{escape(name)}<td class=n>{count}" for name, count in counts.most_common() if count)
    return f"<table><tr><th>{what}<th>{number}{rows}</table>"


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}" for cell in row) for row in rows)
    return f'<div class="scroll"><table>{body}</table></div>'


def _chart(incidents: Sequence[Incident], lasted_s: float) -> str:
    """One row per kind, one mark per incident, seconds from left to right."""
    kinds = list(dict.fromkeys(incident.kind for incident in incidents))
    scale = _WIDE_PX / max(lasted_s, 1.0)
    marks = [
        f'<text x="0" y="{row * _ROW_PX + 13}">{escape(kind)}</text>'
        f'<line x1="{_LEFT_PX}" x2="{_LEFT_PX + _WIDE_PX}" y1="{row * _ROW_PX + 9}" y2="{row * _ROW_PX + 9}" '
        f'stroke="#8884"/>'
        for row, kind in enumerate(kinds)
    ]
    for incident in incidents:
        x, y = _LEFT_PX + incident.at_s * scale, kinds.index(incident.kind) * _ROW_PX + 3
        wide = max((incident.until_s - incident.at_s) * scale, 2.0)
        title = escape(f"{incident.at_s:.1f} s {incident.kind} {incident.target} {incident.detail}")
        size = f'x="{x:.1f}" y="{y}" width="{wide:.1f}" height="12" fill="#b3261e"'
        marks.append(f"<rect {size}><title>{title}</title></rect>")
    height = (len(kinds) + 1) * _ROW_PX
    axis = [
        f'<text x="{_LEFT_PX + at * scale:.0f}" y="{height - 4}">{at:.0f} s</text>'
        for at in (0, lasted_s / 4, lasted_s / 2, lasted_s * 3 / 4)
    ]
    size = f'width="{_LEFT_PX + _WIDE_PX + 10}" height="{height}"'
    return f'<div class="scroll"><svg {size}>{"".join(marks)}{"".join(axis)}</svg></div>'


def _incident(incident: Incident, timeline: Sequence[Moment]) -> str:
    title = f"{incident.at_s:7.1f} s · {incident.kind} · {incident.target}"
    lines = "".join(f"<tr><td class=n>+{moment.after_s:.2f} s<td>{escape(moment.text)}" for moment in timeline)
    return f"<details><summary>{escape(title)}</summary><table>{lines}</table></details>"


def _story(why: str, order: str, steps: Sequence[EvidenceLine]) -> str:
    begun_ms = steps[0].at_ms if steps else 0
    lines = "".join(
        f"<tr><td class=n>+{(step.at_ms - begun_ms) / 1000:.3f} s<td>{escape(step.what)}"
        f"<td class=soft>{escape(step.detail)}"
        for step in steps
    )
    return f"<details><summary>{escape(order)}: {escape(why)}</summary><table>{lines}</table></details>"
