"""The parts of a cash pool's text in both languages, as two persons sign them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gateway.language import BilingualText, bilingual, coded, listed
from gateway.pools.rules import pool as pool_text
from gateway.pools.rules.pool import DownRule, Pool, UpRule

CLOSED: Mapping[str, str] = {pool_text.NONE: "关闭"}
_NAMES: Mapping[str, str] = {
    "header": "主账户",
    "slots": "时段",
    "floor": "最低留存",
    "least": "最低划转金额",
    "round": "取整单位",
    "most-run": "单次运行上限",
    "most-day": "每日上限",
    "fresh": "余额有效秒数",
    "calendar": "日历",
    "contract": "合同",
    "quota": "成员额度",
    "until": "有效期至",
    "up": "上划",
    "down": "下拨",
    "below": "低于此余额才下拨",
}
_RULES: Mapping[tuple[str, str], str] = {
    ("up", UpRule.ALL): "全额",
    ("up", UpRule.FIXED): "定额",
    ("up", UpRule.PART): "按百分比",
    ("up", UpRule.KEEP): "留底余额",
    ("down", DownRule.FIXED): "定额",
    ("down", DownRule.TARGET): "补足目标余额",
}


def bilingual_lines(pool: Pool | None) -> Sequence[BilingualText | str]:
    """The pool's head and children as lines in both languages; the English ones are those of `pool.lines`. A closed
    pool has one line."""
    if pool is None:
        return [coded(pool_text.NONE, CLOSED)]
    head = bilingual(
        "pool {currency} {values}",
        "资金池，币种 {currency}，{values}",
        currency=pool.currency,
        values=_values(pool.head_values()),
    )
    children = (
        bilingual(
            "child {account} {values}",
            "成员账户 {account}，{values}",
            account=one.account,
            values=_values(pool.child_values(one)),
        )
        for one in pool.children
    )
    return [head, *children]


def _values(said: Mapping[str, object]) -> BilingualText:
    parts = [
        bilingual(f"{name}={{value}}", f"{_NAMES[name]} {{value}}", value=_value(name, value))
        for name, value in pool_text.written(said).items()
    ]
    return listed(parts, (" ", "，"))


def _value(name: str, value: str) -> BilingualText | str:
    rule, colon, number = value.partition(":")
    meaning = _RULES.get((name, rule))
    if meaning is None:
        return value
    if not colon:
        return coded(rule, {rule: meaning})
    return bilingual("{rule}:{number}", "{rule} {number}", rule=coded(rule, {rule: meaning}), number=number)
