"""The report of a run, in English or Chinese.

It tells what was tested, how each case stands and where it was seen, and has a page that both sides sign. One content,
two forms: HTML (`html`) and a Typst document for PDF (`gateway.jointtest.pdf`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import Any

from gateway.capabilities import tried
from gateway.jointtest import lane_exchanges, pack_root, trail, twin_clock
from gateway.jointtest.cases import Case
from gateway.jointtest.differences import Difference
from gateway.jointtest.reason_words import reason_in
from gateway.jointtest.verdicts import DECIDED, TITLES, CaseVerdict, ConditionCause, SeenAt
from protocols.kit.china import BEIJING
from protocols.trial import banks

LANGUAGES = ("en", "zh")
_WORDS: Mapping[str, tuple[str, str]] = {
    "title": ("Joint test report", "联调测试报告"),
    "finance title": ("Finance acceptance report", "财务验收报告"),
    "bank": ("bank", "银行"),
    "run": ("run", "测试编号"),
    "rounds": ("rounds", "轮次"),
    "made": ("made", "生成时间"),
    "opened": ("opened", "开始时间"),
    "closed": ("closed", "关闭时间"),
    "not closed": ("not closed", "未关闭"),
    "environment": ("environment", "环境"),
    "against": ("against", "对象"),
    "gateway": ("gateway", "网关版本"),
    "front_end": ("front end", "前置机版本"),
    "summary": ("Summary", "汇总"),
    "verdict": ("verdict", "结论"),
    "count": ("cases", "案例数"),
    "seen at the bank": ("seen at the bank", "银行侧见证"),
    "seen at a twin": ("seen at a twin", "模拟器见证"),
    "nobody": ("nobody", "无"),
    "twin note": (
        "What was seen at a twin (a simulated bank) shows how the gateway behaves. It is never the bank's word.",
        "模拟器见证仅说明网关行为，绝不代表银行结论。",
    ),
    "cases": ("Cases", "案例明细"),
    "case": ("case", "案例"),
    "cause": ("caused by, seen at", "触发方、见证方"),
    "why": ("what was seen", "结果说明"),
    "code": ("operation, bank's code and text", "交易、银行返回码与返回信息"),
    "money": ("amount, account", "金额、账号末四位"),
    "reference": ("our reference, bank serial", "我方流水号、银行流水号"),
    "time": ("Beijing time, seconds, round", "北京时间、耗时（秒）、轮次"),
    "waits": ("until", "等待至"),
    "owner": ("owner", "负责人"),
    "changes": ("Changes since the round before", "与上一轮的差异"),
    "none": ("none", "无"),
    "acts": ("Acts of people, Beijing time", "人工操作（北京时间）"),
    "open cases": ("Not passed when this was signed", "签署时未通过的案例"),
    "sign": ("Sign-off", "签署页"),
    "sign note": (
        "Both sides confirm the verdicts above, and the evidence pack whose root is:",
        "双方确认以上结论，以及根校验值如下的证据包：",
    ),
    "root note": (
        "The root is the SHA-256 of the pack's manifest.json, which has the hash of every file and every verdict. "
        "Check the pack against this paper: bankgw joint-test verify PACK --root ROOT. The pack is signed with the key "
        "of this fingerprint:",
        "根校验值即证据包中 manifest.json 的校验值（SHA-256），其中载有每个文件的校验值与每个结论。以本页核对证据包："
        "bankgw joint-test verify 证据包 --root 根校验值。证据包由以下指纹的密钥签名：",
    ),
    "root": ("root", "根校验值"),
    "no root": ("not packed yet: no root", "尚未生成证据包：无根校验值"),
    "ours": ("for the company", "企业方"),
    "theirs": ("for the bank", "银行方"),
    "name": ("name", "姓名"),
    "date": ("date", "日期"),
    "signature": ("signature", "签字"),
    "erp": ("the gateway's own side", "网关侧"),
    "by bank": ("the bank", "银行"),
    "proxy": ("our proxy", "我方代理"),
    "hand": ("a person", "人工"),
    "at bank": ("bank", "银行"),
    "at twin": ("twin", "模拟器"),
    "test": ("test", "测试"),
    "production": ("production", "生产"),
}
_NAMED_MOST = 12
COLUMNS = ("case", "cause", "verdict", "why", "code", "money", "reference", "time")
"""The columns of the table of cases."""
_ACTS: Mapping[str, tuple[str, str]] = {
    "business_date": ("the bank's business date is set to {date}", "银行业务日期设为 {date}"),
    twin_clock.ACT: (
        "the simulated bank's clock is set {days:+} d from ours",
        "模拟银行时钟设为与本机相差 {days:+} 天",
    ),
    trail.MISSED: ("the audit trail has no verdict of {attempt}: {why}", "审计记录中没有 {attempt} 的结论：{why}"),
    lane_exchanges.MISSED: ("lane {lane} has no digests of its exchanges: {why}", "通道 {lane} 没有报文校验值：{why}"),
}
"""What an act in the run's journal did, in both languages."""
_CAUSES: Mapping[ConditionCause, str] = {
    ConditionCause.ERP: "erp",
    ConditionCause.BANK: "by bank",
    ConditionCause.PROXY: "proxy",
    ConditionCause.HAND: "hand",
}


@dataclass(frozen=True, slots=True)
class ReportContents:
    """The content of a report. `cases` is `pack.cases_of`; `known` describes each case. `root` is empty while the run
    is not packed."""

    about: Mapping[str, Any]
    run: str
    rounds: int
    opened: datetime | None
    closed: datetime | None
    made: datetime
    cases: Mapping[str, Mapping[str, Any]]
    known: Sequence[Case]
    acts: Sequence[Mapping[str, Any]]
    changes: Sequence[Difference]
    fingerprint: str
    root: str = ""


@dataclass(frozen=True, slots=True)
class ReportRow:
    """One case as a line of the report, every cell as text. `code` is the bank's operation, code and text."""

    case: str
    title: str
    cause: str
    seen: str
    verdict: CaseVerdict
    verdict_text: str
    why: str
    code: str
    money: str
    reference: str
    serial: str
    started: str
    took: str
    round: str


class ReportLanguage:
    """The texts of a report in one language. Raises ValueError for a language without texts."""

    def __init__(self, language: str) -> None:
        if language not in LANGUAGES:
            raise ValueError(f"the report speaks {' and '.join(LANGUAGES)}, not {language}")
        self.language = language
        self._index = LANGUAGES.index(language)

    def __call__(self, word: str) -> str:
        return _WORDS[word][self._index]

    def verdict(self, verdict: CaseVerdict) -> str:
        """A verdict's name."""
        return TITLES[verdict][self._index]

    def of(self, english: str, chinese: str) -> str:
        """The English or the Chinese text, according to the report's language."""
        return (english, chinese)[self._index]


def bank_name(bank: str, say: ReportLanguage) -> str:
    """The bank's name with the word of the settings: `Industrial Bank (cib)`; the word alone for an unknown bank."""
    if bank not in banks():
        return bank
    profile = tried(bank).profile
    return say.of(f"{profile.title} ({bank})", f"{profile.title_zh}（{bank}）")


def facts(told: ReportContents, say: ReportLanguage) -> list[tuple[str, str]]:
    """The lines at the head of the report."""
    about, latest = told.about, max((one["round"] for one in told.cases.values()), default=0)
    versions: Mapping[str, str] = next((one["versions"] for one in told.cases.values() if one["round"] == latest), {})
    return [
        (say("bank"), bank_name(str(about["bank"]), say)),
        (say("against"), say(f"at {about['against']}")),
        (say("environment"), say(str(about["environment"]))),
        (say("run"), told.run),
        (say("rounds"), f"{told.rounds}"),
        (say("opened"), _time(told.opened)),
        (say("closed"), _time(told.closed) or say("not closed")),
        (say("made"), _time(told.made)),
        (say("gateway"), versions.get("gateway", "")),
        (say("front_end"), versions.get("front_end", "")),
    ]


def summary(told: ReportContents, say: ReportLanguage) -> list[tuple[str, str, str, str]]:
    """For each verdict, the number of cases, and how many of them were seen at the bank and at a twin."""
    counts: Counter[CaseVerdict] = Counter()
    seen: Counter[tuple[CaseVerdict, str]] = Counter()
    for one in told.cases.values():
        verdict = CaseVerdict(one["verdict"])
        counts[verdict] += 1
        seen[verdict, one["seen"] or ""] += 1
    return [
        (say.verdict(one), str(counts[one]), str(seen[one, SeenAt.BANK]), str(seen[one, SeenAt.TWIN]))
        for one in CaseVerdict
        if counts[one]
    ]


def rows(told: ReportContents, say: ReportLanguage) -> list[ReportRow]:
    """Every case that was played, in the order of the catalogue."""
    known = {case.id: case for case in told.known}
    made = []
    for name, one in told.cases.items():
        case, facts_ = known.get(name), one["facts"]
        waits = f" ({say('waits')} {_time(_when(one['until']))})" if one["until"] else ""
        owner = f" ({say('owner')}: {one['owner']})" if one["owner"] else ""
        made.append(
            ReportRow(
                name,
                say.of(one["title"], one["title_zh"]),
                "" if case is None else say(_CAUSES[case.cause]),
                say(f"at {one['seen']}") if one["seen"] else say("nobody"),
                CaseVerdict(one["verdict"]),
                say.verdict(CaseVerdict(one["verdict"])),
                f"{reason_in(one['why'], say.language)}{waits}{owner}",
                " ".join(str(facts_[name]) for name in ("operation", "bank_code", "bank_text") if facts_.get(name)),
                _money(facts_),
                str(facts_.get("bank_reference") or ""),
                str(facts_.get("bank_serial") or ""),
                _moment(one["started"]),
                _took(one),
                f"R{one['round']}",
            )
        )
    return made


def acts(told: ReportContents, say: ReportLanguage) -> list[str]:
    """The acts of people in the run, a line each."""
    lines = [f"{_moment(one['at'])}  {one.get('by') or '-'}  {_act(one, say)}" for one in told.acts]
    for name, one in told.cases.items():
        if one["by"]:
            ended = _moment(one["ended"]) if one["ended"] else ""
            lines.append(f"{ended}  {one['by']}  {name}: {say.verdict(CaseVerdict(one['verdict']))}")
    return lines


def _act(act: Mapping[str, Any], say: ReportLanguage) -> str:
    """The sentence about an act; the name alone of one that has no sentence."""
    name = str(act.get("act", act["what"]))
    if name == twin_clock.ACT and act.get("refused"):
        return say.of("the simulated bank's clock could not be moved", "模拟银行时钟未能调整")
    return say.of(*_ACTS[name]).format_map(act) if name in _ACTS else name


def open_cases(told: ReportContents, say: ReportLanguage) -> str:
    """The cases that keep a run from being closed, for those who sign; empty if there are none."""
    found = [name for name, one in told.cases.items() if CaseVerdict(one["verdict"]) not in DECIDED]
    colon, comma = say.of(": ", "："), say.of(", ", "、")
    # More would push the signatures onto another page; the table above has them all.
    more = " …" if len(found) > _NAMED_MOST else ""
    return f"{say('open cases')} ({len(found)}){colon}{comma.join(found[:_NAMED_MOST])}{more}" if found else ""


def title(told: ReportContents, say: ReportLanguage) -> str:
    """The title of the report."""
    return say("finance title" if told.about.get("scripts") == "finance" else "title")


def root_text(told: ReportContents, say: ReportLanguage) -> str:
    """The root of the pack in groups of four, or that the run is not packed yet."""
    return pack_root.grouped(told.root) if told.root else say("no root")


def foot(told: ReportContents, say: ReportLanguage) -> str:
    """The foot of each page: the first digits of the root."""
    return f"{say('root')} {pack_root.short(told.root)} …" if told.root else say("no root")


def _money(facts: Mapping[str, Any]) -> str:
    """Amount and last digits of the own account of a case's first order; empty if it gave none."""
    tail = facts.get("account_tail")
    return " ".join(filter(None, (str(facts.get("amount") or ""), f"…{tail}" if tail else "")))


def _moment(text: str) -> str:
    """A time of the run's journal, which is UTC, as the bank's engineer finds it in the bank's own logs."""
    at = datetime.fromisoformat(text)
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(BEIJING).strftime("%m-%d %H:%M:%S")


def _took(one: Mapping[str, Any]) -> str:
    started, ended = _when(one["started"]), _when(one["ended"])
    return "" if started is None or ended is None else f"{(ended - started).total_seconds():.1f}"


def _when(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _time(at: datetime | None) -> str:
    return "" if at is None else at.astimezone(BEIJING).strftime("%Y-%m-%d %H:%M %z")


# ---- HTML --------------------------------------------------------------------------------------------------------

_STYLE = """
body { font: 14px/1.5 "Noto Sans CJK SC", "Noto Sans SC", sans-serif; color: #111 }
body { margin: 2rem auto; max-width: 88rem; padding: 0 1rem }
h1 { font-size: 1.6rem } h2 { font-size: 1.2rem; margin-top: 2rem }
table { border-collapse: collapse; width: 100% }
.cases td:nth-child(2), .cases td:nth-child(3), .cases td:nth-child(6), .cases td:nth-child(8) { white-space: nowrap }
.cases td:nth-child(7) { min-width: 13rem } .cases td:nth-child(5) { min-width: 9rem }
th, td { border: 1px solid #bbb; padding: .3rem .5rem; text-align: left; vertical-align: top; overflow-wrap: anywhere }
th { background: #eee; overflow-wrap: normal } .short { width: auto }
.passed { color: #060 } .failed { color: #a00; font-weight: bold } .waiting, .blocked { color: #850 }
.not_applicable, .waived { color: #555 } .sign td { height: 4rem; width: 25% } code { font-size: .9em }
@media (max-width: 760px) {
  .cases, .cases tbody, .cases tr, .cases td { display: block; width: auto }
  .cases tr.heads { display: none } .cases tr { border: 1px solid #bbb; margin-bottom: .8rem }
  .cases td { border: 0; border-bottom: 1px solid #eee }
  .cases td { display: grid; grid-template-columns: 7.5rem 1fr; gap: .5rem; white-space: normal }
  .cases td:empty { display: none } td.key { min-width: 4.5rem }
  .cases td::before { content: attr(data-head); color: #555; white-space: normal }
}
.qr svg { width: 30mm; height: 30mm } footer { color: #555; font-size: .85em; text-align: right }
@media print { h2.sign { page-break-before: always } footer { position: fixed; bottom: 0; right: 0 } }
"""


def html(told: ReportContents, language: str) -> str:
    """The report as one HTML page, without content from other servers."""
    say = ReportLanguage(language)
    name = f"{title(told, say)} · {bank_name(str(told.about['bank']), say)} · {told.run}"
    head = "".join(f"<tr><th>{escape(key)}</th><td>{escape(value)}</td></tr>" for key, value in facts(told, say))
    sums = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in summary(told, say))
    body = "".join(_html_row(row, say) for row in rows(told, say))
    changes = "".join(f"<li>{escape(str(one))}</li>" for one in told.changes) or f"<li>{escape(say('none'))}</li>"
    done = "".join(f"<li>{escape(line)}</li>" for line in acts(told, say)) or f"<li>{escape(say('none'))}</li>"
    return (
        f'<!DOCTYPE html><html lang="{"zh-CN" if language == "zh" else "en"}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(name)}</title><style>{_STYLE}</style></head><body><h1>{escape(name)}</h1>"
        f'<table class="short">{head}</table><h2>{escape(say("summary"))}</h2><table class="short">'
        f"{_heads(say, ('verdict', 'count', 'seen at the bank', 'seen at a twin'))}{sums}</table>"
        f'<p>{escape(say("twin note"))}</p><h2>{escape(say("cases"))}</h2><table class="cases">'
        f"{_heads(say, COLUMNS)}{body}</table>"
        f"<h2>{escape(say('changes'))}</h2><ul>{changes}</ul><h2>{escape(say('acts'))}</h2><ul>{done}</ul>"
        f"{_html_signatures(told, say)}<footer>{escape(foot(told, say))}</footer></body></html>\n"
    )


def _heads(say: ReportLanguage, columns: Sequence[str]) -> str:
    return '<tr class="heads">' + "".join(f"<th>{escape(say(one))}</th>" for one in columns) + "</tr>"


def _html_row(row: ReportRow, say: ReportLanguage) -> str:
    cells = (
        f"<code>{escape(row.case)}</code><br>{escape(row.title)}",
        f"{escape(row.cause)}<br>{escape(row.seen)}",
        f'<span class="{row.verdict.value}">{escape(row.verdict_text)}</span>',
        escape(row.why),
        escape(row.code),
        escape(row.money),
        f"{escape(row.reference)}<br>{escape(row.serial)}",
        f"{row.started}<br>{row.took} {row.round}",
    )
    return (
        "<tr>"
        + "".join(
            f'<td data-head="{escape(say(head))}">{_block(cell)}</td>'
            for head, cell in zip(COLUMNS, cells, strict=True)
        )
        + "</tr>"
    )


def _block(cell: str) -> str:
    """A cell's content as one block. A pair of empty lines is nothing, which a narrow screen leaves out."""
    return "" if cell in ("", "<br>") else f"<div>{cell}</div>"


def _html_signatures(told: ReportContents, say: ReportLanguage) -> str:
    testers: Mapping[str, str] = told.about["testers"]
    heads = "<tr><th></th>" + _heads(say, ("name", "date", "signature")).removeprefix('<tr class="heads">')
    lines = "".join(
        f"<tr><th>{escape(say(side))}</th><td>{escape(testers.get(key, ''))}</td><td></td><td></td></tr>"
        for side, key in (("ours", "ours"), ("theirs", "bank"))
    )
    return (
        f'<h2 class="sign">{escape(say("sign"))}</h2><p>{escape(say("sign note"))}</p>'
        f'<p><code class="root">{escape(root_text(told, say))}</code></p>'
        f'<div class="qr">{pack_root.qr_svg(told.root) if told.root else ""}</div><p>{escape(say("root note"))}</p>'
        f"<p><code>{escape(told.fingerprint)}</code></p><p><b>{escape(open_cases(told, say))}</b></p>"
        f'<table class="sign">{heads}{lines}</table>'
    )
