"""Checks Chinese texts: full-width punctuation, and for each thing the one term that finance and banks write.

It does not ship. Code, the targets of links and the lines of commands are not looked at.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping

# Han characters, and the marks that stand in Chinese text only.
_HAN = r"[\u3400-\u9fff、。，；：！？（）《》]"
_HALF = re.compile(rf"(?:(?<={_HAN})|(?<={_HAN}[`*]))[,:;!?()]|[,:;!?()](?=[`*]{{0,2}}\s?{_HAN})")
_CODE = re.compile(r"^ *```.*?^ *```|<!--.*?-->", re.MULTILINE | re.DOTALL)

# A term that is not written, by what is written for it. The pattern spares what is right in another sense.
TERMS: Mapping[str, str] = {
    r"订单|下单": "付款指令, 提交 (订单 is a sales or purchase order)",
    r"挂起|扣住|扣留": "待放行",
    r"存疑": "结果未知; after the deadline 待人工裁定",
    r"(?<!“)退票|已退回": "退汇 (退票 only as a bank's word, in quotation marks)",
    r"冲账": "冲正",
    r"代扣": "代收",
    r"日志库|日志数据库|账本|账簿": "网关流水库 (our journal), 银行账 (the bank's), 银行存款日记账 (the ERP's)",
    r"未达(?!账项|到|标)|(?<!、)企业未收": "未达账项",
    r"SHA-256 ?摘要|摘要值|报文摘要|内容摘要": "校验值 (摘要 is the narrative of an entry)",
    r"席位": "本人及其受托人视为同一人",
    r"录入人员|会计乙|会计 ?[AB]": "经办人, 复核会计",
    r"对照端": "模拟银行(挡板)",
    r"消息代理|消息中间件|代理(?:已|未)?(?:保存|确认|投递|拒绝)": "消息服务器",
    r"保险库": "数据加密主密钥",
    r"杀死|杀掉|杀进程": "强制终止",
    r"命中": "受影响",
    r"轧平|轧不平": "余额与明细核对相符",
    r"应答两次": "重复提交",
    r"发送方|发件方": "来源系统",
}


def _prose(markdown: str) -> str:
    """The text without code blocks and comments, with an x for inline code, and without the targets of links."""
    bare = _CODE.sub("", markdown)
    bare = re.sub(r"`[^`\n]+(?:\n[^`\n]+)?`", "`x`", bare)
    return re.sub(r"\]\([^)\s]*\)", "]", bare)


def halfwidth(markdown: str) -> list[str]:
    """The half-width marks beside Chinese characters, each with the text around it."""
    bare = _prose(markdown)
    return [bare[max(0, one.start() - 12) : one.end() + 12] for one in _HALF.finditer(bare)]


def wrong_terms(markdown: str) -> list[str]:
    """The terms that have another word, each with that word."""
    bare = _prose(markdown)
    return [f"{one[0]}: write {right}" for wrong, right in TERMS.items() for one in re.finditer(wrong, bare)]


def codes(markdown: str) -> set[str]:
    """The inline code of a page, each with its blanks as one."""
    return {" ".join(one.split()) for one in re.findall(r"`([^`]+)`", _CODE.sub("", markdown))}


def targets(path: str, markdown: str) -> Iterator[tuple[str, str]]:
    """The links of a page to files here: their words and the file."""
    bare = re.sub(r"`[^`\n]*`", "x", _CODE.sub("", markdown))
    for words, target in re.findall(r"\[([^\]]*)\]\(([^)\s]+)\)", bare):
        file = target.partition("#")[0]
        if file and not re.match(r"[a-z+]+:|//", target):
            yield words, os.path.normpath(os.path.join(os.path.dirname(path), file))


def astray(path: str, markdown: str, exists: Callable[[str], bool]) -> list[str]:
    """The links of a Chinese page to an English page that has a Chinese twin; its own original does not count."""
    return [
        target
        for _words, target in targets(path, markdown)
        if target.endswith(".md")
        and not target.endswith(".zh.md")
        and target != path.replace(".zh.md", ".md")
        and exists(target.replace(".md", ".zh.md"))
    ]
