"""`bankgw joint-test`: cases against a bank's front end, their verdicts, and evidence that a bank can sign."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli import exit_codes, output
from gateway.cli.output import DEFAULT_CONFIG, AsJson, Config, ReasonOption

if TYPE_CHECKING:
    from gateway.jointtest.cases import Case
    from gateway.jointtest.plan import RunPlan
    from gateway.jointtest.run_store import RunStore
    from gateway.jointtest.session import Wish
    from gateway.jointtest.verdicts import CaseFinding
    from protocols.bank import Bank

RunFolder = Annotated[Path, typer.Argument(metavar="DIR", help="The run's folder, with joint-test.toml in it.")]
By = Annotated[str, typer.Option("--by", help="Who says so; kept in the run's journal.")]
CaseName = Annotated[str, typer.Argument(metavar="CASE", help="A case, as `bankgw joint-test cases` names it.")]
_LIMIT_S = 3_600.0
_STANDS_S = 7 * 86_400.0


def application() -> typer.Typer:
    """The group."""
    group = typer.Typer(help="Joint tests with a bank (联调): cases, verdicts, evidence.", no_args_is_help=True)
    group.command("cases")(list_cases)
    group.command("run")(run)
    group.command("resume")(resume)
    group.command("status")(status)
    group.command("record")(record)
    group.command("waive")(waive)
    group.command("close")(close)
    group.command("pack")(pack)
    group.command("verify")(verify)
    group.command("attest")(attest)
    group.command("differences")(compare)
    group.command("affected")(affected)
    group.command("workbook")(workbook)
    group.command("init")(init)
    group.command("trial")(trial)
    group.command("place")(place)
    group.command("relay")(relay)
    return group


def list_cases(
    bank: Annotated[str, typer.Argument(metavar="BANK", help="A folder of protocols/banks.")], as_json: AsJson = False
) -> None:
    """List a bank's cases, derived from what it declares; those it cannot have say why."""
    from gateway import capabilities
    from gateway.jointtest.cases import derive
    from protocols.trial import banks

    if bank not in banks():
        output.leave(exit_codes.USAGE, f"no bank {bank}; there are {', '.join(banks())}")
    found = derive(capabilities.tried(bank))
    if as_json:
        output.dump([{"id": one.id, "title": one.title, "title_zh": one.title_zh, "cause": one.cause.value,
                      "seen": [where.value for where in one.seen], "lacks": one.lacks or None}
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
    _sit(context, folder, Wish(not names, names, _date(business_date), by or _user()), config)


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

    _sit(context, folder, Wish(False, (), _date(business_date), by or _user()), config)


def status(
    context: typer.Context,
    folder: RunFolder,
    as_json: AsJson = False,
) -> None:
    """Say how every case of a run stands."""
    from gateway.jointtest import runner

    store = _store(context, folder)
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
    plan, store = _plan(folder), _store(context, folder)
    seen = None if verdict == "blocked" else plan.seen
    _decide(store, case, CaseFinding(CaseVerdict(verdict), note, seen=seen), by)


def waive(context: typer.Context, folder: RunFolder, case: CaseName,
          owner: Annotated[str, typer.Option(help="Who answers for leaving it out.")],
          reason: ReasonOption) -> None:  # fmt: skip
    """Leave a case out; its owner and the reason stand in the report."""
    from gateway.jointtest.verdicts import CaseFinding, CaseVerdict

    _decide(_store(context, folder), case, CaseFinding(CaseVerdict.WAIVED, reason, owner=owner), owner)


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

    if not _store(context, folder).run.rounds:
        output.leave(exit_codes.REFUSED, "no round has begun; there is nothing to close")
    _played(context, folder, Wish(False, (), None, by), config)
    store = _store(context, folder)
    left = runner.undecided_cases(store.run, _cases(context, folder, config)[1])
    if left:
        output.leave(exit_codes.REFUSED, *(f"{name}: play it again, record it or waive it" for name in left),
                     f"{len(left)} cases keep the run open")  # fmt: skip
    store.close(by)
    output.say(f"closed: {len(store.run.standing())} cases")


# ---- the sitting -------------------------------------------------------------------------------------------------


def _sit(context: typer.Context, folder: Path, wish: Wish, config: Path) -> None:
    from gateway.jointtest import runner
    from gateway.jointtest.verdicts import CaseVerdict

    store = _played(context, folder, wish, config)
    findings = {name: one.finding for name, one in store.run.of_round(store.run.rounds).items()}
    made = _packed(context, store, _plan(folder), _cases(context, folder, config)[1], folder / "pack-key.pem")
    output.say(runner.last_line(findings, made))
    if any(one.verdict is CaseVerdict.FAILED for one in findings.values()):
        raise typer.Exit(exit_codes.FAILED)


def _played(context: typer.Context, folder: Path, wish: Wish, config: Path) -> RunStore:
    from gateway.bank.lane_dialer import tls_settings
    from gateway.bank.tls import client_context
    from gateway.cli import erp_profile
    from gateway.cli.broker_client import BrokerSilent, visit
    from gateway.clock import SystemClock
    from gateway.erp.broker_address import BrokerAddress
    from gateway.jointtest import session
    from gateway.jointtest.erp_line import ErpAccess, LineDown
    from gateway.jointtest.run_store import BadJournal

    world, plan = output.environment(context), _plan(folder)
    built, cases = _cases(context, folder, config)
    try:
        profile = erp_profile.read(plan.path(plan.told.erp))
        address = BrokerAddress(profile.host, profile.port, profile.vhost, profile.user,
                                profile.password.read().decode(), tls=profile.tls is not None)  # fmt: skip
        reactor = world.reactor()
        clock = SystemClock(reactor)
        tls = profile.tls and client_context(tls_settings(profile.tls, profile.host), clock)
        key = None if profile.hmac_key is None else profile.hmac_key.read()
        access = ErpAccess(address, plan.told.sender, profile.queue_prefix, tls, key)
        store = session.open_store(folder, plan, cases, world.now)
        with output.asking():
            visit(reactor, lambda: session.sit(reactor, clock, plan, built, access, store, cases, wish,
                                               world.version(), world.now, _told), _LIMIT_S)  # fmt: skip
    except erp_profile.BadProfile as error:
        output.refuse(error.mistakes)
    except (LineDown, BrokerSilent, OSError) as error:
        output.leave(exit_codes.UNAVAILABLE, str(error))
    except session.NotAllowed as error:
        output.leave(exit_codes.REFUSED, str(error))
    except (BadJournal, ValueError) as error:
        output.leave(exit_codes.USAGE, str(error))
    return store


def _told(case: Case, finding: CaseFinding) -> None:
    until = "" if finding.until is None else f" until {finding.until:%Y-%m-%d %H:%M}"
    output.say(f"  {finding.verdict.value:14} {case.id}{until}  {finding.why}".rstrip())


def _plan(folder: Path) -> RunPlan:
    from gateway.jointtest import plan

    try:
        return plan.read(folder)
    except plan.BadPlan as error:
        output.leave(exit_codes.CONFIG, *str(error).splitlines())


def _store(context: typer.Context, folder: Path) -> RunStore:
    from gateway.jointtest.run_store import BadJournal, RunStore

    try:
        return RunStore(folder, output.environment(context).now)
    except BadJournal as error:
        output.leave(exit_codes.FAILED, str(error))


def _cases(context: typer.Context, folder: Path, config: Path) -> tuple[Bank, tuple[Case, ...]]:
    from gateway.jointtest.cases import derive

    plan, settings = _plan(folder), output.loaded(context, config).settings
    if plan.bank not in settings.banks:
        output.leave(exit_codes.CONFIG, f"{config} knows no bank {plan.bank}; it has {', '.join(settings.banks)}")
    built = output.environment(context).load_bank(settings.banks[plan.bank])
    return built, derive(built)


def _date(text: str | None) -> date | None:
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError:
        output.leave(exit_codes.USAGE, f"--business-date {text}: write it as 2026-11-28")


def _user() -> str:
    import getpass

    return getpass.getuser()


# ---- evidence ----------------------------------------------------------------------------------------------------

KeyFile = Annotated[
    Path | None, typer.Option("--key", help="Ed25519 key that signs the pack; made where there is none. "
                                            "Default: pack-key.pem in the run's folder.")
]  # fmt: skip


def pack(context: typer.Context, folder: RunFolder, key: KeyFile = None, config: Config = DEFAULT_CONFIG) -> None:
    """Make the report (HTML and PDF, English and Chinese) and the signed evidence pack of a run."""
    made = _packed(context, _store(context, folder), _plan(folder), _cases(context, folder, config)[1],
                   key or folder / "pack-key.pem")  # fmt: skip
    output.say(f"{made}")


def _packed(context: typer.Context, store: RunStore, plan: RunPlan, cases: tuple[Case, ...], key: Path) -> Path:
    from gateway.jointtest import outcome

    try:
        made = outcome.make(store, plan, cases, key, output.environment(context).now())
    except ValueError as error:
        output.leave(exit_codes.USAGE, str(error))
    for note in made.notes:
        output.say(f"note: {note}")
    return made.pack


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
    plan, cases = _plan(folder), _cases(context, folder, config)[1]
    known, filled = frozenset(case.id for case in cases), 0
    try:
        told = books.read_mapping(mapping)
        found = books.bank_cases(book, told, known)
        if to is not None:
            titles = {case.id: (case.title, case.title_zh) for case in cases}
            filled = books.fill(book, told, cases_of(_store(context, folder).run, titles),
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
) -> None:
    """Write a joint-test.toml to be filled in. An existing file is never overwritten."""
    from gateway.jointtest import plan

    file = folder / plan.FILE
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with file.open("x", encoding="utf-8") as out:
            out.write(plan.example(bank, sender))
    except FileExistsError:
        output.leave(exit_codes.REFUSED, f"{file} is there already; a plan is never overwritten")
    except OSError as error:
        output.leave(exit_codes.FAILED, f"{file} cannot be written: {error.strerror}")
    output.say(f"{file}: fill in what stands in <…>, then `bankgw joint-test run {folder}`")


# ---- a place of its own ------------------------------------------------------------------------------------------


def trial(
    context: typer.Context,
    bank: Annotated[str, typer.Argument(metavar="BANK", help="A bank with a simulated front end.")] = "sample",
    folder: Annotated[Path | None, typer.Option(help="Where to make everything; default: a new folder.")] = None,
    case: Annotated[list[str] | None, typer.Option("--case", help="Only these cases.")] = None,
) -> None:
    """Make a place with real parts (daemon, broker, simulated bank, our relay), and play all cases of a bank there."""
    from gateway.cli.broker_client import BrokerSilent, visit
    from gateway.clock import SystemClock
    from gateway.demo.processes import NotStarted
    from gateway.jointtest import runner
    from gateway.jointtest.cases import derive
    from gateway.jointtest.erp_line import LineDown
    from gateway.jointtest.trial_run import TrialParts, play
    from gateway.jointtest.verdicts import CaseVerdict
    from protocols.trial import banks

    if bank not in banks():
        output.leave(exit_codes.USAGE, f"no bank {bank}; there are {', '.join(banks())}")
    world = output.environment(context)
    at = (folder or Path(tempfile.mkdtemp(prefix="bankgw-joint-"))).absolute()

    def load_bank(settings: Path, name: str) -> Bank:
        return world.load_bank(output.loaded(context, settings).settings.banks[name])

    with ExitStack() as stack:
        broker = stack.enter_context(_broker())
        reactor = world.reactor()
        trial_ = TrialParts(broker, load_bank, world.version(), world.now)
        try:
            store = visit(reactor, lambda: play(reactor, SystemClock(reactor), at, bank, trial_, tuple(case or ()),
                                                _told), _LIMIT_S)  # fmt: skip
        except (NotStarted, LineDown, BrokerSilent) as error:
            output.leave(exit_codes.UNAVAILABLE, str(error))
        except ValueError as error:
            output.leave(exit_codes.USAGE, str(error))
        run_folder = at / "run"
        cases = derive(load_bank(at / "bankgw.toml", bank))
        made = _packed(context, store, _plan(run_folder), cases, run_folder / "pack-key.pem")
    findings = {name: one.finding for name, one in store.run.standing().items()}
    output.say(f"everything is in {at}")
    output.say(runner.last_line(findings, made))
    if any(one.verdict is CaseVerdict.FAILED for one in findings.values()):
        raise typer.Exit(exit_codes.FAILED)


def place(
    context: typer.Context,
    bank: Annotated[str, typer.Argument(metavar="BANK", help="A bank with a simulated front end.")],
    folder: Annotated[Path, typer.Option(help="Where to make everything; must be new or empty.")],
) -> None:
    """Make the place of a trial and leave it running until Ctrl-C, to try `run`, `resume` and the others at.

    The run's folder is DIR/run, the gateway's settings are DIR/bankgw.toml.
    """
    import signal

    from twisted.internet.defer import Deferred

    from gateway.cli.broker_client import BrokerSilent, visit
    from gateway.clock import SystemClock
    from gateway.demo.processes import NotStarted
    from gateway.jointtest import place as places

    made = places.prepare(folder.absolute(), bank)
    with ExitStack() as stack:
        broker = stack.enter_context(_broker())
        stack.callback(places.stop, made)
        reactor = output.environment(context).reactor()
        over: Deferred[None] = Deferred()

        async def stand() -> None:
            await places.start(made, broker, SystemClock(reactor), reactor)
            print(f"ready: bankgw joint-test run {made.folder} -c {made.site.settings}", flush=True)
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda *_: reactor.callFromThread(over.callback, None))
            await over

        try:
            visit(reactor, stand, _STANDS_S)
        except (NotStarted, BrokerSilent) as error:
            output.leave(exit_codes.UNAVAILABLE, str(error))


@contextmanager
def _broker() -> Iterator[dict[str, Any]]:
    from gateway.demo import application as demo
    from gateway.demo.broker import NoBroker, own_broker
    from gateway.demo.erp import BrokerTrouble

    named = os.environ.get("BANKGW_BROKER_JSON")
    file = Path(named or Path(".run") / "broker.json")
    try:
        if named or file.exists():
            yield demo.read_broker(file)
        else:
            with own_broker() as own:
                yield demo.read_broker(own)
    except (BrokerTrouble, NoBroker) as error:
        output.leave(exit_codes.UNAVAILABLE, str(error))


def relay(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="JSON: control, ready, ports {name: {to, listen}}.")],
) -> None:
    """Stand between the gateway and a front end, and cut the line when a case wants it; loopback only.

    FILE is JSON: `control` the socket for commands, `ports` for each door of the bank `to` (host:port or a port of this
    machine) and `listen` (0: any free port), `ready` a file that tells the ports once they are open.
    """
    from gateway.jointtest import relay as relaying

    try:
        told = json.loads(file.read_text("utf-8"))
        doors = {name: _door(one) for name, one in told["ports"].items()}
    except (OSError, ValueError, KeyError, TypeError) as error:
        output.leave(exit_codes.USAGE, f"{file} cannot be used: {error!r}; see `bankgw joint-test relay --help`")
    reactor = output.environment(context).reactor()
    line = relaying.LineRelay(reactor)
    ports = {name: line.stand(host, port, listen) for name, (host, port, listen) in doors.items()}
    relaying.control(reactor, Path(told["control"]), line)
    if told.get("ready"):
        fresh = Path(f"{told['ready']}.new")
        fresh.write_text(json.dumps({"ports": ports, "pid": os.getpid()}), "utf-8")
        fresh.replace(told["ready"])
    output.say(f"relay: {ports}")
    reactor.run()


def _door(told: Any) -> tuple[str, int, int]:
    to = str(told["to"])
    host, _, port = to.rpartition(":")
    return host or "127.0.0.1", int(port), int(told.get("listen", 0))


