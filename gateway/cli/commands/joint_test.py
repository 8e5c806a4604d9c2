"""`bankgw joint-test`: cases against a bank's front end, their verdicts, and evidence that a bank can sign."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli import exit_codes, joint_run, output
from gateway.cli.commands import joint_test_place
from gateway.cli.help_pages import Listing
from gateway.cli.output import DEFAULT_CONFIG, AsJson, Config, ReasonOption

if TYPE_CHECKING:
    from gateway.jointtest.run_store import RunStore
    from gateway.jointtest.session import Wish
    from gateway.jointtest.verdicts import CaseFinding

RunFolder = Annotated[Path, typer.Argument(metavar="DIR", help="The run's folder, with joint-test.toml in it.")]
By = Annotated[str, typer.Option("--by", help="Who says so; kept in the run's journal.")]
Finance = Annotated[bool, typer.Option("--finance", help="Accountants' acceptance scripts, not the bank's cases.")]
CaseName = Annotated[str, typer.Argument(metavar="CASE", help="A case, as `bankgw joint-test cases` names it.")]


def application() -> typer.Typer:
    """The group."""
    summary = "Joint tests with a bank (联调): cases, verdicts, evidence."
    group = typer.Typer(help=summary, no_args_is_help=True, cls=Listing)
    group.command("cases")(list_cases)
    group.command("run")(run)
    group.command("resume")(resume)
    group.command("status")(status)
    group.command("record")(record)
    group.command("waive")(waive)
    group.command("close")(close)
    group.command("pack")(pack)
    group.command("verify")(verify)
    group.command("production-check")(production_check)
    group.command("attest")(attest)
    group.command("differences")(compare)
    group.command("affected")(affected)
    group.command("workbook")(workbook)
    group.command("init")(init)
    group.command("trial")(joint_test_place.trial)
    group.command("place")(joint_test_place.place)
    group.command("serve")(joint_test_place.serve)
    group.command("relay")(joint_test_place.relay)
    return group


def list_cases(
    bank: Annotated[str, typer.Argument(metavar="BANK", help="A folder of protocols/banks.")],
    finance: Finance = False,
    as_json: AsJson = False,
) -> None:
    """List a bank's cases, derived from what it declares; those it cannot have say why."""
    from gateway import capabilities
    from gateway.jointtest.cases import FILES, FINANCE, derive
    from protocols.trial import banks

    if bank not in banks():
        output.leave(exit_codes.USAGE, f"no bank {bank}; there are {', '.join(banks())}")
    found = derive(capabilities.tried(bank), FINANCE if finance else FILES)
    if as_json:
        output.dump([{"id": one.id, "title": one.title, "title_zh": one.title_zh, "cause": one.cause.value,
                      "seen": [where.value for where in one.seen], "lacks": one.lacks or None,
                      "steps": one.steps if one.play == "hand" else None,
                      "steps_zh": one.steps_zh if one.play == "hand" else None}
                     for one in found])  # fmt: skip
        return
    rows = [{"id": one.id, "title": one.title, "cause": one.cause.value, "lacks": one.lacks,
             "seen": "twin only" if one.by_twin_only else " or ".join(where.value for where in one.seen)}
            for one in found]  # fmt: skip
    columns = {"id": "case", "title": "", "cause": "caused by", "seen": "seen at", "lacks": "not applicable"}
    output.table(rows, columns, "no cases")


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
    from gateway.jointtest.session import Wish

    names = tuple(case or ())
    _sit(context, folder, Wish(not names, names, _date(business_date), by or joint_run.user()), config)


def resume(
    context: typer.Context,
    folder: RunFolder,
    business_date: Annotated[
        str | None, typer.Option(metavar="DATE", help="The bank's business date, in a test environment; audited.")
    ] = None,
    by: By = "",
    config: Config = DEFAULT_CONFIG,
) -> None:
    """Go on with the present round: what was interrupted is asked about, what waited is looked at again.

    Nothing is sent twice: an order that was published is never published anew.
    """
    from gateway.jointtest.session import Wish

    _sit(context, folder, Wish(False, (), _date(business_date), by or joint_run.user()), config)


def status(
    context: typer.Context,
    folder: RunFolder,
    as_json: AsJson = False,
) -> None:
    """Say how every case of a run stands."""
    from gateway.jointtest import runner

    store = joint_run.store_of(context, folder)
    standing = store.run.standing()
    rows = [{"case": name, "verdict": one.finding.verdict.value, "round": one.round, "why": one.finding.why,
             "until": None if one.finding.until is None else one.finding.until.isoformat(),
             "seen": None if one.finding.seen is None else one.finding.seen.value}
            for name, one in standing.items()]  # fmt: skip
    if as_json:
        output.dump({"run": store.run.id, "bank": store.run.bank, "rounds": store.run.rounds, "cases": rows,
                     "closed": store.run.closed is not None})  # fmt: skip
        return
    output.table(rows, {"case": "case", "verdict": "", "round": "R", "seen": "seen at", "why": "", "until": "until"},
                 "nothing played yet")  # fmt: skip
    output.say(runner.last_line({name: one.finding for name, one in standing.items()}, None))


def record(
    context: typer.Context,
    folder: RunFolder,
    case: CaseName,
    verdict: Annotated[str, typer.Option(help="passed, failed or blocked.")],
    by: By,
    note: Annotated[str, typer.Option(help="What was seen, and where.")],
) -> None:
    """Record what people saw of a case made by hand, or of one that the bank blocks."""
    from gateway.jointtest.verdicts import CaseFinding, CaseVerdict

    if verdict not in ("passed", "failed", "blocked"):
        output.leave(exit_codes.USAGE, "--verdict is passed, failed or blocked")
    plan, store = joint_run.plan_of(folder), joint_run.store_of(context, folder)
    seen = None if verdict == "blocked" else plan.seen
    _decide(store, case, CaseFinding(CaseVerdict(verdict), note, seen=seen), by)


def waive(context: typer.Context, folder: RunFolder, case: CaseName,
          owner: Annotated[str, typer.Option(help="Who answers for leaving it out.")],
          reason: ReasonOption) -> None:  # fmt: skip
    """Leave a case out; its owner and the reason stand in the report."""
    from gateway.jointtest.verdicts import CaseFinding, CaseVerdict

    _decide(joint_run.store_of(context, folder), case, CaseFinding(CaseVerdict.WAIVED, reason, owner=owner), owner)


def _decide(store: RunStore, case: str, finding: CaseFinding, by: str) -> None:
    if case not in store.run.cases:
        output.leave(exit_codes.USAGE, f"no case is called {case}")
    if not store.run.rounds:
        output.leave(exit_codes.REFUSED, "no round has begun; `bankgw joint-test run` begins one")
    one = store.run.latest(case, store.run.rounds) or store.start(case)
    store.end(one, finding, by=by)
    output.say(f"{case}: {finding.verdict.value}")


def close(context: typer.Context, folder: RunFolder, by: By, config: Config = DEFAULT_CONFIG) -> None:
    """Settle what is left, and close the run. Exit code 3 while a case is neither passed, inapplicable nor waived."""
    from gateway.jointtest import runner
    from gateway.jointtest.session import Wish

    if not joint_run.store_of(context, folder).run.rounds:
        output.leave(exit_codes.REFUSED, "no round has begun; there is nothing to close")
    joint_run.played(context, folder, Wish(False, (), None, by), config)
    store = joint_run.store_of(context, folder)
    left = runner.undecided_cases(store.run, joint_run.cases_of(context, folder, config)[1])
    if left:
        output.leave(exit_codes.REFUSED, *(f"{name}: play it again, record it or waive it" for name in left),
                     f"{len(left)} cases keep the run open")  # fmt: skip
    store.close(by)
    output.say(f"closed: {len(store.run.standing())} cases")


# ---- the sitting -------------------------------------------------------------------------------------------------


def _sit(context: typer.Context, folder: Path, wish: Wish, config: Path) -> None:
    from gateway.jointtest import outcome, runner
    from gateway.jointtest.verdicts import CaseVerdict

    store = joint_run.played(context, folder, wish, config)
    findings = {name: one.finding for name, one in store.run.of_round(store.run.rounds).items()}
    cases = joint_run.cases_of(context, folder, config)[1]
    made = joint_run.packed(context, store, joint_run.plan_of(folder), cases, folder / "pack-key.pem")
    for one in outcome.changes(store, cases):
        output.say(f"  since R{store.run.rounds - 1}: {one}")
    output.say(runner.last_line(findings, made))
    if any(one.verdict is CaseVerdict.FAILED for one in findings.values()):
        raise typer.Exit(exit_codes.FAILED)


def production_check(context: typer.Context, folder: RunFolder, config: Config = DEFAULT_CONFIG) -> None:
    """生产小额验证: one transfer of 1.00 between own accounts, two persons; next day its statement and receipt.

    The first call gives the transfer, which the gateway must hold; a second user of the operating system releases it
    (bankgw orders release). Call it again then, and on the next day. Nothing is given twice. DIR holds nothing else.
    """
    from gateway.jointtest import runner
    from gateway.jointtest.session import Wish
    from gateway.jointtest.verdicts import CaseVerdict

    begun = bool(joint_run.store_of(context, folder).run.rounds)
    store = joint_run.played(context, folder, Wish(not begun, (), None, joint_run.user()), config, production=True)
    cases = joint_run.cases_of(context, folder, config, production=True)[1]
    made = joint_run.packed(context, store, joint_run.plan_of(folder), cases, folder / "pack-key.pem")
    findings = {name: one.finding for name, one in store.run.standing().items()}
    output.say(runner.last_line(findings, made))
    if any(one.verdict is not CaseVerdict.PASSED for one in findings.values()):
        failed = any(one.verdict is CaseVerdict.FAILED for one in findings.values())
        raise typer.Exit(exit_codes.FAILED if failed else exit_codes.REFUSED)


def _date(text: str | None) -> date | None:
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError:
        output.leave(exit_codes.USAGE, f"--business-date {text}: write it as 2026-11-28")


# ---- evidence ----------------------------------------------------------------------------------------------------

KeyFile = Annotated[
    Path | None, typer.Option("--key", help="Ed25519 key that signs the pack; made where there is none. "
                                            "Default: pack-key.pem in the run's folder.")
]  # fmt: skip


def pack(context: typer.Context, folder: RunFolder, key: KeyFile = None, config: Config = DEFAULT_CONFIG) -> None:
    """Make the report (HTML and PDF, English and Chinese) and the signed evidence pack of a run."""
    store, cases = joint_run.store_of(context, folder), joint_run.cases_of(context, folder, config)[1]
    made = joint_run.packed(context, store, joint_run.plan_of(folder), cases, key or folder / "pack-key.pem")
    output.say(f"{made}")


def verify(
    file: Annotated[Path, typer.Argument(metavar="PACK", help="An evidence pack.")],
    trusted: Annotated[str | None, typer.Option("--fingerprint", help="The key that must have signed it.")] = None,
    as_json: AsJson = False,
) -> None:
    """Check the signature and every hash of an evidence pack, and say how its cases stand. No gateway is needed."""
    from gateway.jointtest.pack import BadPack, open_pack

    try:
        opened = open_pack(file, trusted)
    except BadPack as error:
        output.leave(exit_codes.FAILED, *str(error).splitlines())
    except OSError as error:
        output.leave(exit_codes.USAGE, f"{file} cannot be read: {error.strerror}")
    if as_json:
        output.dump({"fingerprint": opened.fingerprint, **opened.manifest})
        return
    rows = [{"case": name, **one} for name, one in opened.cases.items()]
    output.table(rows, {"case": "case", "verdict": "", "round": "R", "seen": "seen at", "why": ""}, "no cases")
    output.say(f"{len(opened.manifest['files'])} files are as they were signed by {opened.fingerprint}")


def attest(
    file: Annotated[Path, typer.Argument(metavar="PACK", help="An evidence pack of a run against the bank.")],
    kind: Annotated[str, typer.Argument(metavar="KIND", help="payment or transfer.")],
    trusted: Annotated[str, typer.Option("--fingerprint", help="The key that signed it, as on the signed page.")],
) -> None:
    """Print what the settings need so that an order in doubt may be sent again in production without asking first.

    The pack must have the case `repeat.KIND` passed, and seen at the bank.
    """
    from gateway.jointtest.pack import BadPack, attestation

    try:
        found = attestation(file, kind, trusted)
    except BadPack as error:
        output.leave(exit_codes.REFUSED, *str(error).splitlines())
    except OSError as error:
        output.leave(exit_codes.USAGE, f"{file} cannot be read: {error.strerror}")
    output.say(f"[[banks.{found.pop('bank')}.attested]]")
    for name, value in found.items():
        output.say(f'{name} = "{value}"' if name != "seen_on" else f"{name} = {value}")


def compare(
    before: Annotated[Path, typer.Argument(metavar="OLD", help="An evidence pack.")],
    after: Annotated[Path, typer.Argument(metavar="NEW", help="Another one.")],
) -> None:
    """Say which cases stand otherwise in two evidence packs. Exit code 1 when one that had passed no longer does."""
    from gateway.jointtest import differences
    from gateway.jointtest.pack import BadPack, open_pack

    try:
        old, new = open_pack(before).cases, open_pack(after).cases
    except (BadPack, OSError) as error:
        output.leave(exit_codes.USAGE, *str(error).splitlines())
    found = list(differences.between(old, new))
    for one in found:
        output.say(str(one))
    output.say(f"{len(found)} differences")
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
    from gateway.jointtest.pack import BadPack, open_pack
    from protocols.trial import banks

    if bank not in banks():
        output.leave(exit_codes.USAGE, f"no bank {bank}; there are {', '.join(banks())}")
    try:
        old = open_pack(before).manifest["program"]
        new = differences.program() if after is None else open_pack(after).manifest["program"]
    except (BadPack, OSError) as error:
        output.leave(exit_codes.USAGE, *str(error).splitlines())
    changed = differences.changed_files(old, new)
    found = differences.affected(derive(capabilities.tried(bank)), bank, changed)
    for case, path in found.items():
        output.say(f"{case:40} {path}")
    output.say(f"{len(changed)} files changed; {len(found)} cases to play again")


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
        output.leave(exit_codes.USAGE, f"--lang is one of {', '.join(LANGUAGES)}")
    plan, cases = joint_run.plan_of(folder), joint_run.cases_of(context, folder, config)[1]
    known, filled = frozenset(case.id for case in cases), 0
    try:
        told = books.read_mapping(mapping)
        found = books.bank_cases(book, told, known)
        if to is not None:
            titles = {case.id: (case.title, case.title_zh) for case in cases}
            filled = books.fill(book, told, cases_of(joint_run.store_of(context, folder).run, titles),
                                plan.told.testers.model_dump(), to, known, LANGUAGES.index(lang))  # fmt: skip
    except books.BadWorkbook as error:
        output.leave(exit_codes.USAGE, *str(error).splitlines())
    rows = [{"number": one.number, "title": one.title, "case": one.case or "by hand"} for one in found]
    output.table(rows, {"number": "bank's case", "title": "", "case": "our case"}, "no cases in the workbook")
    if to is not None:
        output.say(f"{to}: results of {filled} of {len(found)} cases")


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
        output.leave(exit_codes.REFUSED, f"{file} is there already; a plan is never overwritten")
    except OSError as error:
        output.leave(exit_codes.FAILED, f"{file} cannot be written: {error.strerror}")
    output.say(f"{file}: fill in what stands in <…>, then `bankgw joint-test run {folder}`")
