"""Shared parts of the commands of `bankgw joint-test`: plan, journal and cases of a run, one session, the pack."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from gateway.act import Bilingual
from gateway.cli import exit_codes, output

if TYPE_CHECKING:
    from gateway.jointtest.cases import Case
    from gateway.jointtest.differences import Difference
    from gateway.jointtest.plan import RunPlan
    from gateway.jointtest.run_store import RunStore
    from gateway.jointtest.session import SessionRequest
    from gateway.jointtest.verdicts import CaseFinding, CaseVerdict
    from protocols.bank import Bank

# Each wait of a case ends by itself, so that only a session that stands still for a day is ended from outside.
_LIMIT_S = 86_400.0
_THERE: Mapping[str, str] = {"not there": "原无", "new": "新增", "there": "原有", "gone": "已无"}


def played(
    context: typer.Context, folder: Path, wish: SessionRequest, config: Path, *, production: bool = False
) -> RunStore:
    """Run one session: connects to the gateway as an ERP and plays the requested cases. Ends the command when it
    cannot.
    """
    from gateway.bank.lane_tls import tls_settings
    from gateway.bank.tls import client_context
    from gateway.cli import erp_profile
    from gateway.cli.broker_client import BrokerSilent, visit
    from gateway.erp.broker_address import BrokerAddress
    from gateway.jointtest import session
    from gateway.jointtest.erp_line import ErpAccess, LineDown
    from gateway.jointtest.run_store import BadJournal
    from gateway.kernel.clock import SystemClock

    world, plan = output.environment(context), plan_of(folder)
    built, cases = cases_of(context, folder, config, production=production)
    try:
        profile = erp_profile.load_profile(plan.path(plan.told.erp))
        address = BrokerAddress(
            profile.host,
            profile.port,
            profile.vhost,
            profile.user,
            profile.password.secret_bytes().decode(),
            tls=profile.tls is not None,
        )
        reactor = world.reactor()
        clock = SystemClock(reactor)
        tls = profile.tls and client_context(tls_settings(profile.tls, profile.host), clock)
        key = None if profile.hmac_key is None else profile.hmac_key.secret_bytes()
        access = ErpAccess(address, plan.told.sender, profile.queue_prefix, tls, key)
        store = session.open_store(folder, plan, cases, world.now)
        with output.asking():
            visit(
                reactor,
                lambda: session.sit(
                    reactor, clock, plan, built, access, store, cases, wish, world.version(), world.now, say_verdict
                ),
                _LIMIT_S,
            )
    except erp_profile.BadProfile as error:
        output.refuse(error.mistakes)
    except (LineDown, BrokerSilent, OSError) as error:
        output.leave(exit_codes.UNAVAILABLE, output.explained(error, "消息服务器无法访问，或与网关的线路中断："))
    except session.NotAllowed as error:
        output.leave(exit_codes.REFUSED, output.explained(error, "不允许这样联调："))
    except (BadJournal, ValueError) as error:
        output.leave(exit_codes.USAGE, output.explained(error, "联调记录或参数不能采用："))
    return store


def say_verdict(case: Case, finding: CaseFinding) -> None:
    """A line on stdout for each case that ends, at once: a run takes minutes, and its output may go to a file."""
    from gateway.jointtest.reason_words import in_chinese
    from protocols.kit.china import BEIJING

    until = ""
    if finding.until is not None:
        at = f"{finding.until.astimezone(BEIJING):%Y-%m-%d %H:%M %z}"
        until = output.in_language((f" until {at}", f"，至 {at}"))
    english, chinese = verdict_of(finding.verdict)
    head = f"{case.id}{until}"
    output.say(
        (
            f"  {english:14} {head}  {finding.why}".rstrip(),
            f"  {chinese:　<6}{head}  {in_chinese(finding.why)}".rstrip(),
        ),
        flush=True,
    )


def no_bank(bank: str, there: Iterable[str]) -> Bilingual:
    """End the command: there is no bank of this name. The lines name the banks that exist."""
    names = ", ".join(there)
    return f"no bank {bank}; there are {names}", f"没有银行 {bank}；可用的是 {names}"


def last_line(findings: Mapping[str, CaseFinding], pack: Path | None) -> Bilingual:
    """The line that a round ends with: how many cases have which verdict."""
    from gateway.jointtest import runner
    from gateway.jointtest.verdicts import TITLES

    counts = Counter(one.verdict for one in findings.values())
    shown = "，".join(f"{chinese} {counts[verdict]}" for verdict, (_, chinese) in TITLES.items() if counts[verdict])
    return (
        runner.last_line(findings, pack),
        f"joint-test：{len(findings)} 个用例：{shown or '无'}；证据包 {'-' if pack is None else pack}",
    )


def verdict_of(verdict: CaseVerdict) -> Bilingual:
    """A verdict as lines of the terminal show it."""
    from gateway.jointtest.verdicts import TITLES

    return verdict.value, TITLES[verdict][1]


def verdict_shown(value: str) -> str:
    """A verdict in the language of the environment."""
    from gateway.jointtest.verdicts import CaseVerdict

    known = {one.value: one for one in CaseVerdict}
    return output.in_language(verdict_of(known[value])) if value in known else value


def reason_shown(english: object) -> str:
    """A reason in the language of the environment."""
    from gateway.jointtest.reason_words import in_chinese

    return output.in_language((str(english or ""), in_chinese(str(english or ""))))


def difference_in_chinese(one: Difference) -> str:
    """The change of a case's verdict, in Chinese."""

    def standing(english: str) -> str:
        verdict, _space, rest = english.partition(" in ")
        if not rest:
            return _THERE.get(english, english)
        from gateway.jointtest.verdicts import TITLES

        named = {known.value: chinese for known, (_, chinese) in TITLES.items()}
        return f"{named.get(verdict, verdict)}，{rest}"

    return f"{one.case}：{standing(one.before)} → {standing(one.after)}"


def plan_of(folder: Path) -> RunPlan:
    """The plan in this folder. Ends the command with the plan's mistakes, if there are any."""
    from gateway.jointtest import plan

    try:
        return plan.load_plan(folder)
    except plan.BadPlan as error:
        output.leave(exit_codes.CONFIG, *output.explained_lines(str(error).splitlines(), "联调计划有误："))


def store_of(context: typer.Context, folder: Path) -> RunStore:
    """The journal in this folder. It ends the command when there is neither plan nor journal, or when the journal was
    altered."""
    from gateway.jointtest import plan, run_store
    from gateway.jointtest.run_store import BadJournal, RunStore

    if not any((folder / name).is_file() for name in (plan.FILE, run_store.FILE)):
        output.leave(
            exit_codes.USAGE,
            (
                f"{folder} has no {plan.FILE}; name the run's folder, or make one with `bankgw joint-test init`",
                f"{folder} 中没有 {plan.FILE}；请指明联调目录，或用 `bankgw joint-test init` 新建",
            ),
        )
    try:
        return RunStore(folder, output.environment(context).now)
    except BadJournal as error:
        output.leave(exit_codes.FAILED, output.explained(error, "联调记录不能采用："))


def pack_refusal(error: Exception, chinese: str) -> list[str | Bilingual]:
    """The lines about a pack that was refused; `chinese` stands above lines that have no Chinese."""
    told = getattr(error, "chinese", "")
    return [(str(error), told)] if told else output.explained_lines(str(error).splitlines(), chinese)


def cases_of(
    context: typer.Context, folder: Path, config: Path, *, production: bool = False
) -> tuple[Bank, tuple[Case, ...]]:
    """The bank as the gateway's settings build it, and its cases, including the user's own. `production`: only the
    production check.
    """
    from gateway.jointtest.cases import FILES, FINANCE, derive
    from gateway.jointtest.production import case

    plan, settings = plan_of(folder), output.loaded(context, config).settings
    if plan.bank not in settings.banks:
        there = ", ".join(settings.banks)
        output.leave(
            exit_codes.CONFIG,
            (f"{config} knows no bank {plan.bank}; it has {there}", f"{config} 中没有银行 {plan.bank}；有 {there}"),
        )
    built = output.environment(context).load_bank(settings.banks[plan.bank])
    if production:
        return built, (case(built),)
    catalogue = derive(built, FINANCE if plan.told.scripts == "finance" else FILES)
    return built, (*catalogue, *own_cases_in(plan.path(plan.told.cases), built, catalogue))


def own_cases_in(folder: Path, bank: Bank, catalogue: Sequence[Case]) -> tuple[Case, ...]:
    """The user's own cases in a folder. Ends the command with all mistakes of the files, if there are any."""
    from gateway.jointtest.case_files import BadCaseFiles, own_cases

    try:
        return own_cases(folder, bank, catalogue)
    except BadCaseFiles as error:
        count = len(error.mistakes)
        output.leave(
            exit_codes.CONFIG,
            *(one.said() for one in error.mistakes),
            (f"{count} mistakes in case files; nothing was played", f"用例文件有 {count} 处错误；未执行任何用例"),
        )


def packed(context: typer.Context, store: RunStore, plan: RunPlan, cases: tuple[Case, ...], key: Path) -> Path:
    """Make the pack and its papers; prints the root, and what could not be made."""
    from gateway.jointtest import outcome
    from gateway.jointtest.pack_root import grouped

    try:
        made = outcome.make(store, plan, cases, key, output.environment(context).now())
    except ValueError as error:
        output.leave(exit_codes.USAGE, output.explained(error, "未能生成证据包："))
    for note in made.notes:
        output.say((f"note: {note}", f"注：{note}"))
    output.say((f"root: {grouped(made.root)}", f"根校验值：{grouped(made.root)}"))
    return made.pack


def user() -> str:
    """The operating system's user who runs the command."""
    import getpass

    return getpass.getuser()
