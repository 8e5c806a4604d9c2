"""`bankgw banks`: the banks that this program speaks to, and the operations of each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from gateway.cli import exit_codes, output
from gateway.cli.output import AsJson


def banks(
    context: typer.Context,
    bank: Annotated[str | None, typer.Argument(metavar="BANK", help="With --questions: which bank.")] = None,
    questions: Annotated[
        bool, typer.Option("--questions", help="Print what to ask BANK before a joint test, and what is assumed.")
    ] = False,
    lang: Annotated[
        Literal["en", "zh"] | None, typer.Option(help="With --questions: en or zh; without it, as the terminal.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Settings whose banks are shown in detail, as they are built.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the banks this program speaks to; with --config, the operations of the configured banks, and their
    sources.
    """
    from gateway import capabilities
    from protocols.bank import BadOptions

    if questions or bank is not None:
        _questions(context, bank, config, lang or output.in_language(("en", "zh")), as_json=as_json)
        return
    if config is None:
        output.show(capabilities.everything(), as_json=as_json, words=_every_bank_words)
        return
    found, load = output.loaded(context, config), output.environment(context).load_bank
    rows = []
    for name, table in found.settings.banks.items():
        try:
            rows.append(capabilities.capabilities(name, load(table)))
        except (BadOptions, ModuleNotFoundError, OSError, ValueError) as error:
            output.leave(
                exit_codes.CONFIG,
                (
                    f"banks.{name}: {error}; `bankgw check` says more",
                    f"banks.{name} 的设置有误，详见 `bankgw check`：\n{error}",
                ),
            )
    output.show(rows, as_json=as_json, words=_bank_words)


def _questions(context: typer.Context, bank: str | None, config: Path | None, lang: str, *, as_json: bool) -> None:
    from dataclasses import asdict

    from gateway import bank_questions, capabilities
    from protocols.trial import banks as known

    if config is not None:
        tables = output.loaded(context, config).settings.banks
        if bank is None or bank not in tables:
            there = ", ".join(tables)
            output.leave(
                exit_codes.USAGE, (f"name one of the configured banks: {there}", f"请指明所配置的一家银行：{there}")
            )
        built = output.environment(context).load_bank(tables[bank])
    elif bank is None or bank not in known():
        there = ", ".join(known())
        output.leave(exit_codes.USAGE, (f"name the bank to be asked: {there}", f"请指明询问哪家银行：{there}"))
    else:
        built = capabilities.tried(bank)
    asked = bank_questions.questions(built)
    if as_json:
        output.dump([asdict(one) for one in asked])
        return
    for number, one in enumerate(asked, start=1):
        output.say(f"{number}. [{one.topic_in(lang)}] {one.words(lang)}")
        names, between = (("当前假设：", "填入设置："), "；") if lang == "zh" else (("assumed: ", "goes to: "), "; ")
        values = (one.assumed_in(lang), one.setting_in(lang))
        told = [f"{name}{value}" for name, value in zip(names, values, strict=True) if value]
        if told:
            output.say(f"   {between.join(told)}")


def _every_bank_words(rows: Any) -> None:
    for row in rows:
        output.say(f"{row['protocol']}: {row['heading']}")
        output.say(f"  {row['about']}")
        _abilities(row)


def _bank_words(rows: Any) -> None:
    for row in rows:
        output.say(f"{row['bank']}: {row['title']} {row['title_zh']}")
        _abilities(row)


def _abilities(row: Any) -> None:
    together = ", ".join(
        output.in_language((f"{kind} by {most}", f"{kind} 每批 {most} 笔")) for kind, most in row["bundles"].items()
    )
    orders, questions = ", ".join(row["orders"]), ", ".join(row["questions"])
    english, chinese = (f" (together: {together})", f"（可成批：{together}）") if together else ("", "")
    output.say((f"  orders: {orders}{english}", f"  付款指令：{orders}{chinese}"))
    output.say((f"  questions: {questions}", f"  查询：{questions}"))
    unread = sorted(set(row["orders"]) - set(row["read_back"]))
    if unread:
        output.say(
            (
                f"  not read back before they leave, to be compared with approvals: {', '.join(unread)}",
                f"  发出前不回读、须与复核内容对照：{', '.join(unread)}",
            )
        )
    for how, chinese in (("reconstructed", "依公开资料重建"), ("not available", "不可用")):
        found = [name for name, standing in row["operations"].items() if standing == how]
        if found:
            output.say((f"  {how}: {', '.join(found)}", f"  {chinese}：{', '.join(found)}"))
    for claim in row["reconstructed"]:
        output.say((f"  reconstructed from public material: {claim}", f"  依公开资料重建：{claim}"))
