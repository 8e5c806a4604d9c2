"""How many seconds after a fault each voice names it: status, readyz, log, metric, alert; and whether they say the same."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.control.client import ControlClient, NoDaemon, Refused
from gateway.kernel import run_record
from tests.gateway.cli.test_twelve_faults import Place
from tests.house import ROOT
from tests.ops.prometheus import WatchingPrometheus

VOICES = ("status", "readyz", "log", "metric", "alert")
GIVE_UP_S = 25.0
RUNBOOKS = ROOT / "docs" / "do" / "runbooks"


@dataclass(frozen=True, slots=True)
class Expected:
    """What the voices must say: a part of the cause and of the remedy, the alert, and the page.

    `trouble` is the kind in a running daemon; "" if the daemon is down. `event` is the line of the log. Where
    the settings are not `readable`, `bankgw status` names their mistakes, and not the last start."""

    trouble: str
    cause: str
    remedy: str
    alert: str
    runbook: str
    event: str = "trouble.began"
    readable: bool = True


@dataclass
class Heard:
    """The seconds to each voice, and what each said."""

    seconds: dict[str, float] = field(default_factory=dict)
    said: dict[str, tuple[str, str]] = field(default_factory=dict)

    def note(self, voice: str, since_s: float, cause: str = "", remedy: str = "") -> None:
        self.seconds[voice] = max(time.monotonic() - since_s, 0.0)
        if cause:
            self.said[voice] = (cause, remedy)


def same_words(text: str) -> str:
    """The text without its numbers, which may change between two looks."""
    return re.sub(r"\d+(?:\.\d+)?", "N", " ".join(text.split()))


class Voices:
    """Listens to the five voices of one daemon."""

    def __init__(self, place: Place, prometheus: WatchingPrometheus) -> None:
        self._place = place
        self._prometheus = prometheus

    def listen(self, expected: Expected, since_s: float, log_from: int) -> Heard:
        """Ask every voice in turn until all have named the fault, or the time is over."""
        heard, asked = Heard(), self._questions(expected, log_from)
        while time.monotonic() - since_s < GIVE_UP_S and len(heard.seconds) < len(asked):
            for voice, ask in asked.items():
                if voice not in heard.seconds:
                    with suppress(OSError, NoDaemon, Refused, ValueError, KeyError):
                        ask(heard, since_s)
            time.sleep(0.1)
        return heard

    def _questions(self, expected: Expected, log_from: int) -> dict[str, Callable[[Heard, float], None]]:
        state = self._place.site.state

        def row(troubles: list[dict[str, Any]]) -> dict[str, Any] | None:
            found = (one for one in troubles if one["trouble"] == expected.trouble and expected.cause in one["cause"])
            return next(found, None)

        def status(heard: Heard, since_s: float) -> None:
            if not expected.trouble:
                why = run_record.why_none_answers(state)
                if why is not None and expected.cause in why.cause:
                    heard.note("status", since_s, why.cause, why.remedy)
                return
            one = row(ControlClient(state / "control.sock", 3).get("status")["troubles"])
            if one is not None:
                assert one["runbook"] == expected.runbook, one
                heard.note("status", since_s, one["cause"], one["remedy"])

        def readyz(heard: Heard, since_s: float) -> None:
            code, said = self._place.page("readyz")
            if not expected.trouble:
                if code == 0:
                    heard.note("readyz", since_s)
                return
            one = row(json.loads(said)["troubles"])
            if one is not None:
                heard.note("readyz", since_s, one["cause"], one["remedy"])

        def metric(heard: Heard, since_s: float) -> None:
            code, said = self._place.page("metrics")
            if not expected.trouble:
                if code == 0:
                    heard.note("metric", since_s)
                return
            wanted = f'bankgw_troubles{{trouble="{expected.trouble}"}} '
            if any(line.startswith(wanted) and float(line.split()[-1]) >= 1 for line in said.splitlines()):
                heard.note("metric", since_s)

        def log(heard: Heard, since_s: float) -> None:
            text = self._place.log()[log_from:]
            for one in (json.loads(line) for line in text.splitlines() if f'"{expected.event}"' in line):
                cause = str(one.get("error", one.get("reason", "")))
                if expected.cause in cause and one.get("trouble", "") == expected.trouble:
                    heard.note("log", since_s, cause, str(one["action"]))
                    return

        def alert(heard: Heard, since_s: float) -> None:
            if self._prometheus.firing(expected.alert):
                heard.note("alert", since_s)

        asked = {"status": status, "readyz": readyz, "log": log, "metric": metric, "alert": alert}
        return {voice: ask for voice, ask in asked.items() if voice != "log" or expected.event}


def runbook_exists(name: str) -> bool:
    """True if the page is there and says what to do."""
    path: Path = RUNBOOKS / f"{name}.md"
    return path.exists() and "The trouble is over when" in path.read_text("utf-8")
