"""The demo's report: one HTML file that needs nothing else. Pure: facts in, text out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape

from gateway.desk.demo_evidence import Leak, Step
from gateway.desk.demo_orders import amount_text
from gateway.desk.demo_play import Kill
from gateway.desk.demo_verdict import Fate, Verdict, Wrong
from protocols.canon.party import mask

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --good: #2a7d46; --bad: #b3261e; --soft: #7779; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { margin-bottom: 0; } h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line); }
.sum { font: 600 1.05rem ui-monospace, monospace; padding: .8rem 1rem; background: #8881; }
.sum { border-left: .4rem solid var(--good); }
.sum.bad { border-color: var(--bad); }
.tiles { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1.2rem 0; }
.tile { flex: 1 1 8rem; border: 1px solid var(--line); border-radius: .5rem; padding: .6rem .9rem; }
.tile b { display: block; font-size: 1.7rem; line-height: 1.2; } .tile span { opacity: .75; font-size: .85rem; }
table { border-collapse: collapse; width: 100%; margin: .8rem 0; font-size: .92rem; }
th, td { text-align: left; padding: .25rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
code { font-family: ui-monospace, monospace; font-size: .9em; } .soft { opacity: .7; }
.scroll { overflow-x: auto; } details { margin: .6rem 0; } summary { cursor: pointer; font-weight: 600; }
.yes { color: var(--good); } .no { color: var(--bad); font-weight: 600; }
"""


@dataclass(frozen=True, slots=True)
class Check:
    """One promise that was checked, and what was found."""

    promise: str
    holds: bool
    detail: str


@dataclass(frozen=True, slots=True)
class FaultRow:
    """One kind of fault at one bank: how often committed in all, and what became of the payments it struck first."""

    bank: str
    fault: str
    meaning: str
    committed: int
    became: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class KillRow:
    """One kill, and how many payments the next life found in `sending` and put in doubt."""

    kill: Kill
    doubted: int


@dataclass(frozen=True, slots=True)
class Story:
    """The file of one payment, chosen because something interesting happened to it."""

    why: str
    order_id: str
    fate: Fate
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything the report shows."""

    seed: int
    banks: tuple[str, ...]
    started: datetime
    lasted_s: float
    commands: int
    published_s: float
    calm_s: float | None
    verdict: Verdict
    checks: tuple[Check, ...]
    sorts: Mapping[str, Mapping[str, int]]
    faults: tuple[FaultRow, ...]
    kills: tuple[KillRow, ...]
    questions: Mapping[str, Mapping[str, int]]
    parked: Mapping[str, int]
    repeats: int
    stories: tuple[Story, ...]
    environment: Mapping[str, str]
    again: str


def html(facts: Facts) -> str:
    """The whole page."""
    good = all(check.holds for check in facts.checks)
    parts = (
        _head(facts, good), _tiles(facts), _what(facts), _checks(facts), _findings(facts.verdict), _kills(facts),
        _faults(facts), _orders(facts), _stories(facts), _environment(facts),
    )  # fmt: skip
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>bankgw demo, seed {facts.seed}</title><style>{_STYLE}</style>\n{body}\n</html>\n"
    )


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table; numbers are set to the right."""
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join("<tr>" + "".join(map(_cell, row)) + "</tr>\n" for row in rows)
    return f'<div class="scroll"><table><tr>{top}</tr>\n{body}</table></div>'


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return f'<td class="{"yes" if value else "no"}">{"yes" if value else "NO"}</td>'
    number = isinstance(value, (int, float))
    return f"<td{' class=n' if number else ''}>{escape(str(value))}</td>"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in sorted(counts.items(), key=_most)) or "-"


def _most(item: tuple[str, int]) -> tuple[int, str]:
    return -item[1], item[0]


def _head(facts: Facts, good: bool) -> str:
    return (
        "<h1>bankgw demo</h1><p class=soft>银企直联网关 · every payment, exactly once · "
        f"{facts.started.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC · seed {facts.seed}</p>"
        f'<p class="sum{"" if good else " bad"}">{escape(facts.verdict.last_line())}</p>'
        f"<p class=soft>{escape(facts.verdict.breakdown())}.</p>"
    )


def _tiles(facts: Facts) -> str:
    verdict = facts.verdict
    faults = sum(row.committed for row in facts.faults)
    tiles = (
        (len(verdict.fates), "orders"),
        (len(facts.kills), "times SIGKILL"),
        (faults, "faults of the banks"),
        (verdict.count(Wrong.DUPLICATED), "duplicated"),
        (verdict.count(Wrong.LOST), "lost"),
        (f"{facts.lasted_s:.0f} s", "from start to comparison"),
    )
    inner = "".join(f"<div class=tile><b>{number}</b><span>{text}</span></div>" for number, text in tiles)
    return f"<div class=tiles>{inner}</div>"


def _what(facts: Facts) -> str:
    calm = "" if facts.calm_s is None else (
        f" The banks stopped misbehaving at {facts.calm_s:.0f} s, so that what was under way could still be found out."
    )  # fmt: skip
    return (
        "<h2>What happened</h2>"
        f"<p>An ERP published {facts.commands} commands through RabbitMQ within {facts.published_s:.0f} s: orders in "
        "JSON and XML, some of them invalid, some published two or three times, some again under the same id with "
        "other content, and questions. The gateway carried the orders over mutual TLS to "
        f"{len(facts.banks)} simulated banks ({escape(', '.join(facts.banks))}) that speak different XML dialects and "
        f"misbehave by a seeded plan. It was killed with SIGKILL {len(facts.kills)} times and started again at once."
        f"{calm} In the end three accounts were compared line by line: the banks' ledgers, the gateway's journal, and "
        "what the ERP was told.</p>"
        "<p>In doubt is an answer too: the bank was asked, and does not know the payment. That is no proof that it "
        "never will, so the gateway goes on asking and does not send again; after the bank's deadline people are "
        "called. Time-outs, first enquiries and the watch for money that comes back are set to seconds here.</p>"
    )


def _checks(facts: Facts) -> str:
    rows = [(check.promise, check.holds, check.detail) for check in facts.checks]
    return "<h2>What was checked</h2>" + table(("promise", "holds", "found"), rows)


def _findings(verdict: Verdict) -> str:
    if verdict.agrees:
        return ""
    rows = [(finding.wrong.value, finding.about, finding.text) for finding in verdict.findings[:500]]
    return "<h2 class=no>Findings</h2>" + table(("what", "about", "in words"), rows)


def _kills(facts: Facts) -> str:
    rows = []
    for row in facts.kills:
        kill = row.kill
        again = "-" if kill.heard_s is None else f"{kill.heard_s - kill.at_s:.1f} s"
        rows.append((f"{kill.at_s:.1f} s", kill.pid, kill.published, kill.open_orders, row.doubted, again))
    note = (
        "<p class=soft>What a killed gateway had written down as being sent is put in doubt by its next life, which "
        "asks the bank and never sends again.</p>"
    )
    head = ("at", "process", "commands sent by then", "orders under way", "found in sending", "heard again after")
    return "<h2>Kills</h2>" + table(head, rows) + note


def _faults(facts: Facts) -> str:
    rows = [
        (row.bank, row.fault.replace("_", " "), row.meaning, row.committed, _counts(row.became)) for row in facts.faults
    ]
    note = (
        "<p class=soft>Committed counts all exchanges, enquiries too. The last column counts payments whose first "
        "exchange the plan struck: which ones follows from the seed and their bank reference, and a reference contains "
        "the time. A bank that signs nothing answers garbage instead of a wrong signature.</p>"
    )
    head = ("bank", "fault", "what the bank does", "committed", "payments struck ended")
    return "<h2>Faults of the banks</h2>" + table(head, rows) + note


def _orders(facts: Facts) -> str:
    rows = [(sort, sum(fates.values()), _counts(fates)) for sort, fates in sorted(facts.sorts.items())]
    questions = [(name, sum(answers.values()), _counts(answers)) for name, answers in sorted(facts.questions.items())]
    parked = _counts(facts.parked)
    return (
        "<h2>Orders by kind</h2>" + table(("kind", "orders", "ended"), rows)
        + "<p class=soft>Words with # tell the simulated bank's books what to do: decide late, refuse, hide the "
        "payment from enquiries for a while, send the money back.</p>"
        "<h2>Questions</h2>" + table(("question", "asked", "answered"), questions)
        + f"<p>Commands put aside for people in <code>bankgw.parked</code>: {escape(parked)}. Messages that came more "
        f"than once under the same message id: {facts.repeats}; second answers to a command: "
        f"{facts.verdict.second_answers}; answers in another form (JSON, XML) than the command's: "
        f"{facts.verdict.other_form}.</p>"
    )  # fmt: skip


def _stories(facts: Facts) -> str:
    parts = ["<h2>The files of a few payments</h2>"]
    for n, story in enumerate(facts.stories):
        steps = story.steps
        start_ms = steps[0].at_ms if steps else 0
        rows = [(f"{(step.at_ms - start_ms) / 1000:.3f} s", step.what, step.detail) for step in steps]
        order = story.fate.order
        told = "nothing" if story.fate.told is None else story.fate.told.value
        about = (
            f"{order.bank}, {amount_text(order.amounts_minor[0])} CNY from {mask(order.debtor)} to "
            f"{mask(order.creditor)}, told {told}"
        )
        parts.append(
            f"<details{' open' if n == 0 else ''}><summary>{escape(story.why)}: {escape(story.order_id)}</summary>"
            f"<p class=soft>{escape(about)}</p>{table(('after', 'what', 'detail'), rows)}</details>"
        )
    return "\n".join(parts)


def _environment(facts: Facts) -> str:
    rows = list(facts.environment.items())
    return (
        "<h2>Where and how to run it again</h2>" + table(("", ""), rows)
        + f"<p>Again: <code>{escape(facts.again)}</code>. Another seed makes other orders, other faults and other "
        "moments for the kills.</p>"
    )  # fmt: skip


def leak_check(leaks: Sequence[Leak], files: int, secrets: int) -> Check:
    """The promise about the raw files."""
    kinds = Counter(leak.file for leak in leaks)
    first = "" if not leaks else f": {leaks[0].hint} in {leaks[0].file}"
    found = f"{secrets} of them looked for in {files} files, journal and log; {len(leaks)} found{first}"
    if len(kinds) > 1:
        found += f" ({_counts(kinds)})"
    return Check("no account number, name or password can be read in the raw files", not leaks, found)
