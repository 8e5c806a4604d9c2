"""The Chinese output of everyday commands for a small journal, and that the English output is unchanged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.cli import application, exit_codes, output, terminal
from gateway.cli.commands import orders as orders_command
from gateway.control.client import Refused
from protocols.canon.money import Money
from protocols.canon.outcome import STATE_TABLE, State
from tests.gateway.cli.chinese import CHINESE, ENVIRONMENT, english_in
from tests.gateway.cli.control_operator import Operator
from tests.gateway.cli.test_application import world
from tests.gateway.cli.test_reconcile import InMemory, written
from tests.gateway.reconciliation.test_reconciliation import OPENING
from tests.gateway.statements.test_accounts_today import POLL_S, counter

DAILY = (
    ("orders", "list"),
    ("orders", "list", "--wide"),
    ("orders", "show", "kingdee:AP-1"),
    ("orders", "show", "kingdee:AP-1", "--full", "--hex"),
    ("status",),
    ("positions", "--history", "1"),
    ("today",),
    ("reconcile", "show", "ACCOUNT"),
    ("approvals", "list"),
    ("worklists",),
    ("lanes", "list"),
)


class Operating:
    """An operator at a small journal, who types commands in either language."""

    def __init__(self, operator: Operator, capsys: pytest.CaptureFixture[str]) -> None:
        self.operator = operator
        self.account = operator.world.banks["sample"].account
        self._capsys = capsys

    def says(self, *words: str, code: int = 0, chinese: bool = True) -> str:
        typed = [self.account if word == "ACCOUNT" else word for word in words]
        assert application.main(world(variables=ENVIRONMENT if chinese else {}), typed) == code
        told = self._capsys.readouterr()
        return told.out if code == 0 else told.err


@pytest.fixture
def operating(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    operator = counter(tmp_path)
    operator.world.submit("AP-1", 10_000, bank="sample")
    operator.world.run(POLL_S * 2 + 5)
    client = InMemory(operator)
    monkeypatch.setattr(output, "remote", lambda *_given: client)
    monkeypatch.setattr(output, "shards", lambda *_given: [])
    capsys.readouterr()
    yield Operating(operator, capsys)
    operator.world.crash()


def test_the_commands_of_every_day_print_no_english_sentence(operating: Operating, tmp_path: Path) -> None:
    day = operating.operator.ask("GET", "reconciliation", operating.account)["to"]
    row = {"id": "V-1", "date": day, "direction": "debit", "amount": "120.00"}
    told = ("--from", f"{day[:8]}01", "--to", day, "--opening", str(Money(OPENING)))
    file = written(tmp_path / "book.csv", row)
    closing = str(Money(OPENING - 12_000))
    assert (
        "共 1 行，期末余额"
        in operating.says("reconcile", "book", "ACCOUNT", str(file), *told, "--closing", closing).splitlines()[-1]
    )
    said = {words: operating.says(*words) for words in DAILY}
    assert {words: found for words, text in said.items() if (found := english_in(text))} == {}
    assert [words for words, text in said.items() if not CHINESE.search(text)] == []
    shown = said["orders", "show", "kingdee:AP-1"]
    for expected in ("      来源系统  kingdee", "          含义  银行确认成功", "payment.sent_settled（银行确认成功）",
                     "已发送，第 1 次，端口", "发往银行：", "通知 ERP payment.settled", "已了结  是"):  # fmt: skip
        assert expected in shown, shown
    assert "B，日记账与银行明细：没有匹配；未匹配 1 与 1" in said["reconcile", "show", "ACCOUNT"]
    assert "无对应行" in said["reconcile", "show", "ACCOUNT"] and "借" in said["reconcile", "show", "ACCOUNT"]
    assert "未监视" in said["positions", "--history", "1"] and "全部" in said["positions", "--history", "1"]
    assert "escalated（待人工裁定）：0" in said["worklists",]


def test_the_english_of_these_commands_stays(operating: Operating) -> None:
    said = {words: operating.says(*words, chinese=False) for words in DAILY}
    assert [words for words, text in said.items() if any(mark in text for mark in "：，（；")] == []
    shown = said["orders", "show", "kingdee:AP-1"].splitlines()
    assert "          sender  kingdee" in shown
    assert f"         meaning  {STATE_TABLE[State.SETTLED].meaning}" in shown
    assert any("  sent, attempt 1 through " in line for line in shown)
    assert any("heard by submit: settled" in line for line in shown)


def test_an_answer_from_memory_is_told_in_chinese(operating: Operating) -> None:
    operating.operator.lost_ms = operating.operator.gateway.parts.clock.now_ms()
    said = operating.says("orders", "list", code=exit_codes.UNAVAILABLE)
    assert said.startswith("流水库自 ") and "本节点内存中待发送的付款指令" in said and english_in(said) == []


BATCH = {
    "batch": "B1", "sender": "kingdee", "kind": "payroll", "open_items": 1,
    "states": [{"state": "held", "count": 1, "sum": "5.00"}], "held_for": {"approval": 1},
    "items": [{"item_no": 1, "state": "held", "id": "B1-1", "amount": "5.00", "currency": "CNY", "debtor": "0000",
               "creditor": "0001", "hold_reason": "approval", "bank_code": None, "payment": "P1"}],
}  # fmt: skip
ORDER = {
    "payment": "P1", "state": "in_doubt", "final": False, "meaning": "nobody knows",
    "debtor": {"account": "0000", "name": "A"},
    "timeline": [
        {"at": "10:00", "what": "act", "act": "payment.silent", "actor": "node:gw1",
         "detail": {"before": "sending", "after": "in_doubt", "reason": "r"}},
        {"at": "10:01", "what": "folded", "count": 3, "until": "10:09"},
        {"at": "10:02", "what": "sent", "attempt": 1, "port": "pay", "bank_date": "2026-11-01", "node": "gw1",
         "bundle": {"reference": "R", "items": 7}, "wire": {"bytes": 9, "read_as": "UTF-8", "sha256": "00",
                                                            "text": "A" * 120, "cut_after": 5}},
        {"at": "10:03", "what": "heard", "source": "enquiry", "fate": None, "code": "E1", "note": ""},
        {"at": "10:04", "what": "told", "event": "payment.in_doubt", "state": "waiting", "routing_key": "k",
         "tries": 2, "last_result": "returned", "last_text": "", "last_tried_at": "10:05"},
    ],
}  # fmt: skip


@pytest.mark.parametrize("answer", [BATCH, ORDER], ids=["batch", "order"])
def test_an_order_in_doubt_and_a_batch_are_shown_in_chinese(
    answer: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Daemon:
        def get(self, *_parts: str, **_query: Any) -> Any:
            return {**answer, "timeline": list(answer["timeline"])} if "timeline" in answer else answer

    monkeypatch.setattr(output, "remote", lambda *_given: Daemon())
    monkeypatch.setattr(orders_command, "folded", list)
    words = ["orders", "show", "x"]
    assert application.main(world(variables=ENVIRONMENT), words) == exit_codes.OK
    said = capsys.readouterr().out
    assert english_in(said) == []
    wanted = {
        True: ("明细  1 held (5.00)；等待：approval 1",),
        False: (
            "payment.silent（无应答，结果未知）",
            "由 node:gw1",
            "…… 至 10:09 另有 3 次查询，答复相同；--full 全部显示",
            "与其他指令同在 R：共 7 笔",
            "发往银行：9 字节，按 UTF-8 解读",
            "[120 个 base64 字符；--full 全部显示]",
            "…… 只显示前 5 字节",
            "银行答复，enquiry（查询）：? E1",
            "尝试 2 次，最近一次 10:05：returned",
            "结果不明，正在向银行查询",
        ),
    }
    assert [one for one in wanted["items" in answer] if one not in said.replace(",", "，")] == []


def test_chinese_tables_are_as_wide_as_they_look(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(terminal, "width", lambda: 60)
    output.speak("zh")
    rows = [{"a": "付款指令", "amount": "12.00"}, {"a": "x", "amount": "1,234.50"}]
    output.table(rows, {"a": "order", "amount": "amount"}, "no orders")
    output.speak("en")
    lines = capsys.readouterr().out.splitlines()
    assert {terminal.columns_of(line.rstrip()) for line in lines} == {len("付款指令") * 2 + 2 + len("1,234.50")}


def test_questions_are_asked_in_chinese(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    answers = iter(["ja", " Y ", "n", "a", "b", "a", "a"])
    asked: list[str] = []

    def prompt(text: str, **more: Any) -> str:
        asked.append(f"{text}{more['prompt_suffix']}")
        return next(answers)

    monkeypatch.setattr("typer.prompt", prompt)
    output.speak("zh")
    assert output.confirmed(("Sure?", "是否签署？")) is True and output.confirmed(("Sure?", "是否签署？")) is False
    assert output.hidden(("Password", "密码"), twice=True) == "a"
    output.speak("en")
    assert asked == ["是否签署？[y/N]："] * 3 + ["密码：", "再次输入以确认："] * 2
    assert capsys.readouterr().err == "请输入 y（是）或 n（否）\n两次输入不一致，请重新输入\n"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("check", "--config", "/nowhere.toml"), exit_codes.CONFIG, "/nowhere.toml：无法读取（"),
        (("banks", "--questions"), exit_codes.USAGE, "请指明询问哪家银行："),
        (("joint-test", "cases", "nobank"), exit_codes.USAGE, "没有银行 nobank；可用的是 "),
        (("joint-test", "verify", "/nowhere.pack"), exit_codes.USAGE, "无法读取 /nowhere.pack："),
        (("explain", "/nowhere.xml"), exit_codes.FAILED, "/nowhere.xml：无法读取（"),
        (("send", "/nowhere.json"), exit_codes.USAGE, "无法读取 /nowhere.json："),
        (("report", "nothing"), exit_codes.USAGE, "没有报表 nothing；可用的是 "),
        (("resolve",), exit_codes.USAGE, "请给出其一："),
        (("console", "--host", "x"), exit_codes.USAGE, "--host 应为本机的 IP 地址"),
        (("topology", "export", "--sender", "x"), exit_codes.USAGE, "--sender x：应写作 NAME=USER"),
        (("notices", "status", "--state", "/nowhere"), exit_codes.UNAVAILABLE, "没有 /nowhere/"),
        (("simulate", "/nowhere", "--init", "x"), exit_codes.USAGE, "没有银行 x；可用的是 "),
        (("joint-test", "status", "/nowhere"), exit_codes.USAGE, "/nowhere 中没有 joint-test.toml；请指明联调目录，"),
        (("joint-test", "verify", __file__), exit_codes.FAILED, f"{__file__}：不是证据包（不是 zip 文件）"),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_chinese(
    words: tuple[str, ...], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert application.main(world(variables=ENVIRONMENT), words) == code
    first, *_others = capsys.readouterr().err.splitlines()
    assert first.startswith(said) and english_in(first) == []


def test_settings_that_are_missing_are_told_in_chinese(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = str(tmp_path / "none.toml")
    application.main(world(variables=ENVIRONMENT), ["doctor", "--config", missing])
    *_others, last = capsys.readouterr().out.splitlines()
    assert f"{missing} → 无法读取（没有这个文件）；请新建（`bankgw init` 可写出）" in last
    chinese = world(reactor=object, variables=ENVIRONMENT)
    assert application.main(chinese, ["simulate", missing]) == exit_codes.CONFIG
    assert capsys.readouterr().err.startswith(f"{missing}：无法读取（没有这个文件）；请新建（`bankgw simulate DIR")


def test_a_folder_that_is_no_joint_test_has_no_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert application.main(world(), ["joint-test", "status", str(tmp_path)]) == exit_codes.USAGE
    told = capsys.readouterr()
    assert told.out == "" and told.err.splitlines() == [
        f"{tmp_path} has no joint-test.toml; name the run's folder, or make one with `bankgw joint-test init`"
    ]


def test_a_refusal_keeps_its_code(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    class Daemon:
        def get(self, *_parts: str, **_query: Any) -> Any:
            raise Refused(404, "no_such_order", "there is no order x")

    monkeypatch.setattr(output, "remote", lambda *_given: Daemon())
    assert application.main(world(variables=ENVIRONMENT), ["orders", "show", "x"]) == exit_codes.FAILED
    assert capsys.readouterr().err == "no_such_order: 没有这笔付款指令或批次\nthere is no order x\n"


def test_check_and_banks_speak_chinese(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tests.gateway.cli import site as sites

    settings = str(sites.make(tmp_path / "site").settings)
    assert application.main(world(variables=ENVIRONMENT), ["check", "--config", settings]) == exit_codes.OK
    *sources, last = capsys.readouterr().out.splitlines()
    assert last == f"{settings}：没有发现错误"
    assert sources and all(
        "：文件 /" in one and english_in(one.partition("：")[2].partition("/")[0]) == [] for one in sources
    )
    assert application.main(world(variables=ENVIRONMENT), ["banks", "sample", "--questions"]) == exit_codes.OK
    said = capsys.readouterr().out
    assert CHINESE.search(said) and "assumed:" not in said
