"""The texts of the demo's report in English and Chinese, keyed by the English text or by a paragraph's name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from gateway.language import Lang


@dataclass(frozen=True, slots=True)
class Phrase:
    """A sentence with values in it: `template` is English, and its {names} are filled from `values`."""

    template: str
    values: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))

    def __str__(self) -> str:
        return self.template.format(**self.values)

    def startswith(self, text: str) -> bool:
        """Whether the English sentence begins with `text`."""
        return str(self).startswith(text)


Said = str | Phrase


def phrase(template: str, **values: object) -> Phrase:
    """Make a sentence that can be printed in both languages."""
    return Phrase(template, values)


@dataclass(frozen=True, slots=True)
class LanguageTexts:
    """The texts in one language."""

    lang: Lang = "en"

    def __call__(self, said: Said, **values: object) -> str:
        """A sentence in this language. Without values, a text without translation (an id, a bank's name) stays
        unchanged.

        Raises KeyError for a sentence with values that has no translation.
        """
        template, filled = (said.template, {**said.values, **values}) if isinstance(said, Phrase) else (said, values)
        if self.lang == "zh":
            strict = isinstance(said, Phrase) or filled
            template = ZH[template] if strict else ZH.get(template, template)
        return template.format(**filled) if filled else template

    def text(self, name: str, **values: object) -> str:
        """A paragraph of TEXTS."""
        return TEXTS[name][self.lang == "zh"].format(**values)


ZH: Mapping[str, str] = {
    "bankgw demo": "银企直联网关 演示",
    "every payment, exactly once": "每笔付款，恰好一次",
    "Every order was carried out once or not at all: nothing was paid twice, nothing was lost.": (
        "每笔付款指令要么恰好执行一次，要么没有执行：没有重复付款，没有丢失。"
    ),
    "Something does not agree. What was found is listed below; please report it.": (
        "有不一致之处。发现的问题列在下面，请报告。"
    ),
    "settled includes {back} that came back later; rejected includes {withdrawn} withdrawn and {expired} "
    "expired unsent; of those in doubt the bank never booked {unbooked}": (
        "成功之中有 {back} 笔后来退回；拒绝之中有 {withdrawn} 笔撤回、{expired} 笔未发出即过期；结果未知之中有 "
        "{unbooked} 笔银行从未入账"
    ),
    "orders": "付款指令",
    "settled": "成功",
    "failed": "失败",
    "rejected": "拒绝",
    "in doubt": "结果未知",
    "duplicated": "重复",
    "lost": "丢失",
    "times the gateway was killed": "次强制终止网关",
    "faults of the banks": "次银行故障",
    "paid twice": "笔重复付款",
    "from start to comparison": "从开始到核对完毕",
    "Sums of money": "资金合计",
    "currency": "币种",
    "the ERP's orders": "ERP 的付款指令",
    "gateway's journal": "网关流水库",
    "banks' ledgers": "银行账",
    "equal": "一致",
    "carried out": "已执行",
    "of this, came back later": "其中后来退回",
    "not carried out: refused, invalid or withdrawn": "未执行：被拒、无效或撤回",
    "ordered in all": "付款指令合计",
    "{count} payments": "{count} 笔",
    "What happened when": "时间线",
    "Orders taken and settled over time, with the banks' faults and the kills": (
        "付款指令受理与成功的进程、银行故障与强制终止网关的时刻"
    ),
    "orders the gateway has taken": "网关已受理的付款指令",
    "orders settled at the bank": "银行已成功的付款指令",
    "faults of the banks (larger: more in one second)": "银行故障（点越大，该秒内越多）",
    "gateway killed; the band ends when it is heard again": "网关被强制终止；色带到网关再次发声为止",
    "from here on the banks behave": "此后银行不再出错",
    "kill": "强制终止",
    "What happened": "经过",
    " After {calm:.0f} s the banks behaved, so that the fate of what was under way could be found out.": (
        "{calm:.0f} 秒之后银行恢复正常，以便查清在途付款的结果。"
    ),
    "What was checked": "核对了什么",
    "promise": "承诺",
    "holds": "成立",
    "found": "结果",
    "yes": "是",
    "NO": "否",
    "Findings": "发现的问题",
    "what": "问题",
    "about": "对象",
    "in words": "说明",
    "no order was carried out twice": "没有一笔付款指令执行两次",
    "{executions} executions in the ledgers, {moved} of them moved money; {duplicated} orders twice": (
        "银行账中有 {executions} 次执行，其中 {moved} 次动了资金；{duplicated} 笔付款指令两次"
    ),
    "nothing left that needs approvers whose valid signatures are not there": "需要复核的付款，没有有效签名就没有发出",
    "{approved} approved, {without} without approval, {waiting} still waiting; {unlike} with words unlike their form": (
        "已复核 {approved} 笔，未经复核 {without} 笔，仍待复核 {waiting} 笔；文字与所签内容不符 {unlike} 笔"
    ),
    "every order and every command is answered for": "每笔付款指令、每条命令都有答复",
    "{orders} orders, {commands} commands; {lost} without a final word or an answer": (
        "{orders} 笔付款指令，{commands} 条命令；{lost} 个没有最终结果或答复"
    ),
    "ledgers, journal and events say the same": "银行账、网关流水库与 ERP 收到的消息逐笔一致",
    "{count} differences": "{count} 处不一致",
    "the sums of money are equal in the orders, the journal and the ledgers": (
        "付款指令、网关流水库、银行账的资金合计一致"
    ),
    "{currency} {paid} carried out, {back} of it came back": "{currency} {paid} 已执行，其中 {back} 退回",
    "a bank met a reference again only as a repeat that its rules allow, byte for byte": (
        "银行再次遇到同一流水号，只能是其规则允许的逐字节相同的重发"
    ),
    "{repeats} repeats, {unfit} of them not allowed or not byte for byte; the banks met {met} references "
    "they had already": ("{repeats} 次重发，其中 {unfit} 次不被允许或字节不同；银行 {met} 次遇到已有的流水号"),
    "the daemon's log shows no defect of its own": "守护进程的日志中没有自身缺陷",
    "statements, receipts and branches are the banks' own": "对账单、回单、网点与银行的一致",
    "{good} as the banks have them": "{good}，与银行的一致",
    "the daemon leaves in order on SIGTERM": "守护进程收到 SIGTERM 后有序退出",
    "exit code {code} after {took}": "{took} 后以退出码 {code} 结束",
    "still there after {took}; killed": "{took} 后仍未退出，已强制终止",
    "no account number, name or password can be read in the raw files": "原始文件中读不到账号、户名或口令",
    "{secrets} of them looked for in {files} files, journal and log; {leaks} found": (
        "在 {files} 个文件（网关流水库与日志）中查找 {secrets} 个，找到 {leaks} 个"
    ),
    "none": "无",
    "{runs} runs moved {sum} CNY in {count} transfers": "{runs} 次归集以 {count} 笔调拨归集 {sum} CNY",
    "cash pools moved what they planned, once, and left what must stay": "资金池按计划归集，各一次，应留余额留足",
    "{entries} entries have their voucher, {payments} payments their entry, {open} vouchers are open; {wrong} wrong; "
    "{reports} reports": (
        "{entries} 笔流水有凭证，{payments} 笔付款有流水，{open} 张凭证无对应明细；错配 {wrong} 笔；报表 {reports} 份"
    ),
    "statements and books are matched as the ledgers have it, and last month is closed": (
        "对账单与日记账的勾对与银行账一致，上月余额调节表已结平"
    ),
    "Reports that the gateway made": "网关出具的报表",
    "For engineers": "技术细节",
    "The checks in detail": "核对的细节",
    "Kills": "强制终止网关",
    "at": "时刻",
    "process": "进程",
    "commands sent by then": "此前已发命令",
    "orders under way": "在途付款指令",
    "found in sending": "发送中被打断",
    "heard again after": "再次发声用时",
    "Faults of the banks": "银行故障",
    "bank": "银行",
    "fault": "故障",
    "what the bank does": "银行的行为",
    "committed": "次数",
    "payments struck ended": "受影响的付款结局",
    "Orders by kind": "按种类",
    "kind": "种类",
    "ended": "结局",
    "Questions": "查询",
    "question": "查询",
    "asked": "次数",
    "answered": "答复",
    "The files of a few payments": "几笔付款的完整档案",
    "after": "用时",
    "detail": "细节",
    "{bank}, {amount} CNY from {debtor} to {creditor}, told {told}": (
        "{bank}，{amount} CNY，{debtor} 付 {creditor}，ERP 得知：{told}"
    ),
    "Where and how to run it again": "环境与重新运行",
    "Again: {again}. The same seed writes the same orders; what strikes which of them depends on the time too.": (
        "重新运行：{again}。同一种子写出同样的付款指令；哪笔受影响还取决于时间。"
    ),
    "machine": "机器",
    "libraries": "程序库",
    "journal": "网关流水库",
    "broker": "消息服务器",
    "banks": "银行",
    "seed": "种子",
    "returned": "已退汇",
    "cancelled": "已撤销",
    "expired": "已过期",
    "escalated": "待人工裁定",
    "accepted": "已受理",
    "pending": "处理中",
    "unheard of": "未收到消息",
    "nothing": "无",
    "reversed": "已冲正",
    "drop before": "入账前断开",
    "drop after": "入账后断开",
    "delay": "拖延",
    "half": "半截应答",
    "garbage": "乱码",
    "wrong signature": "签名错误",
    "others answer": "答成别人的",
    "twice": "重复应答",
    "refuse": "拒绝",
    "hide": "隐藏",
    "late return": "事后退汇",
    "duplicate": "答复重复",
    "part": "只做一半",
    "probe silence": "不答心跳",
    "closes without booking and without an answer": "不入账、不应答就断开",
    "books, then closes without an answer": "入账后不应答就断开",
    "books, answers only after a delay": "入账，过一段时间才应答",
    "books, closes in the middle of its answer": "入账，应答到一半断开",
    "books, answers with noise and closes": "入账，应答乱码后断开",
    "books, one byte of the signed part of its answer is changed": "入账，应答中被签名的内容改了一个字节",
    "books, repeats its answer to another payment": "入账，重复另一笔付款的应答",
    "books, sends its answer twice": "入账，应答发两次",
    "says no": "拒绝",
    "books, and answers that it had the order before (not in bundles)": "已入账，却答复此前已收到该指令（批量除外）",
    "books, closes without an answer, and does not find it for a while": "入账，不应答就断开，一段时间内查不到",
    "books and answers, the money comes back after a while": "入账并应答，过一段时间资金退回",
    "books the first half of a bundle, or a payment; no answer, closes": "只入账一批的前一半，或入账一笔；不应答就断开",
    "does not answer a sign-on or heartbeat": "不答复签到或心跳",
    "killed while it was being sent, then settled": "发送中网关被强制终止，后来成功",
    "the bank fell silent, then settled": "银行没有答复，后来成功",
    "hidden by the bank, then found": "银行一度查不到，后来找到",
    "settled, and the money came back": "成功后资金退回",
    "in doubt, then refused by the bank": "结果未知，后来银行拒绝",
    "still in doubt: the bank does not know it": "仍然结果未知：银行查不到",
    "published three times, paid once": "发布三次，只付一次",
    "withdrawn before it was sent": "发送前撤回",
    "how a fate became known at": "结果怎样得知：",
    "one of many in one message": "一条报文中的多笔之一",
    "written down, then sent": "先落盘，再发送",
    "bank's word": "银行答复",
    "told the ERP": "告知 ERP",
}
"""Short texts: the English one is the key to the Chinese one."""

TEXTS: Mapping[str, tuple[str, str]] = {
    "sums": (
        "Each column is added up from its own source: the orders with what the ERP was told, the gateway's "
        "database, and the books of the simulated banks. In doubt means that the bank has given no clear answer "
        "yet: the ledgers show how much of it the bank has booked.",
        "每一列各自从自己的来源相加：付款指令与 ERP 收到的消息、网关的数据库、模拟银行的账。"
        "结果未知表示银行尚未明确答复"
        "；银行账一列是其中银行已入账的部分。",
    ),
    "story": (
        "A company's ERP system sent {orders} payment orders to {banks} simulated banks through the gateway. "
        "Some orders were wrong on purpose, some were sent two or three times. Meanwhile the banks gave no "
        "answer, half an answer or a false one, and the gateway was stopped without warning {kills} times.{calm} "
        "In the end three accounts were compared, order by order: the banks' books, the gateway's journal and "
        "what the ERP was told.",
        "企业的 ERP 系统经网关向 {banks} 家模拟银行发出 {orders} 笔付款指令。有的故意写错，有的发了两三次。其间银"
        "行不答复、只答一半或答错，网关被毫无预警地强行停止 {kills} 次。{calm}最后逐笔核对三本账：银行的账、网关"
        "的网关流水库、ERP 收到的消息。",
    ),
    "doubt": (
        "An order in doubt is one that the bank does not know, or has said nothing about. That is no proof that "
        "it will never be paid. So the gateway goes on asking and does not send it again; after the bank's "
        "deadline it calls people. Waiting times are set to seconds here.",
        "结果未知的付款指令是银行说查不到或没有答复的付款指令。这并不证明它以后不会被支付，所以网关继续查询、不再发送；过了银行"
        "的期限就通知人工处理。这里的等待时间都设成了几秒。",
    ),
    "engineers": (
        "{commands} commands were published through RabbitMQ within {published:.0f} s, in JSON and XML, with "
        "{questions} questions among them. The gateway spoke to {banks} over mutual TLS, each in its own "
        "dialect. The seed fixes the orders and the rates of the faults.",
        "{commands} 条命令在 {published:.0f} 秒内经 RabbitMQ 发布，JSON 与 XML 都有，其中 {questions} "
        "个查询。网关以双向 TLS 与 {banks} 通信，各用各的报文。种子决定付款指令和故障的频率。",
    ),
    "killed": (
        "Each kill is a SIGKILL. "
        "What a killed gateway had written down as being sent is put in doubt by its next life, which asks the "
        "bank and never sends again.",
        "每次都用 SIGKILL。被强制终止的网关记为“发送中”的付款，由下一次启动的网关置为结果未知并向银行查询，绝不重发。",
    ),
    "struck": (
        "Committed counts all exchanges, enquiries too. The last column counts payments whose first exchange the "
        "plan struck before the banks behaved: which ones follows from the seed and their bank reference, and a "
        "reference contains the time. A bank that signs nothing answers garbage instead of a wrong signature.",
        "次数包括所有往来，也包括查询。最后一列是银行恢复正常之前首次发送即受影响的付款：哪些受影响取决于种子和流水"
        "号，而流水号含有时间。不签名的银行以乱码代替错误签名。",
    ),
    "sharp": (
        "Words with # tell the simulated bank's books what to do: decide late, refuse, hide the payment from "
        "enquiries for a while, send the money back.",
        "带 # 的词告诉模拟银行怎样记账：晚作决定、拒绝、一段时间内查不到、退回资金。",
    ),
    "aside": (
        "Commands put aside for people in the queue bankgw.parked: {parked}. Messages that came more than once "
        "under the same message id: {repeats}; second answers to a command: {second}; answers in another form "
        "(JSON, XML) than the command's: {other}.",
        "放入队列 bankgw.parked 待人工处理的命令：{parked}。以同一消息编号多次到达的消息：{repeats}；一条命令的第二"
        "个答复：{second}；答复与命令格式（JSON、XML）不同：{other}。",
    ),
}
"""Paragraphs by a name: English, Chinese."""
