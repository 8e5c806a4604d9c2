"""The forms of all reports: their names, titles and columns."""

from __future__ import annotations

from itertools import combinations

from gateway.reconciliation.rows.exceptions import NEXT_STEPS, ExceptionKind
from gateway.reports.receipt_source import OLDER
from gateway.reports.security_source import NEXT_STEPS as SECURITY_STEPS
from gateway.reports.table import CellKind, ReportForm, TableChart, TableColumn

_COMPANY = TableColumn("company", "公司", "Company")
_BANK = TableColumn("bank", "银行", "Bank", width=10)
_ACCOUNT = TableColumn("account", "账号", "Account", CellKind.ACCOUNT, width=26)
_HOLDER = TableColumn("holder", "户名", "Account name", width=28)
_CURRENCY = TableColumn("currency", "币种", "Currency", width=8)


_STATES = {
    "accepted": "已受理",
    "held": "待放行",
    "ready": "待发送",
    "sending": "发送中",
    "pending": "银行处理中",
    "in_doubt": "结果未知",
    "escalated": "待人工裁定",
    "settled": "成功",
    "failed": "失败",
    "rejected": "已拒绝",
    "cancelled": "已撤销",
    "expired": "已过期",
    "returned": "已退汇",
    "reversed": "已冲正",
}
_KINDS = {"payment": "付款", "transfer": "划转", "batch_item": "批量付款", "payroll_item": "代发", "collection": "代收"}
_NOTES = {
    "not watched": "未监控",
    "watched, not heard of yet": "已监控，尚无答复",
    "not closed": "尚未日结",
    "entries do not make the closing yet": "明细与余额尚未核平",
}


_EXCEPTIONS = {
    "in doubt, under 1 h": "结果未知不足 1 小时",
    "in doubt, under 1 day": "结果未知不足 1 天",
    "in doubt, longer": "结果未知超过 1 天",
    "a person decides": "待人工裁定",
    "failed": "失败",
    "came back": "已退汇",
    "waits for release": "待放行",
    "expired": "已过期",
    "no outcome for a day": "超过 1 天无结果",
}
_ITEMS = {**_KINDS, "fees": "手续费", "returned": "退回", "other receipts": "其他收入", "other payments": "其他支出"}


def _money(key: str, zh: str, en: str, *, added: bool = True) -> TableColumn:
    return TableColumn(key, zh, en, CellKind.MONEY, added=added, width=18)


def _count(key: str, zh: str, en: str) -> TableColumn:
    return TableColumn(key, zh, en, CellKind.COUNT, added=True, width=10)


_STATE = TableColumn("state", "状态", "State", width=12, zh_words=_STATES)

BALANCES = ReportForm(
    "balances",
    "账户余额表",
    "Account balances",
    (
        _COMPANY,
        _BANK,
        _ACCOUNT,
        _HOLDER,
        _CURRENCY,
        _money("book", "账面余额", "Book balance"),
        _money("available", "可用余额", "Available"),
        _money("frozen", "冻结", "Frozen"),
        TableColumn("as_of", "余额时间", "As of", CellKind.MOMENT, width=22),
        TableColumn("note", "说明", "Note", width=26, zh_words=_NOTES),
    ),
    "余额为银行最近一次答复，不作推算；未监控的账户没有余额。",
    "Balances are the bank's last answers; nothing is computed. Accounts that are not watched have none.",
    (TableChart("账面余额（按银行）", "Book balance by bank", ("bank",), ("book",)),),
)

POSITIONS = ReportForm(
    "positions",
    "资金头寸表",
    "Positions",
    (
        _COMPANY,
        _BANK,
        _CURRENCY,
        _count("accounts", "账户数", "Accounts"),
        _count("heard", "有余额", "Heard of"),
        _money("book", "账面余额", "Book balance"),
        _money("available", "可用余额", "Available"),
        _money("under_way", "待付", "Not sent yet"),
        _money("in_doubt", "结果未知", "In doubt"),
        TableColumn("as_of", "最早余额时间", "Oldest balance", CellKind.MOMENT, width=22),
    ),
    "余额为银行最近一次答复之和；“有余额”为有答复的账户数。待付与结果未知单列，不从余额中扣除。",
    "Sums of the banks' last answers; heard of counts the accounts that have one. Payments not sent yet and "
    "payments in doubt stand in columns of their own, and are not subtracted.",
)

DAILY = ReportForm(
    "daily",
    "资金日报",
    "Daily position",
    (
        _COMPANY,
        _BANK,
        _ACCOUNT,
        _CURRENCY,
        _money("opening", "上日余额", "Opening"),
        _money("credit", "收入", "In"),
        _count("credits", "收入笔数", "Entries in"),
        _money("debit", "支出", "Out"),
        _count("debits", "支出笔数", "Entries out"),
        _money("closing", "日终余额", "Closing"),
        _money("under_way", "待付", "Not sent yet"),
        _money("in_doubt", "结果未知", "In doubt"),
        TableColumn("note", "说明", "Note", width=22, zh_words=_NOTES),
    ),
    "上日余额与日终余额为已核平对账单的余额；当日尚未日结的，日终余额为银行最近一次答复。待付为尚未发出的付款，结果未知为银行结果未明的付款，均为出具报表时的数。",
    "Opening and closing are those of statements that add up; of a day that is not closed, the closing is the bank's "
    "last answer. Not sent yet and in doubt are as of the moment when the report is made.",
)

PAYMENTS = ReportForm(
    "payments",
    "付款执行情况",
    "Payments",
    (
        TableColumn("accepted", "受理时间", "Accepted", CellKind.MOMENT, width=22),
        TableColumn("sender", "来源", "Sender", width=10),
        TableColumn("order", "单据号", "Order", width=20),
        TableColumn("kind", "类型", "Kind", width=10, zh_words=_KINDS),
        _COMPANY,
        _BANK,
        _ACCOUNT,
        TableColumn("payee", "对方户名", "Counterparty", width=28),
        TableColumn("payee_account", "对方账号", "Counterparty account", CellKind.ACCOUNT, width=26),
        _CURRENCY,
        _money("amount", "金额", "Amount"),
        _STATE,
        TableColumn("exception", "异常", "Exception", width=14, zh_words=_EXCEPTIONS),
        TableColumn("reason", "原因", "Reason", width=30),
        TableColumn("reference", "银行参考号", "Bank reference", width=22),
        TableColumn("serial", "银行流水号", "Bank serial", width=22),
        TableColumn("sent", "发出时间", "Sent", CellKind.MOMENT, width=22),
        TableColumn("changed", "状态时间", "In this state since", CellKind.MOMENT, width=22),
    ),
    "期间内受理的付款及其现状；合计包括未成功的付款。",
    "What was accepted in the period and how it stands; the totals include payments that failed.",
    (
        TableChart("付款笔数（按状态）", "Payments by state", ("state",)),
        TableChart("异常与结果未知时长", "Exceptions and age of doubt", ("exception",)),
    ),
)

ENTRIES = ReportForm(
    "entries",
    "银行流水",
    "Bank entries",
    (
        TableColumn("day", "记账日", "Bank date", CellKind.DAY, width=12),
        _COMPANY,
        _BANK,
        _ACCOUNT,
        _CURRENCY,
        _money("credit", "收入", "In"),
        _money("debit", "支出", "Out"),
        TableColumn("serial", "银行流水号", "Bank serial", width=24),
        TableColumn("text", "摘要", "Text", width=36),
        TableColumn("party", "对方户名", "Counterparty", width=26),
        TableColumn("party_account", "对方账号", "Counterparty account", CellKind.ACCOUNT, width=26),
        TableColumn("order", "对应单据", "Order", width=22),
    ),
    "银行已记账的明细；对应单据为本系统付款的单据号。",
    "What the bank booked. Order is that of the payment which the entry belongs to.",
)

_TARGET_WORDS = {"slow": "耗时", "doubt": "结果未知率", "statements": "对账单"}
_TARGETS_ZH = {"met": "达到"} | {
    ", ".join(some): "、".join(_TARGET_WORDS[one] for one in some) + "未达标"
    for count in (1, 2, 3)
    for some in combinations(_TARGET_WORDS, count)
}

BANK_SERVICE = ReportForm(
    "bank-service",
    "银行服务质量",
    "Bank service",
    (
        TableColumn("month", "月份", "Month", width=9),
        _BANK,
        _count("payments", "付款", "Payments"),
        _count("settled", "成功", "Settled"),
        _count("failed", "失败", "Failed"),
        _count("returned", "退汇", "Returned"),
        _count("doubted", "曾结果未知", "Ever in doubt"),
        _count("open", "未完结", "Open"),
        TableColumn("doubt_share", "结果未知率", "Doubt rate", CellKind.PERCENT, width=10),
        TableColumn("median_s", "中位耗时（秒）", "Median seconds", CellKind.SECONDS, width=13),
        TableColumn("p95_s", "95 分位耗时（秒）", "95th percentile", CellKind.SECONDS, width=15),
        TableColumn("doubt_p95_s", "结果未知 95 分位（秒）", "Doubted, 95th", CellKind.SECONDS, width=16),
        _count("days_expected", "应到对账单", "Statements due"),
        _count("days_arrived", "已到对账单", "Statements arrived"),
        TableColumn("targets", "目标", "Targets", width=16, zh_words=_TARGETS_ZH),
        TableColumn("p95_drift", "95 分位较上月", "95th, on the month before", CellKind.PERCENT, width=13),
        TableColumn("doubt_drift", "结果未知较上月", "Doubted, on the month before", CellKind.PERCENT, width=13),
    ),
    "按受理月份；耗时为首次发出至有结果，按成功的付款计；对账单按监控账户与日计。"
    "目标：95 分位不超过 300 秒，结果未知率不超过 1 %，对账单到达不低于 99 %；未达标的写明。",
    "By month of acceptance. Seconds are from the first write to the outcome, of payments that settled. Statements are "
    "counted by watched account and day. Targets: 95 % within 300 s, at most 1 % in doubt, 99 % of statements; those "
    "that are missed are named.",
    (
        TableChart(
            "到有结果的耗时（秒）", "Seconds to the outcome", ("month", "bank"), ("median_s", "p95_s"), in_order=True
        ),
    ),
)

_SECTIONS = {
    "book": "日记账余额",
    "bank_received": "银行已收、企业未收",
    "bank_paid": "企业未付（银行已付）",
    "book_adjusted": "调节后余额（企业）",
    "bank": "对账单余额",
    "book_received": "银行未收（企业已收）",
    "book_paid": "银行未付（企业已付）",
    "bank_adjusted": "调节后余额（银行）",
    "difference": "差额",
    "missing": "不能编制",
    "bank_unexplained": "未说明（银行）",
    "book_unexplained": "未说明（企业）",
}
_REASONS = {
    "no_counterpart": "无对应",
    "ambiguous": "多笔可对应",
    "date_differs": "日期相差过大",
    "amount_differs": "金额不符",
    "fee by the tariff, not in the book": "费率表手续费，企业未记",
}
_OPEN_KINDS = {
    ExceptionKind.AMOUNT.value: "金额不符",
    ExceptionKind.DATE.value: "日期相差过大",
    ExceptionKind.AMBIGUOUS.value: "多笔可对应",
    ExceptionKind.NOT_BOOKED.value: "企业未入账",
    ExceptionKind.NOT_AT_BANK.value: "银行未入账",
    ExceptionKind.NOT_EXECUTED.value: "付款无银行明细",
    ExceptionKind.VOID.value: "决定已失效",
}
_STEPS_ZH = {
    ExceptionKind.AMOUNT: "核对金额；更正日记账后重新交入，或凭银行答复搁置",
    ExceptionKind.DATE: "核对是否同一笔；确认，或写明理由搁置",
    ExceptionKind.AMBIGUOUS: "查明对应关系并确认该对",
    ExceptionKind.NOT_BOOKED: "在 ERP 入账并重新交入日记账",
    ExceptionKind.NOT_AT_BANK: "询问是否已提示或支付；凭答复搁置",
    ExceptionKind.NOT_EXECUTED: "向银行查询该明细（bankgw orders enquire），并查看指令时间线",
    ExceptionKind.VOID: "撤销该决定，按现状重新决定",
}
_NEXT_STEPS = {NEXT_STEPS[kind]: zh for kind, zh in _STEPS_ZH.items()}
_SIDES = {"payment": "付款", "book row": "日记账", "entry": "银行明细"}

BALANCE_TABLES = ReportForm(
    "balance-tables",
    "银行存款余额调节表",
    "Reconciliation statements",
    (
        _COMPANY,
        _BANK,
        _ACCOUNT,
        _CURRENCY,
        TableColumn("section", "项目", "Item", width=20, zh_words=_SECTIONS),
        TableColumn("day", "日期", "Day", CellKind.DAY, width=12),
        TableColumn("about", "凭证/流水", "Voucher or entry", width=32),
        _money("amount", "金额", "Amount", added=False),
        TableColumn("reason", "未达账项的原因", "Reason", width=28, zh_words=_REASONS),
        TableColumn("item", "行号", "Row", width=26),
    ),
    "截至期间最后一日。付出为负数。未说明的行有对应候选而不相符，不作未达账项，不计入合计。不能编制的账户写明所缺。",
    "As of the period's last day. Money paid is negative. An unexplained row has a candidate and does not fit; it is "
    "in no sum. An account without a statement says what is missing.",
)

OPEN_ITEMS = ReportForm(
    "open-items",
    "未匹配项目",
    "Open items",
    (
        _COMPANY,
        _BANK,
        _ACCOUNT,
        _CURRENCY,
        TableColumn("matching", "对账", "Matching", width=8),
        TableColumn("side", "来自", "From", width=10, zh_words=_SIDES),
        TableColumn("day", "日期", "Day", CellKind.DAY, width=12),
        TableColumn("age", "账龄（天）", "Age in days", CellKind.COUNT, width=9),
        _money("credit", "收入", "In"),
        _money("debit", "支出", "Out"),
        TableColumn("reason", "原因", "Reason", width=22, zh_words=_REASONS),
        TableColumn("exception", "例外", "Exception", width=16, zh_words=_OPEN_KINDS),
        TableColumn("next_step", "下一步", "Next step", width=34, zh_words=_NEXT_STEPS),
        TableColumn("about", "凭证/流水", "Voucher or entry", width=32),
        TableColumn("item", "行号", "Row", width=26),
    ),
    "A 为付款与银行明细，B 为日记账与银行明细。例外为须由人处理的行；其余尚在途中，或 A 中不属于付款的明细。",
    "A has payments and entries, B has the book and entries. An exception needs a person; the others are on their "
    "way, or entries of A that belong to no payment.",
    (TableChart("例外（按种类）", "Exceptions by kind", ("exception",)),),
)

_PAYEE = TableColumn("payee", "对方户名", "Counterparty", width=28)
_PAYEE_ACCOUNT = TableColumn("payee_account", "对方账号", "Counterparty account", CellKind.ACCOUNT, width=26)
_ORDER = TableColumn("order", "单据号", "Order", width=20)
_ACCEPTED = TableColumn("accepted", "受理时间", "Accepted", CellKind.MOMENT, width=22)
_CHANGED = TableColumn("changed", "状态时间", "In this state since", CellKind.MOMENT, width=22)
_REASON = TableColumn("reason", "原因", "Reason", width=30)

TRANSFERS = ReportForm(
    "transfers",
    "归集下拨执行情况",
    "Transfers between own accounts",
    (
        _ACCEPTED,
        TableColumn("sender", "来源", "Sender", width=10),
        _ORDER,
        _COMPANY,
        _BANK,
        _ACCOUNT,
        TableColumn("payee_account", "转入账号", "To account", CellKind.ACCOUNT, width=26),
        _CURRENCY,
        _money("amount", "金额", "Amount"),
        _STATE,
        _REASON,
        TableColumn("sent", "发出时间", "Sent", CellKind.MOMENT, width=22),
        _CHANGED,
    ),
    "期间内受理的本方账户间划转，包括归集与下拨；来源为 ERP 或规则。",
    "What was ordered between own accounts in the period, sweeps and pushes among it; the sender is an ERP or a rule.",
    (TableChart("划转笔数（按状态）", "Transfers by state", ("state",)),),
)

RETURNS = ReportForm(
    "returns",
    "退汇明细",
    "Returned payments",
    (
        _ACCEPTED,
        _ORDER,
        _COMPANY,
        _BANK,
        _ACCOUNT,
        _PAYEE,
        _PAYEE_ACCOUNT,
        _CURRENCY,
        _money("amount", "金额", "Amount"),
        _STATE,
        _REASON,
        _CHANGED,
    ),
    "期间内受理、其后款项退回或被冲正的付款。",
    "Payments accepted in the period whose money came back or was reversed later.",
)

PAYROLL = ReportForm(
    "payroll",
    "代发明细",
    "Payroll items",
    (
        _ACCEPTED,
        TableColumn("batch", "批次", "Batch", width=20),
        _ORDER,
        _COMPANY,
        _BANK,
        _ACCOUNT,
        _PAYEE,
        _PAYEE_ACCOUNT,
        _CURRENCY,
        _money("amount", "金额", "Amount"),
        _STATE,
        _REASON,
        _CHANGED,
    ),
    "期间内受理的代发，每人一行。",
    "Payroll items accepted in the period, one row a person.",
    (TableChart("代发笔数（按状态）", "Payroll items by state", ("state",)),),
)

FEES = ReportForm(
    "fees",
    "手续费",
    "Bank fees",
    (
        TableColumn("day", "记账日", "Bank date", CellKind.DAY, width=12),
        _COMPANY,
        _BANK,
        _ACCOUNT,
        _CURRENCY,
        _money("debit", "支出", "Out"),
        _money("credit", "退还", "Given back"),
        TableColumn("told", "依据", "Known by", width=10, zh_words={"marked": "银行标记", "text": "摘要"}),
        TableColumn("serial", "银行流水号", "Bank serial", width=24),
        TableColumn("text", "摘要", "Text", width=36),
    ),
    "期间内银行标记为手续费的明细，以及摘要写明手续费的明细。从付款中直接扣除的手续费不在其中。",
    "Entries of the period that the bank marks as fees, or whose text names one. What was deducted from a payment is "
    "not among them.",
    (TableChart("手续费（按银行）", "Fees by bank", ("bank",), ("debit",)),),
)

CASH_FLOW = ReportForm(
    "cash-flow",
    "现金流",
    "Cash flow",
    (
        TableColumn("month", "月份", "Month", width=9),
        _COMPANY,
        _CURRENCY,
        TableColumn("item", "项目", "Item", width=16, zh_words=_ITEMS),
        _count("entries", "笔数", "Entries"),
        _money("credit", "流入", "In"),
        _money("debit", "流出", "Out"),
        _money("moved", "内部划转", "Moved"),
        _money("net", "净额", "Net"),
    ),
    "银行已记账的明细，按所属付款的类型、手续费与其他归类。所选账户之间的划转既非流入也非流出，只在付出方的“内部划转”列一次；净额含两边。",
    "What the banks booked, by the kind of the payment it belongs to, fees and others. A transfer between two of these "
    "accounts is neither in nor out: it stands once, under Moved, where it was paid; the net has both sides.",
    (TableChart("流入与流出（按月）", "In and out by month", ("month",), ("credit", "debit"), in_order=True),),
)

HISTORY = ReportForm(
    "history",
    "头寸走势",
    "Position history",
    (
        TableColumn("day", "日期", "Day", CellKind.DAY, width=12),
        _COMPANY,
        _CURRENCY,
        _money("balance", "日终余额", "Closing", added=False),
        TableColumn("accounts", "有余额的账户", "Accounts known", CellKind.COUNT, width=12),
        TableColumn("closed", "当日已核平", "Closed that day", CellKind.COUNT, width=12),
    ),
    "已核平对账单的日终余额之和；某日未核平的账户沿用此前最近一日。最长 400 天。",
    "Sums of the closing balances of statements that add up. An account whose day is not closed keeps its last one. At "
    "most 400 days.",
    (TableChart("日终余额", "Closing balance", ("day",), ("balance",), is_line=True, in_order=True),),
)

RECEIPTS_MISSING = ReportForm(
    "receipts-missing",
    "回单缺失",
    "Missing receipts",
    (
        _COMPANY,
        _BANK,
        _ACCOUNT,
        TableColumn("day", "记账日期", "Booked", CellKind.DAY, width=12),
        TableColumn("kind", "方向", "Way", width=8, zh_words={"out": "付款", "in": "来款"}),
        _ORDER,
        _PAYEE,
        _CURRENCY,
        _money("amount", "金额", "Amount"),
        TableColumn("age", "缺失天数", "Days", CellKind.COUNT, width=10),
        TableColumn(
            "band",
            "账龄",
            "Age",
            width=18,
            zh_words={
                "up to 3 days": "3 天以内",
                "4 to 7 days": "4 至 7 天",
                "8 to 30 days": "8 至 30 天",
                OLDER: "30 天以上",
            },
        ),
        TableColumn("tries", "已查次数", "Tries", CellKind.COUNT, width=10),
        TableColumn("reason", "银行答复", "Bank's answer", width=24, zh_words={"not asked yet": "尚未查询"}),
        TableColumn("next", "下次查询", "Next try", CellKind.MOMENT, width=22),
    ),
    "截止日前成功的付款及来款中回单尚未取得的，最早的在前；来款的单据号为银行流水号；已确认无回单的不列。天数自开始查找起算。",
    "Payments settled and money received up to the last day whose receipt is not there, the oldest first (what came in "
    "has the bank's number in the place of the order); without those of which a person "
    "said that there is none. Days count from the first search.",
    (TableChart("缺失回单（按账龄）", "Missing receipts by age", ("band",)),),
)

SECURITY_REVIEW = ReportForm(
    "security-review",
    "季度安全审查",
    "Quarterly security review",
    (
        TableColumn(
            "about",
            "对象",
            "About",
            width=12,
            zh_words={"person": "人员", "delegation": "授权", "certificate": "证书", "policy": "审批策略"},
        ),
        TableColumn("subject", "名称", "Subject", width=16),
        TableColumn("detail", "角色或内容", "Roles or content", width=36),
        TableColumn("since", "自", "Since", CellKind.MOMENT, width=20),
        TableColumn("seen", "最近使用", "Last seen", CellKind.MOMENT, width=20),
        TableColumn("until", "至", "Until", CellKind.MOMENT, width=20),
        TableColumn(
            "finding",
            "结论",
            "Finding",
            width=14,
            zh_words={
                "dormant": "长期未用",
                "to be confirmed": "待重新确认",
                "waiting": "待准入",
                "stands in": "授权中",
                "ends soon": "即将到期",
                "changed": "已变更",
            },
        ),
        TableColumn(
            "next_step",
            "下一步",
            "Next step",
            width=40,
            zh_words={
                SECURITY_STEPS["dormant"]: "确认仍需权限，否则停用（bankgw persons deactivate）",
                SECURITY_STEPS["to be confirmed"]: "确认角色与范围仍适当，否则更改（bankgw roles set）",
                SECURITY_STEPS["waiting"]: "准入或移除（bankgw persons admit、remove）",
                SECURITY_STEPS["stands in"]: "确认授权仍需要，否则结束（bankgw delegations end）",
                SECURITY_STEPS["ends soon"]: "更换证书（bankgw certificates rotate）",
                SECURITY_STEPS["changed"]: "与两人签署的内容核对（bankgw policy show）",
            },
        ),
    ),
    "人员、授权与证书为现状；审批策略为期间内生效的。长期未用：90 天未登录也未审批。",
    "Persons, delegations and certificates as they are now; policies that came into force in the period. Dormant: no "
    "sign-in and no decision for 90 days.",
    (TableChart("结论", "Findings", ("finding",)),),
)

FORMS = {
    form.name: form
    for form in (
        BALANCES,
        POSITIONS,
        DAILY,
        HISTORY,
        PAYMENTS,
        TRANSFERS,
        RETURNS,
        PAYROLL,
        ENTRIES,
        FEES,
        CASH_FLOW,
        BANK_SERVICE,
        BALANCE_TABLES,
        OPEN_ITEMS,
        RECEIPTS_MISSING,
        SECURITY_REVIEW,
    )
}
