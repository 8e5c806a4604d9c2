"""The report on a foreign client's visit at a simulated bank, in English or Chinese, for the client's vendor.

Findings come first, grouped by field and rule; then what was tried of what the bank has; then what the check stands on:
versions, page, period and client certificates. One content, two forms: HTML (`html`) and PDF (`pdf`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from importlib import resources
from pathlib import Path

from gateway.capabilities import tried
from gateway.jointtest.client_check import ClientCheck, moment_text
from gateway.jointtest.client_words import COUNTED, ExchangeVerdict, reconstructed
from gateway.language import LANGS, Bilingual, Lang
from gateway.reports.typesetting import FONT_FOLDERS, NoPdf, typeset

_DAY = "%Y-%m-%d %H:%M:%S"
_DIGEST_CHARS = 16
_WORDS: Mapping[str, Bilingual] = {
    "title": ("Client conformance report", "客户端报文符合性报告"),
    "summary": ("Summary", "结论与依据"),
    "findings": ("Findings", "发现"),
    "repeats": ("Orders that came more than once", "重复到达的付款指令"),
    "operations": ("Operations tried", "交易测试情况"),
    "verdicts": ("Requests and connections", "请求与连接统计"),
    "clients": ("Client certificates seen", "客户端证书"),
    "none": ("none", "无"),
    "result": ("result", "结论"),
    "bank": ("bank", "银行"),
    "rules": ("rules", "规则依据"),
    "version": ("bankgw", "bankgw 版本"),
    "made": ("made", "生成时间"),
    "period": ("period", "测试时段"),
    "number": ("no.", "序号"),
    "field": ("operation and field", "交易与字段"),
    "rule": ("rule", "规则"),
    "wrong": ("what is wrong", "问题"),
    "value": ("value, the first time", "首次的值"),
    "count": ("count", "次数"),
    "when": ("first – last", "首次 – 末次"),
    "source": ("the page's row", "文档出处"),
    "code": ("bank's code", "银行返回码"),
    "operation": ("operation", "交易"),
    "tried": ("tried", "测试"),
    "accepted": ("accepted", "接受"),
    "broken": ("break rules", "违反规则"),
    "refused": ("refused by business rules", "业务原因拒绝"),
    "never": ("never tried", "未测试"),
    "client": ("certificate", "证书"),
    "connections": ("connections", "连接数"),
    "exchanges": ("requests", "请求数"),
    "no certificate": ("without a certificate", "未出示证书"),
    "simulated": (
        "The bank of this report is simulated. Its rules are transcribed from public material; the bank's own test "
        "environment decides.",
        "本报告中的银行为模拟银行，规则据公开资料整理；以银行自己的测试环境为准。",
    ),
}
FINDING_COLUMNS = ("number", "field", "rule", "wrong", "value", "count", "when", "source", "code")
"""The columns of the table of findings."""
OPERATION_COLUMNS = ("operation", "tried", "accepted", "broken", "refused")
"""The columns of the table of operations."""
CLIENT_COLUMNS = ("client", "connections", "exchanges")
"""The columns of the table of client certificates."""


@dataclass(frozen=True, slots=True)
class ClientReport:
    """The content of the report on one visit: what the check saw, and what it stands on.

    `rules` names the bank's page with the digest of its text and of the rules that were transcribed from it.
    """

    check: ClientCheck
    bank: Bilingual
    rules: str
    version: str
    made: datetime


def report_on(check: ClientCheck, bank: str, version: str, made: datetime) -> ClientReport:
    """The report on what the check saw so far."""
    profile = tried(bank).profile
    return ClientReport(
        check, (f"{profile.title} ({bank})", f"{profile.title_zh}（{bank}）"), rules_label(bank), version, made
    )


def rules_label(bank: str) -> str:
    """The bank's page by path and heading, and the first digits of the SHA-256 of the page and of the twin's rules."""
    folder, digest = resources.files(f"protocols.banks.{bank}"), hashlib.sha256()
    page = folder.joinpath("README.md").read_text("utf-8")
    digest.update(page.encode())
    for file in sorted(folder.iterdir(), key=lambda one: one.name):
        if file.name.startswith("twin") and file.name.endswith(".py"):
            digest.update(file.read_bytes())
    heading = page.partition("\n")[0].lstrip("# ").strip()
    return f"protocols/banks/{bank}/README.md: {heading}; sha256 {digest.hexdigest()[:_DIGEST_CHARS]}"


def write_report(told: ClientReport, folder: Path) -> tuple[list[Path], list[str]]:
    """Write the report in both languages as HTML and PDF; returns the files, and why a PDF could not be made."""
    folder.mkdir(parents=True, exist_ok=True)
    files, notes = [], []
    for language in LANGS:
        page = folder / f"client-report.{language}.html"
        page.write_text(html(told, language), "utf-8")
        files.append(page)
        try:
            printed = folder / f"client-report.{language}.pdf"
            printed.write_bytes(pdf(told, language))
            files.append(printed)
        except NoPdf as error:
            notes.append(str(error))
    return files, list(dict.fromkeys(notes))


class _Page:
    """The tables of a report in one language, every cell as text."""

    def __init__(self, told: ClientReport, language: Lang) -> None:
        self.told = told
        self._index = LANGS.index(language)

    def word(self, name: str) -> str:
        return _WORDS[name][self._index]

    def of(self, text: Bilingual) -> str:
        return text[self._index]

    def heads(self, columns: Sequence[str]) -> list[str]:
        return [self.word(one) for one in columns]

    def result(self) -> str:
        check = self.told.check
        rules, repeats = len(check.groups), len(check.repeats())
        known, tried_ = len(check.counts), len(check.counts) - len(check.untried())
        if not rules and not repeats:
            english, chinese = "no findings", "无发现"
        else:
            english = f"findings: {rules}; orders sent again: {repeats}"
            chinese = f"发现 {rules} 处，重复提交的指令 {repeats} 笔"
        return self.of(
            (f"{english}; operations tried: {tried_} of {known}", f"{chinese}；{known} 种交易中测试了 {tried_} 种")
        )

    def facts(self) -> list[tuple[str, str]]:
        told, check = self.told, self.told.check
        last = moment_text(check.last_ms, f"{_DAY} %z")
        span = f"{moment_text(check.first_ms, _DAY)} – {last}" if check.first_ms else "-"
        return [
            (self.word("result"), self.result()),
            (self.word("bank"), self.of(told.bank)),
            (self.word("rules"), told.rules),
            (self.word("period"), span),
            (self.word("made"), told.made.astimezone().strftime(f"{_DAY} %z")),
            (self.word("version"), told.version),
        ]

    def findings(self) -> list[list[str]]:
        rows = []
        for number, one in enumerate(self.told.check.groups.values(), start=1):
            label = f" ({self.of(reconstructed())})" if one.is_reconstructed else ""
            rows.append(
                [
                    str(number),
                    " ".join(filter(None, (one.operation, one.place))) or "-",
                    self.of(one.rule),
                    self.of(one.words),
                    one.value,
                    str(one.count),
                    self._span(one.first_ms, one.last_ms),
                    f"{self.of(one.source)}{label}",
                    one.code,
                ]
            )
        return rows

    def _span(self, first_ms: int, last_ms: int) -> str:
        """A first and a last time; with the day only if the visit took several."""
        check = self.told.check
        days = {moment_text(one, "%Y-%m-%d") for one in (check.first_ms, check.last_ms)}
        shape = "%H:%M:%S" if len(days) == 1 else "%m-%d %H:%M:%S"
        return " – ".join(dict.fromkeys((moment_text(first_ms, shape), moment_text(last_ms, shape))))

    def operations(self) -> list[list[str]]:
        return [
            [name, str(one.tried) if one.tried else self.word("never")]
            + ([str(one.accepted), str(one.broken), str(one.refused)] if one.tried else ["", "", ""])
            for name, one in self.told.check.counts.items()
        ]

    def verdicts(self) -> list[tuple[str, str]]:
        counts = self.told.check.verdicts
        return [(self.of(COUNTED[one]), str(counts[one])) for one in ExchangeVerdict]

    def clients(self) -> list[list[str]]:
        return [
            [name or self.word("no certificate"), str(len(one.connections)), str(one.exchanges)]
            for name, one in self.told.check.clients.items()
        ]


# ---- HTML --------------------------------------------------------------------------------------------------------

_STYLE = """
body { font: 14px/1.5 "Noto Sans CJK SC", "Noto Sans SC", sans-serif; color: #111 }
body { margin: 2rem auto; max-width: 88rem; padding: 0 1rem }
h1 { font-size: 1.6rem } h2 { font-size: 1.2rem; margin-top: 2rem }
table { border-collapse: collapse } .wide { width: 100% }
th, td { border: 1px solid #bbb; padding: .3rem .5rem; text-align: left; vertical-align: top }
th, td { overflow-wrap: break-word }
th { background: #eee; white-space: nowrap } td.key { background: #eee; font-weight: bold }
.value { overflow-wrap: anywhere; min-width: 12rem }
.bad { color: #a00; font-weight: bold } .good { color: #060; font-weight: bold } .never td { color: #666 }
.note { color: #555 }
@media (max-width: 760px) {
  .rows, .rows tbody, .rows tr, .rows td { display: block; width: auto }
  .rows tr.heads { display: none } .rows tr { border: 1px solid #bbb; margin-bottom: .8rem }
  .rows td { border: 0; border-bottom: 1px solid #eee }
  .rows td { display: grid; grid-template-columns: 7.5rem 1fr; gap: .5rem; white-space: normal }
  .rows td:empty { display: none } td.key { min-width: 4.5rem }
  .rows td::before { content: attr(data-head); color: #555; white-space: normal }
}
"""


def html(told: ClientReport, language: Lang) -> str:
    """The report as one HTML page, without content from other servers."""
    page = _Page(told, language)
    name = f"{page.word('title')} · {page.of(told.bank)}"
    found = bool(told.check.findings())
    facts = "".join(
        f'<tr><td class="key">{escape(key)}</td><td{_marked(at, found)}>{escape(value)}</td></tr>'
        for at, (key, value) in enumerate(page.facts())
    )
    verdicts = "".join(
        f'<tr><td class="key">{escape(key)}</td><td>{escape(value)}</td></tr>' for key, value in page.verdicts()
    )
    repeats = "".join(f"<li>{escape(page.of(one).strip())}</li>" for one in told.check.repeats())
    none = f"<p>{escape(page.word('none'))}</p>"
    return (
        f'<!DOCTYPE html><html lang="{"zh-CN" if language == "zh" else "en"}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(name)}</title><style>{_STYLE}</style></head><body><h1>{escape(name)}</h1>"
        f"<h2>{escape(page.word('summary'))}</h2><table>{facts}</table>"
        f'<p class="note">{escape(page.word("simulated"))}</p>'
        f"<h2>{escape(page.word('findings'))}</h2>{_rows(page, FINDING_COLUMNS, page.findings()) or none}"
        f"<h2>{escape(page.word('repeats'))}</h2>{f'<ul>{repeats}</ul>' if repeats else none}"
        f"<h2>{escape(page.word('operations'))}</h2>{_rows(page, OPERATION_COLUMNS, page.operations()) or none}"
        f"<h2>{escape(page.word('verdicts'))}</h2><table>{verdicts}</table>"
        f"<h2>{escape(page.word('clients'))}</h2>{_rows(page, CLIENT_COLUMNS, page.clients()) or none}</body></html>\n"
    )


def _marked(at: int, found: bool) -> str:
    """The class of the result, which is the first of the facts."""
    return "" if at else f' class="{"bad" if found else "good"}"'


def _rows(page: _Page, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose rows stand as cards on a narrow screen; empty without rows."""
    if not rows:
        return ""
    heads = page.heads(columns)
    top = "".join(f"<th>{escape(one)}</th>" for one in heads)
    never, value = page.word("never"), page.word("value")
    body = "".join(
        ('<tr class="never">' if never in row else "<tr>")
        + "".join(
            f'<td{" class=value" if head == value else ""} data-head="{escape(head)}">{_block(cell)}</td>'
            for head, cell in zip(heads, row, strict=True)
        )
        + "</tr>"
        for row in rows
    )
    return f'<table class="rows wide"><tr class="heads">{top}</tr>{body}</table>'


def _block(cell: str) -> str:
    return f"<div>{escape(cell)}</div>" if cell else ""


# ---- PDF ---------------------------------------------------------------------------------------------------------


def pdf(told: ClientReport, language: Lang, folders: Sequence[str] = FONT_FOLDERS) -> bytes:
    """The report as a PDF. Raises NoPdf."""
    template = resources.files("gateway.jointtest").joinpath("client_report.typ").read_text("utf-8")
    page = _Page(told, language)
    data: dict[str, object] = {
        "language": language,
        "title": page.word("title"),
        "name": page.of(told.bank),
        "found": bool(told.check.findings()),
        "facts": page.facts(),
        "note": page.word("simulated"),
        "words": {one: page.word(one) for one in _WORDS},
        "finding_heads": page.heads(FINDING_COLUMNS),
        "findings": page.findings(),
        "repeats": [page.of(one).strip() for one in told.check.repeats()],
        "operation_heads": page.heads(OPERATION_COLUMNS),
        "operations": page.operations(),
        "verdicts": page.verdicts(),
        "client_heads": page.heads(CLIENT_COLUMNS),
        "clients": page.clients(),
    }
    return typeset(template, data, "joint-test", folders)
