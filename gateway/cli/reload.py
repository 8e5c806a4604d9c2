"""Reads the settings again while the gateway works, and decides which of them may change.

Senders, their limits, accounts, and the settings of TLS, signing and the ports for banks' pushes may change.

The files of certificates, keys and revocation lists are read again each time, whether or not a setting changed. The
rest needs a restart.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from gateway.kernel import log, reload_refusals, run_record, signals
from gateway.settings import BadSettings, BankSettings, Broker, LaneSettings, LoadedSettings, PushSettings, Settings

CHANGEABLE = ("senders", "accounts")
_log = log.get("daemon")
Reread = Callable[[], LoadedSettings]


def fixed(old: Settings, new: Settings) -> Iterator[str]:
    """The settings keys that differ and need a restart to change."""
    for name in Settings.model_fields:
        if name in CHANGEABLE:
            continue
        was, will = getattr(old, name), getattr(new, name)
        if name == "banks":
            for bank in sorted({*was, *will}):
                if _rest_of_bank(was.get(bank)) != _rest_of_bank(will.get(bank)):
                    yield f"banks.{bank}"
        elif name == "broker":
            if _rest_of(was) != _rest_of(will):
                yield name
        elif was != will:
            yield name


def _rest_of(table: object) -> object:
    """The part of the table that may not change: everything except the TLS table, if both versions have one."""
    if not isinstance(table, Broker | LaneSettings):
        return table
    return table.model_copy(update={"tls": table.tls is not None})


def _rest_of_bank(bank: object) -> object:
    if not isinstance(bank, BankSettings):
        return bank
    lanes = {
        name: (_rest_of(lane.model_copy(update={"keys": {}})), frozenset(lane.keys))
        for name, lane in bank.lanes.items()
    }
    return bank.model_copy(update={"lanes": lanes, "pushes": _rest_of_pushes(bank.pushes)})


def _rest_of_pushes(table: PushSettings | None) -> object:
    """The part of a push port that may not change: its address. Its TLS may."""
    return None if table is None else (table.host, table.port)


class Reloading:
    """The effect of SIGHUP: all of the new settings are used, or none of them and the log has a line for
    each reason.
    """

    def __init__(self, settings: Settings, reread: Reread, use: Callable[[Settings], Deferred[Any]]) -> None:
        self._settings = settings
        self._reread = reread
        self._use = use
        self._busy = self._once_more = False

    def listen(self, reactor: Any) -> None:
        """Read the settings again at each SIGHUP from now on."""
        signals.listen(reactor, (signal.SIGHUP,), lambda _: self.again())

    def again(self) -> None:
        """Read the settings files, and use them if they have no mistake and only permitted keys have changed.

        Signals that arrive meanwhile count as one. After them the files are read once more, because they may have
        changed since.
        """
        if self._busy:
            self._once_more = True
            return
        try:
            found = self._reread()
            mistakes = found.mistakes
        except BadSettings as error:
            self._stay([str(one) for one in error.mistakes])
            return
        if mistakes:
            self._stay([str(one) for one in mistakes])
            return
        stuck = list(fixed(self._settings, found.settings))
        if stuck:
            self._stay([f"{key} changes only with a restart of the daemon" for key in stuck])
            return

        def used(_result: Any) -> None:
            self._settings = found.settings
            reload_refusals.forget(found.settings.state_dir)
            run_record.settings_taken(found.settings.state_dir)
            accounts = len(found.settings.accounts)
            _log.info("settings.reloaded", senders=sorted(found.settings.senders), accounts=accounts)

        def failed(failure: Failure) -> None:
            self._stay([failure.getErrorMessage()])

        def over(_result: Any) -> None:
            self._busy, again = False, self._once_more
            self._once_more = False
            if again:
                self.again()

        self._busy = True
        self._use(found.settings).addCallbacks(used, failed).addBoth(over)

    def _stay(self, reasons: list[str]) -> None:
        reload_refusals.note(self._settings.state_dir, reasons)
        for reason in reasons:
            _log.error(
                "settings.not_reloaded",
                reason=reason,
                action="the daemon keeps its present settings; mend the reason, then reload again",
            )
