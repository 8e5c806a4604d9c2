"""`bankgw joint-test`: cases against a bank's front end, their verdicts, and evidence that a bank can sign."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli import exit_codes, joint_run, output
from gateway.cli.commands import joint_test_place, joint_test_serve, joint_test_verify
from gateway.cli.help_pages import FullHelpGroup
from gateway.cli.output import DEFAULT_CONFIG, AsJson, Config, ReasonOption

if TYPE_CHECKING:
    from gateway.jointtest.cases import Case
    from gateway.jointtest.plan import RunPlan
    from gateway.jointtest.run_store import RunStore
    from gateway.jointtest.session import SessionRequest
    from gateway.jointtest.verdicts import CaseFinding

RunFolder = Annotated[Path, typer.Argument(metavar="DIR", help="The run's folder, with joint-test.toml in it.")]
By = Annotated[str, typer.Option("--by", help="Who says so; kept in the run's journal.")]
Finance = Annotated[bool, typer.Option("--finance", help="Accountants' acceptance scripts, not the bank's cases.")]
OwnCases = Annotated[Path | None, typer.Option("--dir", help="A folder with cases of one's own, *.toml.")]
CaseName = Annotated[str, typer.Argument(metavar="CASE", help="A case, as `bankgw joint-test cases` names it.")]


def application() -> typer.Typer:
    """The group `bankgw joint-test`."""
    summary = "Joint tests with a bank (联调): cases, verdicts, evidence."
    group = typer.Typer(help=summary, no_args_is_help=True, cls=FullHelpGroup)
    group.command("cases")(list_cases)
    group.command("run")(run)
    group.command("resume")(resume)
    group.command("status")(status)
    group.command("record")(record)
    group.command("waive")(waive)
    group.command("close")(close)
    group.command("pack")(pack)
    group.command("verify")(joint_test_verify.verify)
    group.command("countersign")(joint_test_verify.countersign)
    group.command("production-check")(production_check)
    group.command("attest")(joint_test_verify.attest)
    group.command("differences")(compare)
    group.command("affected")(affected)
    group.command("workbook")(workbook)
    group.command("init")(init)
    group.command("trial")(joint_test_place.trial)
    group.command("place")(joint_test_place.place)
    group.command("serve")(joint_test_serve.serve)
    group.command("relay")(joint_test_place.relay)
    return group


def list_cases(
    bank: Annotated[str, typer.Argument(metavar="BANK", help="A folder of protocols/banks.")],
    finance: Finance = False,
    own: OwnCases = None,
    as_json: AsJson = False,
) -> None:
    """List a bank's cases, which are derived from its declarations. A case that the bank cannot have shows the reason.

    With --dir also the user's own cases. Exit code 78 with every mistake of their files.
    """
    from gateway import capabilities
    from gateway.jointtest.cases import FILES, FINANCE, derive
    from protocols.trial import banks

    if bank not in banks():
        output.leave(exit_codes.USAGE, joint_run.no_bank(bank, banks()))
    built = capabilities.tried(bank)
    found = derive(built, FINANCE if finance else FILES)
    if own is not None:
        found = (*found, *joint_run.own_cases_in(own, built, found))
    if as_json:
        output.dump(
            [
                {
                    "id": one.id,
                    "title": one.title,
                    "title_zh": one.title_zh,
                    "cause": one.cause.value,
                    "seen": [where.value for where in one.seen],
                    "lacks": one.lacks or None,
                    "steps": one.steps if one.play == "hand" else None,
                    "steps_zh": one.steps_zh if one.play == "hand" else None,
                }
                for one in found
            ]
        )
        return
    rows = [
        {
            "id": one.id,
            "title": output.in_language((one.title, one.title_zh)),
            "cause": one.cause.value,
            "lacks": joint_run.reason_shown(one.lacks),
            "seen": _seen_at(one),
        }
        for one in found
    ]
    columns = {"id": "case", "title": "", "cause": "caused by", "seen": "seen at", "lacks": "not applicable"}
    output.table(rows, columns, "no cases")


def _seen_at(one: Case) -> str:
    if one.by_twin_only:
        return output.in_language(("twin only", "仅模拟银行"))
    return output.in_language((" or ", " 或 ")).join(where.value for where in one.seen)


def run(
    context: typer.Context,
    folder: RunFolder,
    case: Annotated[list[str] | None, typer.Option("--case", help="Only this, again, in the present round.")] = None,
    business_date: Annotated[
        str | None, typer.Option(metavar="DATE", help="The bank's business date, in a test environment; audited.")
    ] = None,
    by: By = "",
    config: Config = DEFAULT_CONFIG,
) -> None:
    """Begin the next round and play every case; with --case play one again in the present round.

    The exit code is 0 when nothing failed, else 1.
    """
    from gateway.jointtest.session import SessionRequest

    names = tuple(case or ())
    _sit(context, folder, SessionRequest(not names, names, _date(business_date), by or joint_run.user()), config)


def resume(
    context: typer.Context,
    folder: RunFolder,
    business_date: Annotated[
        str | None, typer.Option(metavar="DATE", help="The bank's business date, in a test environment; audited.")
    ] = None,
    by: By = "",
    config: Config = DEFAULT_CONFIG,
) -> None:
    """Continue the present round: ask about interrupted cases, and look again at waiting ones.

    Nothing is sent twice: a published order is never published as a new one.
    """
    from gateway.jointtest import runner
    from gateway.jointtest.session import SessionRequest

    joint_run.plan_of(folder)
    store = _begun(context, folder)
    cases = joint_run.cases_of(context, folder, config)[1]
    if not runner.wanted(store.run, cases, store.run.rounds):
        round_ = store.run.rounds
        output.say(
            (
                f"every case of round {round_} is decided: nothing was played. `bankgw joint-test close` ends the run, "
                "`bankgw joint-test run` begins another round",
                f"第 {round_} 轮的用例均已有结论：未执行任何用例。以 `bankgw joint-test close` 关闭，"
                "或以 `bankgw joint-test run` 开始新一轮",
            )
        )
        return
    _sit(context, folder, SessionRequest(False, (), _date(business_date), by or joint_run.user()), config)


def _begun(context: typer.Context, folder: Path) -> RunStore:
    """The journal of a run whose round is still open. Ends the command if there is none."""
    store = joint_run.store_of(context, folder)
    if not store.run.rounds:
        output.leave(
            exit_codes.REFUSED,
            (
                "no round has begun; `bankgw joint-test run` begins one",
                "尚未开始任何一轮；以 `bankgw joint-test run` 开始",
            ),
        )
    if store.run.closed is not None:
        at = store.run.closed.astimezone().strftime("%Y-%m-%d %H:%M")
        by = next((str(one.get("by") or "-") for one in reversed(store.run.acts) if one["what"] == "closed"), "-")
        output.leave(
            exit_codes.REFUSED,
            (
                f"the run was closed at {at} by {by}; `bankgw joint-test run` begins another round, `pack` makes the "
                "report again",
                f"本次联调已于 {at} 由 {by} 关闭；以 `bankgw joint-test run` 开始新一轮，以 `pack` 重新生成报告",
            ),
        )
    return store


def status(context: typer.Context, folder: RunFolder, as_json: AsJson = False) -> None:
    """Show the verdict of every case of a run."""

    store = joint_run.store_of(context, folder)
    standing = store.run.standing()
    rows = [
        {
            "case": name,
            "verdict": one.finding.verdict.value,
            "round": one.round,
            "why": one.finding.why,
            "until": None if one.finding.until is None else one.finding.until.isoformat(),
            "seen": None if one.finding.seen is None else one.finding.seen.value,
        }
        for name, one in standing.items()
    ]
    if as_json:
        output.dump(
            {
                "run": store.run.id,
                "bank": store.run.bank,
                "rounds": store.run.rounds,
                "cases": rows,
                "closed": store.run.closed is not None,
            }
        )
        return
    shown = [
        {**row, "verdict": joint_run.verdict_shown(str(row["verdict"])), "why": joint_run.reason_shown(row["why"])}
        for row in rows
    ]
    columns = {"case": "case", "verdict": "", "round": "R", "seen": "seen at", "why": "", "until": "until"}
    output.table(shown, columns, "nothing played yet")
    output.say(joint_run.last_line({name: one.finding for name, one in standing.items()}, None))


def record(
    context: typer.Context,
    folder: RunFolder,
    case: CaseName,
    verdict: Annotated[str, typer.Option(help="passed, failed or blocked.")],
    by: By,
    note: Annotated[str, typer.Option(help="What was seen, and where.")],
) -> None:
    """Record what people observed of a case made by hand, or of one that the bank blocks."""
    from gateway.jointtest.verdicts import CaseFinding, CaseVerdict

    if verdict not in ("passed", "failed", "blocked"):
        output.leave(
            exit_codes.USAGE, ("--verdict is passed, failed or blocked", "--verdict 为 passed、failed 或 blocked")
        )
    plan, store = joint_run.plan_of(folder), joint_run.store_of(context, folder)
    seen = None if verdict == "blocked" else plan.seen
    _decide(plan, store, case, CaseFinding(CaseVerdict(verdict), note, seen=seen), by)


def waive(
    context: typer.Context,
    folder: RunFolder,
    case: CaseName,
    owner: Annotated[str, typer.Option(help="Who answers for leaving it out.")],
    reason: ReasonOption,
) -> None:
    """Leave a case out; its owner and the reason are in the report."""
    from gateway.jointtest.verdicts import CaseFinding, CaseVerdict

    plan, store = joint_run.plan_of(folder), joint_run.store_of(context, folder)
    _decide(plan, store, case, CaseFinding(CaseVerdict.WAIVED, reason, owner=owner), owner)


def _decide(plan: RunPlan, store: RunStore, case: str, finding: CaseFinding, by: str) -> None:
    from gateway.control.client import ControlClient
    from gateway.jointtest import trail

    if case not in store.run.cases:
        output.leave(exit_codes.USAGE, (f"no case is called {case}", f"没有用例 {case}"))
    if not store.run.rounds:
        output.leave(
            exit_codes.REFUSED,
            (
                "no round has begun; `bankgw joint-test run` begins one",
                "尚未开始任何一轮；以 `bankgw joint-test run` 开始",
            ),
        )
    one = store.run.latest(case, store.run.rounds) or store.start(case)
    store.end(one, finding, by=by)
    ended = store.run.latest(case)
    assert ended is not None
    why = trail.tell(ControlClient(plan.path(plan.told.socket)), store.run, trail.entry_about(ended))
    if why:
        store.act(trail.MISSED, by, attempt=ended.name, why=why)
        output.say((f"note: not in the gateway's audit trail: {why}", f"注：未写入网关的审计链：{why}"))
    english, chinese = joint_run.verdict_of(finding.verdict)
    output.say((f"{case}: {english}", f"{case}：{chinese}"))


def close(context: typer.Context, folder: RunFolder, by: By, config: Config = DEFAULT_CONFIG) -> None:
    """Settle the open cases, and close the run. Exit code 3 while a case is neither passed, inapplicable nor waived."""
    from gateway.jointtest import runner
    from gateway.jointtest.session import SessionRequest

    _begun(context, folder)
    joint_run.played(context, folder, SessionRequest(False, (), None, by), config)
    store = joint_run.store_of(context, folder)
    left = runner.undecided_cases(store.run, joint_run.cases_of(context, folder, config)[1])
    if left:
        output.leave(
            exit_codes.REFUSED,
            *((f"{name}: play it again, record it or waive it", f"{name}：请重做、记录或豁免") for name in left),
            (f"{len(left)} cases keep the run open", f"{len(left)} 个用例未了结，不能关闭"),
        )
    store.close(by)
    count = len(store.run.standing())
    output.say((f"closed: {count} cases", f"已关闭：{count} 个用例"))


# ---- the sitting -------------------------------------------------------------------------------------------------


def _sit(context: typer.Context, folder: Path, wish: SessionRequest, config: Path) -> None:
    from gateway.jointtest import outcome
    from gateway.jointtest.verdicts import CaseVerdict

    store = joint_run.played(context, folder, wish, config)
    findings = {name: one.finding for name, one in store.run.of_round(store.run.rounds).items()}
    cases = joint_run.cases_of(context, folder, config)[1]
    made = joint_run.packed(context, store, joint_run.plan_of(folder), cases, folder / "pack-key.pem")
    for one in outcome.changes(store, cases):
        before = f"R{store.run.rounds - 1}"
        output.say((f"  since {before}: {one}", f"  与 {before} 相比：{joint_run.difference_in_chinese(one)}"))
    output.say(joint_run.last_line(findings, made))
    if any(one.verdict is CaseVerdict.FAILED for one in findings.values()):
        raise typer.Exit(exit_codes.FAILED)


def production_check(context: typer.Context, folder: RunFolder, config: Config = DEFAULT_CONFIG) -> None:
    """生产小额验证: one transfer of 1.00 between own accounts, two persons; next day its statement and receipt.

    The first call submits the transfer, which the gateway must hold; a second user of the operating system releases it
    (bankgw orders release). Call the command again after that, and on the next day. Nothing is submitted twice. DIR
    must contain nothing else.
    """
    from gateway.jointtest.session import SessionRequest
    from gateway.jointtest.verdicts import CaseVerdict

    begun = bool(joint_run.store_of(context, folder).run.rounds)
    store = joint_run.played(
        context, folder, SessionRequest(not begun, (), None, joint_run.user()), config, production=True
    )
    cases = joint_run.cases_of(context, folder, config, production=True)[1]
    made = joint_run.packed(context, store, joint_run.plan_of(folder), cases, folder / "pack-key.pem")
    findings = {name: one.finding for name, one in store.run.standing().items()}
    output.say(joint_run.last_line(findings, made))
    if any(one.verdict is not CaseVerdict.PASSED for one in findings.values()):
        failed = any(one.verdict is CaseVerdict.FAILED for one in findings.values())
        raise typer.Exit(exit_codes.FAILED if failed else exit_codes.REFUSED)


def _date(text: str | None) -> date | None:
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError:
        output.leave(
            exit_codes.USAGE,
            (f"--business-date {text}: write it as 2026-11-28", f"--business-date {text}：应写作 2026-11-28"),
        )


# ---- evidence ----------------------------------------------------------------------------------------------------

KeyFile = Annotated[
    Path | None,
    typer.Option(
        "--key",
        help="Ed25519 key that signs the pack; made where there is none. Default: pack-key.pem in the run's folder.",
    ),
]


def pack(context: typer.Context, folder: RunFolder, key: KeyFile = None, config: Config = DEFAULT_CONFIG) -> None:
    """Make the signed evidence pack of a run, and the papers that state its root.

    The papers are written beside the pack: the report (HTML and PDF, English and Chinese) and the sheet for the bank's
    stamp.
    """
    store, cases = joint_run.store_of(context, folder), joint_run.cases_of(context, folder, config)[1]
    made = joint_run.packed(context, store, joint_run.plan_of(folder), cases, key or folder / "pack-key.pem")
    output.say(f"{made}")


def compare(
    before: Annotated[Path, typer.Argument(metavar="OLD", help="An evidence pack.")],
    after: Annotated[Path, typer.Argument(metavar="NEW", help="Another one.")],
) -> None:
    """List the cases whose verdicts differ between two evidence packs. Exit code 1 when a case that had passed no
    longer does.
    """
    from gateway.jointtest import differences
    from gateway.jointtest.pack_check import BadPack, open_pack

    try:
        old, new = open_pack(before).cases, open_pack(after).cases
    except (BadPack, OSError) as error:
        output.leave(exit_codes.USAGE, *joint_run.pack_refusal(error, "证据包不能采用："))
    found = list(differences.between(old, new))
    for one in found:
        output.say((str(one), joint_run.difference_in_chinese(one)))
    output.say((f"{len(found)} differences", f"{len(found)} 处不同"))
    worse = [one for one in found if one.before.startswith("passed") and not one.after.startswith("passed")]
    if worse:
        raise typer.Exit(exit_codes.FAILED)


def affected(
    bank: Annotated[str, typer.Argument(metavar="BANK", help="A folder of protocols/banks.")],
    before: Annotated[Path, typer.Argument(metavar="OLD", help="A pack made with the version of before.")],
    after: Annotated[
        Path | None, typer.Argument(metavar="NEW", help="A pack made with the new version; default: this program.")
    ] = None,
) -> None:
    """List the cases to play again after an upgrade, each with the file whose change asks for it."""
    from gateway import capabilities
    from gateway.jointtest import differences
    from gateway.jointtest.cases import derive
    from gateway.jointtest.pack_check import BadPack, open_pack
    from protocols.trial import banks

    if bank not in banks():
        output.leave(exit_codes.USAGE, joint_run.no_bank(bank, banks()))
    try:
        old = open_pack(before).manifest["program"]
        new = differences.program() if after is None else open_pack(after).manifest["program"]
    except (BadPack, OSError) as error:
        output.leave(exit_codes.USAGE, *joint_run.pack_refusal(error, "证据包不能采用："))
    changed = differences.changed_files(old, new)
    found = differences.affected(derive(capabilities.tried(bank)), bank, changed)
    for case, path in found.items():
        output.say(f"{case:40} {path}")
    files, count = len(changed), len(found)
    output.say((f"{files} files changed; {count} cases to play again", f"{files} 个文件有变动；{count} 个用例须重做"))


def workbook(
    context: typer.Context,
    folder: RunFolder,
    book: Annotated[Path, typer.Argument(metavar="XLSX", help="The bank's workbook.")],
    mapping: Annotated[Path, typer.Option("--mapping", help="TOML that says which column is what.")],
    to: Annotated[
        Path | None, typer.Option("--to", help="Write the results into a copy; without it, only compare the cases.")
    ] = None,
    lang: Annotated[str, typer.Option(help="en or zh: the language of the verdicts.")] = "zh",
    config: Config = DEFAULT_CONFIG,
) -> None:
    """Read the bank's own case workbook; with --to write verdicts, references, serials, testers, versions into it."""
    from gateway.jointtest import workbook as books
    from gateway.jointtest.pack import cases_of
    from gateway.jointtest.report import LANGUAGES

    if lang not in LANGUAGES:
        there = ", ".join(LANGUAGES)
        output.leave(exit_codes.USAGE, (f"--lang is one of {there}", f"--lang 为其中之一：{there}"))
    plan, cases = joint_run.plan_of(folder), joint_run.cases_of(context, folder, config)[1]
    known, filled = frozenset(case.id for case in cases), 0
    try:
        told = books.read_mapping(mapping)
        found = books.bank_cases(book, told, known)
        if to is not None:
            titles = {case.id: (case.title, case.title_zh) for case in cases}
            filled = books.fill(
                book,
                told,
                cases_of(joint_run.store_of(context, folder).run, titles),
                plan.told.testers.model_dump(),
                to,
                known,
                LANGUAGES.index(lang),
                folder / "evidence",
            )
    except books.BadWorkbook as error:
        output.leave(exit_codes.USAGE, *output.explained_lines(str(error).splitlines(), "用例表不能采用："))
    by_hand = output.in_language(("by hand", "人工"))
    rows = [{"number": one.number, "title": one.title, "case": one.case or by_hand} for one in found]
    output.table(rows, {"number": "bank's case", "title": "", "case": "our case"}, "no cases in the workbook")
    if to is not None:
        count = len(found)
        output.say((f"{to}: results of {filled} of {count} cases", f"{to}：{count} 个用例中 {filled} 个有结果"))


def init(
    folder: RunFolder,
    bank: Annotated[str, typer.Option(help="The bank, as the gateway's settings name it.")],
    sender: Annotated[str, typer.Option(help="The sender in the gateway's settings.")] = "joint",
    finance: Finance = False,
) -> None:
    """Write a joint-test.toml to be filled in. An existing file is never overwritten."""
    from gateway.jointtest import plan

    file = folder / plan.FILE
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with file.open("x", encoding="utf-8") as out:
            out.write(plan.example(bank, sender, "finance" if finance else "bank"))
    except FileExistsError:
        output.leave(
            exit_codes.REFUSED,
            (f"{file} is there already; a plan is never overwritten", f"{file} 已存在；不覆盖已有的计划"),
        )
    except OSError as error:
        output.leave(
            exit_codes.FAILED,
            (f"{file} cannot be written: {error.strerror}", f"无法写入 {file}：{output.os_reason(error)}"),
        )
    output.say(
        (
            f"{file}: fill in what stands in <…>, then `bankgw joint-test run {folder}`",
            f"{file}：请填写 <…> 中的内容，然后 `bankgw joint-test run {folder}`",
        )
    )
