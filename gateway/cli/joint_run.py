"""What the commands of `bankgw joint-test` share: plan, journal and cases of a run, one sitting, the pack."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from gateway.cli import exit_codes, output

if TYPE_CHECKING:
    from gateway.jointtest.cases import Case
    from gateway.jointtest.plan import RunPlan
    from gateway.jointtest.run_store import RunStore
    from gateway.jointtest.session import Wish
    from gateway.jointtest.verdicts import CaseFinding
    from protocols.bank import Bank

_LIMIT_S = 3_600.0


def played(
    context: typer.Context, folder: Path, wish: Wish, config: Path, *, production: bool = False
) -> RunStore:
    """One sitting: connects to the gateway as an ERP, plays what is wished. Ends the command when it cannot."""
    from gateway.bank.lane_dialer import tls_settings
    from gateway.bank.tls import client_context
    from gateway.cli import erp_profile
    from gateway.cli.broker_client import BrokerSilent, visit
    from gateway.clock import SystemClock
    from gateway.erp.broker_address import BrokerAddress
    from gateway.jointtest import session
    from gateway.jointtest.erp_line import ErpAccess, LineDown
    from gateway.jointtest.run_store import BadJournal

    world, plan = output.environment(context), plan_of(folder)
    built, cases = cases_of(context, folder, config, production=production)
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
                                               world.version(), world.now, say_verdict), _LIMIT_S)  # fmt: skip
    except erp_profile.BadProfile as error:
        output.refuse(error.mistakes)
    except (LineDown, BrokerSilent, OSError) as error:
        output.leave(exit_codes.UNAVAILABLE, str(error))
    except session.NotAllowed as error:
        output.leave(exit_codes.REFUSED, str(error))
    except (BadJournal, ValueError) as error:
        output.leave(exit_codes.USAGE, str(error))
    return store


def say_verdict(case: Case, finding: CaseFinding) -> None:
    """A line on stdout for each case that ends."""
    until = "" if finding.until is None else f" until {finding.until:%Y-%m-%d %H:%M}"
    output.say(f"  {finding.verdict.value:14} {case.id}{until}  {finding.why}".rstrip())


def plan_of(folder: Path) -> RunPlan:
    """The plan in this folder; ends the command with its mistakes."""
    from gateway.jointtest import plan

    try:
        return plan.read(folder)
    except plan.BadPlan as error:
        output.leave(exit_codes.CONFIG, *str(error).splitlines())


def store_of(context: typer.Context, folder: Path) -> RunStore:
    """The journal in this folder; ends the command when it is not what was written."""
    from gateway.jointtest.run_store import BadJournal, RunStore

    try:
        return RunStore(folder, output.environment(context).now)
    except BadJournal as error:
        output.leave(exit_codes.FAILED, str(error))


def cases_of(
    context: typer.Context, folder: Path, config: Path, *, production: bool = False
) -> tuple[Bank, tuple[Case, ...]]:
    """The bank as the gateway's settings build it, and its cases; `production` is the production check alone."""
    from gateway.jointtest.cases import FILES, FINANCE, derive
    from gateway.jointtest.production import case

    plan, settings = plan_of(folder), output.loaded(context, config).settings
    if plan.bank not in settings.banks:
        output.leave(exit_codes.CONFIG, f"{config} knows no bank {plan.bank}; it has {', '.join(settings.banks)}")
    built = output.environment(context).load_bank(settings.banks[plan.bank])
    return built, (case(built),) if production else derive(built, FINANCE if plan.told.scripts == "finance" else FILES)


def packed(context: typer.Context, store: RunStore, plan: RunPlan, cases: tuple[Case, ...], key: Path) -> Path:
    """Make reports and pack; says what could not be made."""
    from gateway.jointtest import outcome

    try:
        made = outcome.make(store, plan, cases, key, output.environment(context).now())
    except ValueError as error:
        output.leave(exit_codes.USAGE, str(error))
    for note in made.notes:
        output.say(f"note: {note}")
    return made.pack


def user() -> str:
    """The user of the operating system who types."""
    import getpass

    return getpass.getuser()
