"""The demo's report: one HTML file that needs nothing else, in English or Chinese. Pure: facts in, text out.

The first half is for people who are responsible for money; the details for engineers come after it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape

from gateway.demo.evidence import EvidenceLine, LeakedSecret
from gateway.demo.orders import amount_text
from gateway.demo.play import Kill
from gateway.demo.sums import AmountShare, MoneyRow, PaymentSum, money_text
from gateway.demo.texts import LanguageTexts, Phrase, Said, phrase
from gateway.demo.timeline_picture import Timeline, svg
from gateway.demo.verdict import FindingKind, OrderResult, Verdict
from gateway.language import Lang
from protocols.canon.party import mask

CLIMB = "how a fate became known at"
"""The beginning of the `why` of a story that shows a payment's steps at one bank; the bank's name follows."""
_STYLE = """
:root { color-scheme: light dark; --line: #8884; --good: #2a7d46; --bad: #c62828; --taken: #3b73c4; --fault: #d98200; }
@media (prefers-color-scheme: dark) { :root { --good: #5cbf7d; --bad: #ff8a80; --taken: #82aef0; --fault: #ffb74d; } }
body { font: 16px/1.5 system-ui, "Noto Sans CJK SC", "Microsoft YaHei", sans-serif; max-width: 64rem; }
body { margin: 2rem auto; padding: 0 1rem; }
h1 { margin-bottom: 0; } h2 { margin-top: 2.2rem; border-bottom: 1px solid var(--line); }
h1.half { margin-top: 4rem; padding-top: 1.5rem; border-top: .3rem double var(--line); }
.verdict, .soft { text-wrap: pretty; }
.verdict { font-size: 1.25rem; font-weight: 600; padding: .8rem 1rem; background: #8881; margin: 1rem 0 .6rem; }
.verdict { text-wrap: balance; border-left: .4rem solid var(--good); }
.verdict.bad { border-color: var(--bad); }
.sum { font: 600 .95rem ui-monospace, monospace; margin: .4rem 0; } .sum span { white-space: nowrap; }
.tiles { display: grid; grid-template-columns: repeat(6, 1fr); gap: .8rem; margin: 1.2rem 0; }
@media (max-width: 56rem) { .tiles { grid-template-columns: repeat(3, 1fr); } }
@media (max-width: 36rem) { table.money { font-size: .78rem; } .money td, .money th { padding: .3rem .2rem; } }
@media (max-width: 36rem) { .money th.n { white-space: normal; } }
.tile { border: 1px solid var(--line); border-radius: .5rem; padding: .6rem .8rem; min-width: 0; }
.tile b { display: block; font-size: 1.6rem; line-height: 1.2; white-space: nowrap; }
.tile span { opacity: .75; font-size: .85rem; line-height: 1.25; display: block; }
table { border-collapse: collapse; width: 100%; margin: .8rem 0; font-size: .92rem; }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
th { word-break: keep-all; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; } td.w { white-space: nowrap; }
td small { display: block; opacity: .7; } tr.total td { font-weight: 600; border-top: 2px solid var(--line); }
code { font-family: ui-monospace, monospace; font-size: .9em; overflow-wrap: anywhere; } .soft { opacity: .7; }
.scroll { overflow-x: auto; } details { margin: .6rem 0; } summary { cursor: pointer; font-weight: 600; }
.yes { color: var(--good); } .no { color: var(--bad); font-weight: 600; }
figure.time { margin: 1rem 0; } figure.time svg { width: 100%; height: auto; font: 12px system-ui, sans-serif; }
svg text { fill: currentColor; } svg text.kill { fill: var(--bad); font-weight: 600; }
svg polyline { fill: none; stroke-width: 2.5; stroke-linejoin: round; }
svg .taken { stroke: var(--taken); } svg .settled { stroke: var(--good); }
svg .axis { stroke: currentColor; } svg .grid { stroke: var(--line); }
svg .fault { fill: var(--fault); fill-opacity: .75; }
svg .kill { stroke: var(--bad); stroke-width: 2; } svg text.kill { stroke: none; }
svg .away { fill: var(--bad); opacity: .12; }
svg .calm { stroke: currentColor; stroke-dasharray: 4 4; opacity: .6; }
figcaption ul { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; list-style: none; padding: 0; font-size: .85rem; }
figcaption i { display: inline-block; width: 1rem; height: .25rem; margin-right: .4rem; vertical-align: middle; }
i.taken { background: var(--taken); } i.settled { background: var(--good); }
i.fault { background: var(--fault); height: .6rem; width: .6rem; border-radius: 50%; }
i.kill { background: var(--bad); width: .2rem; height: .9rem; }
i.calm { border-left: 2px dashed; width: 0; height: .9rem; }
"""


@dataclass(frozen=True, slots=True)
class PromiseCheck:
    """One promise that was checked, and the findings against it."""

    promise: Said
    holds: bool
    detail: Said


@dataclass(frozen=True, slots=True)
class FaultRow:
    """One kind of fault at one bank: how often it was committed, and the results of the payments that it affected
    first."""

    bank: str
    fault: str
    meaning: str
    committed: int
    became: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class KillRow:
    """One kill, and the number of payments that the restarted daemon found in `sending` and put in doubt."""

    kill: Kill
    doubted: int


@dataclass(frozen=True, slots=True)
class PaymentStory:
    """The file of one payment that faults affected."""

    why: str
    order_id: str
    fate: OrderResult
    steps: tuple[EvidenceLine, ...]


@dataclass(frozen=True, slots=True)
class ReportFacts:
    """All facts that the report shows."""

    seed: int
    banks: tuple[str, ...]
    started: datetime
    lasted_s: float
    commands: int
    published_s: float
    calm_s: float | None
    verdict: Verdict
    checks: tuple[PromiseCheck, ...]
    sorts: Mapping[str, Mapping[str, int]]
    faults: tuple[FaultRow, ...]
    kills: tuple[KillRow, ...]
    questions: Mapping[str, Mapping[str, int]]
    parked: Mapping[str, int]
    repeats: int
    stories: tuple[PaymentStory, ...]
    environment: Mapping[str, str]
    again: str
    money: tuple[MoneyRow, ...] = ()
    timeline: Timeline = Timeline(0.0)
    beside: tuple[str, ...] = ()


def html(facts: ReportFacts, lang: Lang = "en") -> str:
    """The report's whole HTML page."""
    return _Page(facts, LanguageTexts(lang)).html()


class ReportTable:
    """Builds a table. A column with numbers is aligned to the right, with its heading."""

    def __init__(self, say: LanguageTexts) -> None:
        self._say = say

    def __call__(self, head: Sequence[str], rows: Iterable[Sequence[object]], *, nowrap: int = 0) -> str:
        """The table as HTML; the first `nowrap` columns are never broken into lines."""
        lines = [list(row) for row in rows]
        columns = [[line[n] for line in lines] for n in range(len(head))]
        numbers = {
            n
            for n, column in enumerate(columns)
            if any(map(_is_number, column)) and all(one == "-" or _is_number(one) for one in column)
        }
        top = "".join(
            f"<th{' class=n' if n in numbers else ''}>{escape(self._say(name))}</th>" for n, name in enumerate(head)
        )
        body = "".join(
            "<tr>" + "".join(self._cell(one, n in numbers, n < nowrap) for n, one in enumerate(line)) + "</tr>\n"
            for line in lines
        )
        return f'<div class="scroll"><table><tr>{top}</tr>\n{body}</table></div>'

    def _cell(self, value: object, right: bool, whole: bool) -> str:
        if isinstance(value, bool):
            return f'<td class="{"yes" if value else "no"}">{self._say("yes" if value else "NO")}</td>'
        kind = " class=n" if right else " class=w" if whole else ""
        return f"<td{kind}>{_code(self._say(value) if isinstance(value, str | Phrase) else str(value))}</td>"


_SECONDS = re.compile(r"[0-9.]+ s")


def _is_number(value: object) -> bool:
    if isinstance(value, bool):
        return False
    return isinstance(value, int | float) or (isinstance(value, str) and _SECONDS.fullmatch(value) is not None)


def _code(text: str) -> str:
    """Escaped text in which words between backticks are shown as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


class _Page:
    def __init__(self, facts: ReportFacts, say: LanguageTexts) -> None:
        self._facts = facts
        self._say = say
        self._table = ReportTable(say)
        self._good = all(check.holds for check in facts.checks)

    def html(self) -> str:
        """The report's HTML page."""
        say, facts = self._say, self._facts
        parts = (
            self._head(),
            self._tiles(),
            self._money(),
            self._picture(),
            self._what(),
            self._promises(),
            self._beside(),
            self._findings(),
            f"<h1 class=half>{say('For engineers')}</h1>",
            self._for_engineers(),
            self._checks(),
            self._kills(),
            self._faults(),
            self._orders(),
            self._stories(),
            self._environment(),
        )
        title = f"{say('bankgw demo')} {facts.seed}"
        return (
            f'<!doctype html>\n<html lang="{"zh-CN" if say.lang == "zh" else "en"}"><meta charset="utf-8">'
            f'<meta name="viewport" content="width=device-width"><title>{title}</title><style>{_STYLE}</style>\n'
            + "\n".join(parts)
            + "\n</html>\n"
        )

    def _h2(self, text: str) -> str:
        return f"<h2>{escape(self._say(text))}</h2>"

    def _soft(self, name: str) -> str:
        return f"<p class=soft>{_code(self._say.text(name))}</p>"

    def _counts(self, counts: Mapping[str, int]) -> str:
        words = [f"{count} {self._say(name.replace('_', ' '))}" for name, count in sorted(counts.items(), key=_most)]
        return ", ".join(words) or "-"

    # ---- for people who answer for money ----

    def _head(self) -> str:
        facts, say = self._facts, self._say
        said = (
            "Every order was carried out once or not at all: nothing was paid twice, nothing was lost."
            if self._good
            else "Something does not agree. What was found is listed below; please report it."
        )
        line = facts.verdict.last_line()
        spans = ", ".join(f"<span>{escape(part)}</span>" for part in line.split(", "))
        other = "银企直联网关" if say.lang == "en" else "bankgw"
        return (
            f"<h1>{say('bankgw demo')}</h1><p class=soft>{other} · {say('every payment, exactly once')} · "
            f"{facts.started.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC · {say('seed')} {facts.seed}</p>"
            f'<p class="verdict{"" if self._good else " bad"}">{say(said)}</p><p class=sum>{spans}</p>'
            f"<p class=soft>{escape(say(facts.verdict.breakdown()))}</p>"
        )

    def _tiles(self) -> str:
        facts, verdict = self._facts, self._facts.verdict
        tiles = (
            (f"{len(verdict.fates):,}", "orders"),
            (len(facts.kills), "times the gateway was killed"),
            (sum(row.committed for row in facts.faults), "faults of the banks"),
            (verdict.count(FindingKind.DUPLICATED), "paid twice"),
            (verdict.count(FindingKind.LOST), "lost"),
            (f"{facts.lasted_s:.0f} s", "from start to comparison"),
        )
        inner = "".join(
            f"<div class=tile><b>{number}</b><span>{self._say(text)}</span></div>" for number, text in tiles
        )
        return f"<div class=tiles>{inner}</div>"

    def _money(self) -> str:
        say, several = self._say, len({row.currency for row in self._facts.money}) > 1
        heads = ("the ERP's orders", "gateway's journal", "banks' ledgers")
        top = "".join(f"<th class=n>{say(head)}</th>" for head in heads)
        body = "".join(
            f"<tr{' class=total' if row.share is AmountShare.TOTAL else ''}><td>{escape(say(row.share.value))}</td>"
            f"{self._sum(row, row.ordered)}{self._sum(row, row.journal)}{self._sum(row, row.ledgers)}"
            f"{_mark(row.agrees, say)}</tr>\n"
            for row in self._facts.money
        )
        names = ", ".join(sorted({row.currency for row in self._facts.money}))
        return (
            f"<h2>{say('Sums of money')}{'' if several or not names else f' ({names})'}</h2>"
            '<div class="scroll"><table class=money>'
            f"<tr><th></th>{top}<th>{say('equal')}</th></tr>\n{body}</table></div>" + self._soft("sums")
        )

    def _sum(self, row: MoneyRow, found: PaymentSum | None) -> str:
        if found is None:
            return "<td class=n></td>"
        count = escape(self._say(phrase("{count} payments", count=f"{found.count:,}")))
        currency = f"{row.currency} " if len({one.currency for one in self._facts.money}) > 1 else ""
        return f"<td class=n>{currency}{money_text(found.minor)}<small>{count}</small></td>"

    def _picture(self) -> str:
        return self._h2("What happened when") + svg(self._facts.timeline, self._say)

    def _what(self) -> str:
        facts, say = self._facts, self._say
        calm = (
            ""
            if facts.calm_s is None
            else say(
                " After {calm:.0f} s the banks behaved, so that the fate of what was under way could be found out.",
                calm=facts.calm_s,
            )
        )
        told = escape(
            say.text(
                "story", orders=len(facts.verdict.fates), banks=len(facts.banks), kills=len(facts.kills), calm=calm
            )
        )
        doubt = escape(say.text("doubt"))
        return f"{self._h2('What happened')}<p>{told}</p><p>{doubt}</p>"

    def _promises(self) -> str:
        rows = [(check.promise, check.holds) for check in self._facts.checks]
        return self._h2("What was checked") + self._table(("promise", "holds"), rows)

    def _findings(self) -> str:
        verdict = self._facts.verdict
        if verdict.agrees:
            return ""
        rows = [(finding.wrong.value, finding.about, finding.text) for finding in verdict.findings[:500]]
        return f"<h2 class=no>{self._say('Findings')}</h2>" + self._table(("what", "about", "in words"), rows)

    # ---- for engineers ----

    def _for_engineers(self) -> str:
        facts = self._facts
        asked = sum(sum(answers.values()) for answers in facts.questions.values())
        said = self._say.text(
            "engineers",
            commands=facts.commands,
            published=facts.published_s,
            questions=asked,
            banks=", ".join(facts.banks),
        )
        return f"<p>{escape(said)}</p>"

    def _checks(self) -> str:
        rows = [(check.promise, check.holds, check.detail) for check in self._facts.checks]
        return self._h2("The checks in detail") + self._table(("promise", "holds", "found"), rows)

    def _kills(self) -> str:
        rows = []
        for row in self._facts.kills:
            kill = row.kill
            again = "-" if kill.heard_s is None else f"{kill.heard_s - kill.at_s:.1f} s"
            rows.append((f"{kill.at_s:.1f} s", kill.pid, kill.published, kill.open_orders, row.doubted, again))
        head = ("at", "process", "commands sent by then", "orders under way", "found in sending", "heard again after")
        return self._h2("Kills") + self._table(head, rows) + self._soft("killed")

    def _faults(self) -> str:
        rows = [
            (row.bank, row.fault.replace("_", " "), _plain(row.meaning), row.committed, self._counts(row.became))
            for row in self._facts.faults
        ]
        head = ("bank", "fault", "what the bank does", "committed", "payments struck ended")
        return self._h2("Faults of the banks") + self._table(head, rows, nowrap=2) + self._soft("struck")

    def _orders(self) -> str:
        facts, counts = self._facts, self._counts
        rows = [(sort, sum(fates.values()), counts(fates)) for sort, fates in sorted(facts.sorts.items())]
        asked = [(name, sum(answers.values()), counts(answers)) for name, answers in sorted(facts.questions.items())]
        aside = self._say.text(
            "aside",
            parked=counts(facts.parked),
            repeats=facts.repeats,
            second=facts.verdict.second_answers,
            other=facts.verdict.other_form,
        )
        return (
            self._h2("Orders by kind")
            + self._table(("kind", "orders", "ended"), rows)
            + self._soft("sharp")
            + self._h2("Questions")
            + self._table(("question", "asked", "answered"), asked)
            + f"<p>{escape(aside)}</p>"
        )

    def _stories(self) -> str:
        say, parts = self._say, [self._h2("The files of a few payments")]
        for n, story in enumerate(self._facts.stories):
            steps = story.steps
            start_ms = steps[0].at_ms if steps else 0
            rows = [(f"{(step.at_ms - start_ms) / 1000:.3f} s", step.what, step.detail) for step in steps]
            order, told = story.fate.order, "nothing" if story.fate.told is None else story.fate.told.value
            about = say(
                "{bank}, {amount} CNY from {debtor} to {creditor}, told {told}",
                bank=order.bank,
                amount=amount_text(order.amounts_minor[0]),
                debtor=mask(order.debtor),
                creditor=mask(order.creditor),
                told=say(told.replace("_", " ")),
            )
            why = say(story.why)
            if story.why.startswith(CLIMB):
                why = f"{say(CLIMB)} {story.why.removeprefix(CLIMB).strip()}"
            parts.append(
                f"<details{' open' if n == 0 else ''}><summary>{escape(why)}: {escape(story.order_id)}</summary>"
                f"<p class=soft>{escape(about)}</p>{self._table(('after', 'what', 'detail'), rows, nowrap=1)}</details>"
            )
        return "\n".join(parts)

    def _beside(self) -> str:
        if not self._facts.beside:
            return ""
        links = ", ".join(f'<a href="{escape(name)}">{escape(name)}</a>' for name in self._facts.beside)
        return f"{self._h2('Reports that the gateway made')}<p>{links}</p>"

    def _environment(self) -> str:
        rows = list(self._facts.environment.items())
        again = self._say(
            "Again: {again}. The same seed writes the same orders; what strikes which of them depends on the time too.",
            again=f"`{self._facts.again}`",
        )
        made = self._table(("", ""), rows, nowrap=1)
        return f"{self._h2('Where and how to run it again')}{made}<p>{_code(again)}</p>"


def _mark(agrees: bool | None, say: LanguageTexts) -> str:
    if agrees is None:
        return "<td></td>"
    return f'<td class="{"yes" if agrees else "no"}">{say("yes" if agrees else "NO")}</td>'


def _plain(meaning: str) -> str:
    """A fault's meaning without the names of settings."""
    return (
        meaning.replace("only after `delay_s`", "only after a delay")
        .replace("for `hide_s`", "for a while")
        .replace("after `return_s`", "after a while")
    )


def _most(item: tuple[str, int]) -> tuple[int, str]:
    return -item[1], item[0]


def leak_check(leaks: Sequence[LeakedSecret], files: int, secrets: int) -> PromiseCheck:
    """The promise about the raw files."""
    promise = phrase("no account number, name or password can be read in the raw files")
    found = phrase(
        "{secrets} of them looked for in {files} files, journal and log; {leaks} found",
        secrets=secrets,
        files=files,
        leaks=len(leaks),
    )
    if not leaks:
        return PromiseCheck(promise, True, found)
    kinds = ", ".join(f"{count} {name}" for name, count in Counter(leak.file for leak in leaks).items())
    return PromiseCheck(promise, False, f"{found}: {leaks[0].hint} in {leaks[0].file} ({kinds})")


def money_check(rows: Sequence[MoneyRow]) -> PromiseCheck:
    """The promise about the sums."""
    told = []
    for currency in sorted({row.currency for row in rows}):
        shares = {row.share: row.ordered for row in rows if row.currency == currency}
        told.append(
            phrase(
                "{currency} {paid} carried out, {back} of it came back",
                currency=currency,
                paid=money_text(shares[AmountShare.PAID].minor),
                back=money_text(shares[AmountShare.CAME_BACK].minor),
            )
        )
    wrong = [
        f"{row.currency} {row.share.value}: {_told(row.ordered)}, {_told(row.journal)}, {_told(row.ledgers)}"
        for row in rows
        if row.agrees is False
    ]
    found: Said = told[0] if len(told) == 1 and not wrong else "; ".join([*map(str, told), *wrong])
    return PromiseCheck(
        phrase("the sums of money are equal in the orders, the journal and the ledgers"), not wrong, found
    )


def _told(found: PaymentSum | None) -> str:
    return "-" if found is None else f"{money_text(found.minor)} in {found.count}"
