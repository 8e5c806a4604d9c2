"""The reasons of verdicts in Chinese. Plays write them in English into the journal; reports and terminals show both.

A template has `{}` for each value. A reason is several sentences with `; ` between; one that no template fits is shown
as it is. Names of states and codes stand in the reason as the ERP gets them; the Chinese name follows a state. Of a
refusal's fault, the gateway's own sentence follows the Chinese meaning of its code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache

from gateway.kernel.core.code_names import STATE_NAMES
from protocols.canon.errors import CODES, FIELD_CODES, Code, FieldCode

_TEMPLATES: Mapping[str, str] = {
    "this bank declares no {}": "该银行没有此类业务：{}",
    "this bank has no message that tells of returned money": "该银行没有告知退汇的报文",
    "this bank takes payments in bundles only": "该银行只受理批量付款",
    "this bank has no message for the rail {}": "该银行没有此汇路的报文：{}",
    "this bank has no message for balances of past days": "该银行没有查询历史余额的报文",
    "this bank takes no {} orders": "该银行不接受此加急程度的指令：{}",
    "this bank has agreed to one exchange at a time": "该银行约定一次只处理一个请求",
    "this bank declares no such limit": "该银行没有此类限制",
    "this bank answers no question of the sort {}": "该银行不提供此类查询：{}",
    "there is no value called {}": "没有名为 {} 的取值",
    "the bank declares no limit of {}": "该银行没有声明 {} 的长度限制",
    "no plain text fits {}": "没有适合 {} 的普通文本",
    "the contract's own limit, {} characters, comes before the bank's at {}": (
        "网关自身的上限 {} 字先于银行对 {} 的限制"
    ),
    "{} is over the cap of an order, {}": "{} 超过单笔上限 {}",
    "{} more would be over the cap of an account, {}": "再加 {} 将超过单账户上限 {}",
    "{} more would be over the cap of {}, {}": "再加 {} 将超过 {} 的上限 {}",
    "not sent: {}": "未发送：{}",
    "the twin had no occasion for the fault: nothing was shown": "模拟银行没有机会产生该故障，未能说明问题",
    "{} of {} messages were not answered": "{} 条报文没有应答，共 {} 条",
    "no refusal {}": "没有出现应有的拒绝 {}",
    "refusals: {}": "实际的拒绝：{}",
    "never told: {}": "从未告知的状态：{}",
    "told: {}": "已告知：{}",
    "no answer within {} s": "{} 秒内没有应答",
    "no answer in time": "没有及时应答",
    "no answer": "没有应答",
    "the refusal names {}, not {}": "拒绝所指为 {}，应为 {}",
    "answered {}, not {}": "应答为 {}，应为 {}",
    "answered {}, expected {}": "应答为 {}，应为 {}",
    "answered {}": "应答为 {}",
    "{}: carried out {} times, not {}": "{}：执行了 {} 次，应为 {} 次",
    "the bank's code is {}, expected {}": "银行返回码为 {}，应为 {}",
    "nothing told has the words {}": "所得内容中没有文字 {}",
    "{} is {}, expected {}": "{} 为 {}，应为 {}",
    "{} is {} for good, expected {}": "{} 最终为 {}，应为 {}",
    "{} is {} after {} s, expected {}": "{0} 等待 {2} 秒后仍为 {1}，应为 {3}",
    "{} is not heard of after {} s, expected {}": "{1} 秒后仍无 {0} 的消息，应为 {2}",
    "{} is {}": "{} 为 {}",
    "the bank's 'not found' counts from then on": "此后银行的“查无”才算数",
    "items are {}, expected {} {}": "各笔为 {}，应为 {} {}",
    "the second order is {}": "第二笔为 {}",
    "held: {}": "待放行：{}",
    "withdrawn afterwards": "随后撤销",
    "was {}, then answered {}": "先为 {}，随后应答 {}",
    "the order is {} though the line was down": "线路中断，指令却为 {}",
    "{} orders settled in {} s, window {}": "{} 笔在 {} 秒内成功，并发数 {}",
    "by hand: `bankgw joint-test record` when it is done": "人工用例：完成后以 `bankgw joint-test record` 登记",
    "the gateway still has the certificate that ends at {}": "网关仍使用 {} 到期的证书",
    "the gateway did not come up with the new certificate: {}": "网关未能以新证书启动：{}",
    "paid": "已付款",
    "the statement of that day is asked for when the day is over": "当日结束后查询当日对账单",
    "the bank makes receipts of past days only": "银行只提供往日回单",
    "{} to {}, by the balances of both days": "{} 至 {}（按两日余额核对）",
    "none of {} entries of {} is {}": "{1} 的 {0} 笔明细中没有 {2}",
    "the bank has not closed {}": "银行尚未日终：{}",
    "{}: {} entries, {} to {}": "{}：{} 笔明细，余额 {} 至 {}",
    "{}: {} entries": "{}：{} 笔明细",
    "this bank states no balances that they could be compared with": "该银行不提供可核对的余额",
    "the bank told no balance of {} or of the day before": "银行未提供 {} 或前一日的余额",
    "the bank told no balance": "银行未提供余额",
    "{} make {}": "{} 合计 {}",
    "the balance went from {} to {}": "余额由 {} 变为 {}",
    "the bank names no entry: it cannot be asked for its receipt": "银行未给出明细编号，无法查询其回单",
    "{}: the bank may make receipts of past days only": "{}：银行可能只提供往日回单",
    "the bank is still making the receipt": "银行仍在生成回单",
    "{}, {} bytes, {}": "{}，{} 字节，{}",
    "the gateway has no lane of {}": "网关没有 {} 的通道",
    "{} of {} balances": "{} 个余额，应有 {} 个",
    "the simulated bank has no books of yesterday": "模拟银行没有昨日的账",
    "the balance fell by {}, {} was paid": "余额减少 {}，付款为 {}",
    "fell by {}": "余额减少 {}",
    "{} entries of {} are this payment's": "{1} 笔明细中有 {0} 笔属于该付款",
    "1 entry": "1 笔明细",
    "matched {}": "匹配的付款：{}",
    "the gateway has not matched it to the payment": "网关尚未将其与付款匹配",
    "did you mean {}?": "是否为 {}？",
    "no end after {} pages": "{} 页之后仍未结束",
    "{} entries today: too few to page through": "今日 {} 笔明细，不足以翻页",
    "{} entries came twice in {} pages": "{} 笔明细重复，共 {} 页",
    "{} entries are missing from {} pages": "缺少 {} 笔明细，共 {} 页",
    "{} entries in {} pages of at most {}": "{} 笔明细，{} 页，每页最多 {} 笔",
    "no entries on {}": "{} 没有明细",
    "{} entries on {}": "{1} 有 {0} 笔明细",
    "{} branches": "{} 个网点",
    "{} in {} s": "{} 用时 {} 秒",
    "would be {}": "将会：{}",
    "{}, then {}": "先 {}，后 {}",
    "the twin's clock cannot be moved: it has later entries, or this is no twin": (
        "模拟银行的时钟不能调整：已有更晚的明细，或对方不是模拟银行"
    ),
    "the answer was {}": "应答为 {}",
    "step {}, {}: {}": "第 {} 步（{}）：{}",
    "this bank's orders are never sent again: a person decides": "该银行的指令从不重发：由人工决定",
    "the bank was asked about {} {} times only": "关于 {} 只向银行查询了 {} 次",
    "{} was sent {} times, not once": "{} 发送了 {} 次，应只发送一次",
    "{} stays {}": "{} 仍为 {}",
    "sent once, asked about {} times in {} s": "只发送一次，{1} 秒内查询 {0} 次",
    "persons decide": "由人工决定",
    "step {}, {}, done again: {}": "第 {} 步（{}），重做：{}",
    "the steps of the case were changed since it began": "用例的步骤在开始之后有改动",
    "play it again with `run --case`": "请以 `run --case` 重做",
    "a command that the run's journal names cannot be read: {}": "测试日志所列的命令文件无法读取：{}",
    "a production check moves at most {} between two own accounts": "生产小额验证在两个本企业账户之间最多划转 {}",
    "nothing was ordered, no money moved": "未提交指令，资金未动",
    "{} is {}, not held: {}": "{} 为 {}，未待放行：{}",
    "the gateway does not show {}": "网关没有显示 {}",
    "{} was carried out, and nobody released it": "{} 已执行，但无人放行",
    "{} gave it and released it: two persons are needed": "{} 既提交又放行：须由两人完成",
    "carried out": "已执行",
    "its day's statement and receipt come then": "届时核对当日对账单与回单",
    "this bank answers no question about receipts": "该银行不提供回单查询",
    "this bank gives no receipt of a single payment": "该银行不提供单笔付款的回单",
    "receipt {}": "回单 {}",
    "interrupted": "曾中断",
    "asked again: {}": "再次查询：{}",
    "nothing was published": "未提交任何内容",
    "only a twin can show this": "只有模拟银行能展示",
    "only the bank can show this": "只有银行能展示",
    "it does not count as the other's": "不算作另一方的结论",
    "cases move money in test environments only": "用例只在测试环境动用资金",
    "this is production": "此处为生产环境",
    "no relay stands on the line: `bankgw joint-test relay`, then [relay]": (
        "线路上没有代理：先运行 `bankgw joint-test relay`，再填写 [relay]"
    ),
    "the bank makes this fault: agree on a time and record it by hand": "此故障须由银行产生：约定时间后人工登记",
    "the bank has not said what makes it {}: [triggers]": "银行尚未告知如何触发 {}：填写 [triggers]",
    "the bank has given us one account only": "银行只提供了一个账户",
    "a transfer needs two": "内部转账须有两个账户",
}
_CODES = frozenset(CODES)
_NAMES = {str(state): name for state, name in STATE_NAMES.items()}
_REFUSED = re.compile(rf"(?:(?:{'|'.join(CODES)}): )?(/\S*) ({'|'.join(FIELD_CODES)}): (.+)")
_STATE = re.compile(rf"\b({'|'.join(sorted(_NAMES, key=len, reverse=True))})\b")


def in_chinese(reason: str) -> str:
    """A reason in Chinese, sentence by sentence."""
    return "；".join(_sentence(one) for one in reason.split("; "))


def reason_in(reason: str, language: str) -> str:
    """A reason in the language: `zh`, or else as it was written."""
    return in_chinese(reason) if language == "zh" else reason


def _sentence(english: str) -> str:
    fault = _REFUSED.fullmatch(english)
    if fault is not None:
        at, code, detail = fault.groups()
        return f"{at}：{FIELD_CODES[FieldCode(code)][1]}（{code}：{detail}）"
    if english in _CODES:
        return f"{CODES[Code(english)].meaning_zh}（{english}）"
    for pattern, chinese in _patterns():
        found = pattern.fullmatch(english)
        if found is not None:
            values = list(map(_stated, found.groups()))
            if chinese.endswith("：{}"):
                # What follows a colon at the end is a sentence of its own.
                values[-1] = _sentence(found.groups()[-1])
            return chinese.format(*values)
    return _stated(english)


def _stated(text: str) -> str:
    """The text, each state followed by its Chinese name."""
    return _STATE.sub(lambda found: f"{found[1]}（{_NAMES[found[1]]}）", text)


@cache
def _patterns() -> tuple[tuple[re.Pattern[str], str], ...]:
    return tuple(_compiled())


def _compiled() -> Iterator[tuple[re.Pattern[str], str]]:
    """The templates as patterns. One with another sentence behind its colon comes before the sentences, and one with
    more plain text before one with less, because it says more.
    """

    def order(pair: tuple[str, str]) -> tuple[bool, int]:
        english, chinese = pair
        return chinese.endswith("：{}"), len(english.replace("{}", ""))

    for english, chinese in sorted(_TEMPLATES.items(), key=order, reverse=True):
        yield re.compile("(.+?)".join(map(re.escape, english.split("{}")))), chinese
