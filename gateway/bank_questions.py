"""The questionnaire for a bank before a joint test: the assumptions of its profile that only the bank can confirm.

Each question names the value that the program uses until the bank answers, and the place for the answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from protocols.bank import Bank, Replay, ReplayRule

LANGUAGES = ("en", "zh")
_TOPICS_ZH: Mapping[str, str] = {
    "line": "线路",
    "login": "签到",
    "test data": "测试数据",
    "repeats": "重复提交",
    "people": "联系人",
    "pace": "频率",
    "hours": "服务时间",
    "not found": "查无此交易",
    "receipts": "回单",
    "reconstructed": "依公开资料重建",
}
_UNITS = ((86_400, "day", "天"), (3_600, "hour", "小时"), (60, "minute", "分钟"), (1, "second", "秒"))


@dataclass(frozen=True, slots=True)
class QuestionForBank:
    """One question in both languages. `assumed` is the program's assumption, `setting` the place for the answer."""

    topic: str
    text: str
    text_zh: str
    assumed: str = ""
    setting: str = ""
    assumed_zh: str = ""
    setting_zh: str = ""

    def words(self, language: str) -> str:
        """The question in `en` or `zh`."""
        return self.text_zh if language == "zh" else self.text

    def topic_in(self, language: str) -> str:
        """The topic in `en` or `zh`."""
        return _TOPICS_ZH[self.topic] if language == "zh" else self.topic

    def assumed_in(self, language: str) -> str:
        """The assumption in `en` or `zh`."""
        return (self.assumed_zh or self.assumed) if language == "zh" else self.assumed

    def setting_in(self, language: str) -> str:
        """The place for the answer in `en` or `zh`."""
        return (self.setting_zh or self.setting) if language == "zh" else self.setting


_ALWAYS = (
    QuestionForBank(
        "line",
        "Address and ports of the test front end; of the production front end?",
        "测试前置机与生产前置机的地址和端口？",
        setting="lanes.NAME.host, ports",
    ),
    QuestionForBank(
        "line",
        "Which of our addresses must be allowed at your firewall, and until when?",
        "我方哪些地址需要加入贵方白名单，有效期多久？",
    ),
    QuestionForBank(
        "line",
        "Your CA certificate, the name in your server's certificate, and its next change?",
        "贵方 CA 证书、服务器证书中的名称、下次更换日期？",
        setting="lanes.NAME.tls",
    ),
    QuestionForBank(
        "line", "How do we get our client certificate, and how is it renewed?", "我方客户端证书如何取得和更新？"
    ),
    QuestionForBank(
        "login",
        "After how many failed sign-ons is the login locked, and who unlocks it?",
        "签到失败几次锁户，由谁解锁？",
    ),
    QuestionForBank(
        "test data",
        "Own accounts of the test environment, payees that may be paid, and their names?",
        "测试环境中的本企业账户、可付款的收款方及其户名？",
        setting="joint-test.toml: accounts, payee",
    ),
    QuestionForBank(
        "test data",
        "What makes the test bank refuse, decide later, or send money back (退汇)?",
        "测试环境中如何触发拒绝、延后处理、退汇？",
        setting="joint-test.toml: triggers",
    ),
    QuestionForBank(
        "test data",
        "Which business date has the test environment, and when does it change?",
        "测试环境的业务日期是哪天，何时切换？",
        setting="--business-date",
    ),
    QuestionForBank(
        "repeats",
        "If the very same bytes arrive twice, what do you answer, and is money moved once?",
        "同一报文逐字节到达两次时如何应答，是否只记账一次？",
        setting="case repeat.payment",
    ),
    QuestionForBank(
        "people",
        "Names and telephone of the testers, and of whoever can stop payments at night?",
        "测试人员及夜间可止付人员的姓名和电话？",
        setting="joint-test.toml: testers",
    ),
)


def questions(bank: Bank) -> tuple[QuestionForBank, ...]:
    """The questions for this bank, in an order in which they can be talked through."""
    profile = bank.profile
    pace, hours = profile.limits.pace, profile.limits.hours
    found = list(_ALWAYS)
    found.append(
        QuestionForBank(
            "pace",
            "How many requests a second, how many connections at once?",
            "每秒请求数与并发连接数上限？",
            f"{pace.per_second:g} a second, {bank.sessions.window} at once",
            "options",
            f"每秒 {pace.per_second:g} 个请求，同时 {bank.sessions.window} 个",
        )
    )
    always = hours.opens == hours.closes
    found.append(
        QuestionForBank(
            "hours",
            "When are you open, and until when does a payment have today's date?",
            "服务时间，以及当日入账的截止时间？",
            "round the clock" if always else f"{hours.opens:%H:%M} to {hours.closes:%H:%M}",
            "options",
            "全天" if always else f"{hours.opens:%H:%M} 至 {hours.closes:%H:%M}",
        )
    )
    for kind, rule in sorted(profile.replay.items()):
        if rule.policy is not Replay.NEVER:
            found.append(
                QuestionForBank(
                    "repeats",
                    f"{kind.value}: for how long do you know a reference?",
                    f"{kind.value}：流水号防重的有效期？",
                    *_repeats(rule),
                )
            )
        found.append(
            QuestionForBank(
                "not found",
                f"{kind.value}: how long after our request can an enquiry still answer 'not found' wrongly?",
                f"{kind.value}：请求发出后多久，查询仍可能误答“查无此交易”？",
                *_not_found(rule),
            )
        )
    if bank.questions.receipt is not None:
        found.append(
            QuestionForBank(
                "receipts",
                "From when on is a payment's receipt (回单) there?",
                "回单何时可取？",
                setting="joint-test.toml: receipts_today",
            )
        )
    found += [
        QuestionForBank(
            "reconstructed",
            f"Is this so: {claim}?",
            f"请确认（仅有英文）：{claim}",
            "yes",
            "the bank's README",
            "是",
            "该银行的 README",
        )
        for claim in profile.reconstructed
    ]
    return tuple(found)


def _repeats(rule: ReplayRule) -> tuple[str, str, str]:
    """The bank's assumed behaviour at a repeat: in English, the place for the answer, in Chinese."""
    first = ("ask first", "先查询") if rule.policy is Replay.QUERY_FIRST else ("the same bytes again", "原样重发")
    if rule.window is None:
        known = ("the reference is known without end", "流水号防重无期限")
    else:
        length = _duration(rule.window)
        known = (f"the reference is known for {length[0]}", f"流水号防重 {length[1]}")
    if rule.same_day:
        known = (f"{known[0]}, on its business date", f"{known[1]}，仅限同一业务日期")
    return f"{first[0]}; {known[0]}", "options", f"{first[1]}；{known[1]}"


def _not_found(rule: ReplayRule) -> tuple[str, str, str]:
    """The bank's assumed behaviour when it answers "not found": in English, the place for the answer, in Chinese."""
    after, count = _duration(rule.not_found_quarantine), rule.not_found_count
    answers = "1 answer" if count == 1 else f"{count} answers"
    chinese = f"请求发出 {after[1]}之后、答复 {count} 次“查无此交易”才算数"
    return f"'not found' counts after {after[0]} and {answers}", "options", chinese


def _duration(span: timedelta) -> tuple[str, str]:
    """A duration in both languages, in the largest unit that it is a whole number of."""
    seconds = span.total_seconds()
    size, unit, unit_zh = next((one for one in _UNITS if seconds >= one[0] and seconds % one[0] == 0), _UNITS[-1])
    number = seconds / size
    return f"{number:g} {unit}{'' if number == 1 else 's'}", f"{number:g} {unit_zh}"
