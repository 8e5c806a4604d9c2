"""The sheet for the bank's stamp (盖章): one page in both languages with the root of the evidence pack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources

from gateway.jointtest.pack_root import qr_svg
from gateway.jointtest.report import (
    LANGUAGES,
    ReportContents,
    ReportLanguage,
    facts,
    foot,
    open_cases,
    root_text,
    summary,
)
from gateway.reports.typesetting import FONT_FOLDERS, typeset

_WORDS: Mapping[str, str] = {
    "title": "联调测试确认单 · Joint test confirmation",
    "counts": "结论汇总 Verdicts",
    "verdict": "结论 verdict",
    "cases": "案例数 cases",
    "at_bank": "银行侧见证 seen at the bank",
    "at_twin": "模拟器见证 seen at a twin",
    "root": "证据包根校验值（SHA-256） Root of the evidence pack (SHA-256)",
    "check": "核对方法 To check: bankgw joint-test verify PACK --root ROOT",
    "key": "签名密钥指纹 Fingerprint of the signing key",
    "confirm": (
        "双方确认：本次联调的结论与证据以上述根校验值对应的证据包为准。"
        "Both sides confirm that the verdicts and the evidence of this joint test are those of the pack with this root."
    ),
    "ours": "企业方（盖章） For the company (stamp)",
    "theirs": "银行方（盖章） For the bank (stamp)",
    "name": "姓名 name",
    "signature": "签字 signature",
    "date": "日期 date",
}


def pdf(told: ReportContents, folders: Sequence[str] = FONT_FOLDERS) -> bytes:
    """The sheet as a PDF of one page. Raises NoPdf."""
    template = resources.files("gateway.jointtest").joinpath("stamp_sheet.typ").read_text("utf-8")
    return typeset(template, _data(told), "joint-test", folders)


def _data(told: ReportContents) -> dict[str, object]:
    english, chinese = (ReportLanguage(language) for language in LANGUAGES)
    testers: Mapping[str, str] = told.about["testers"]
    return {
        "words": dict(_WORDS),
        "facts": [_pair(zh, en) for en, zh in zip(facts(told, english), facts(told, chinese))],
        "counts": [(f"{zh[0]} {en[0]}", *en[1:]) for en, zh in zip(summary(told, english), summary(told, chinese))],
        "open_cases": [text for text in (open_cases(told, chinese), open_cases(told, english)) if text],
        "root": " / ".join(dict.fromkeys((root_text(told, chinese), root_text(told, english)))),
        "qr": qr_svg(told.root) if told.root else "",
        "fingerprint": told.fingerprint,
        "foot": foot(told, chinese),
        "testers": {"ours": testers.get("ours", ""), "bank": testers.get("bank", "")},
    }


def _pair(zh: tuple[str, str], en: tuple[str, str]) -> tuple[str, str]:
    """A line of the sheet's head, in both languages."""
    return f"{zh[0]} {en[0]}", " ".join(dict.fromkeys((zh[1], en[1])))
