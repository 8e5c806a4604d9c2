"""Twenty faults on a real daemon, broker and simulated bank: each of the five voices names each within 5 s, in the same
words, with a runbook. The table is printed, and kept in `.run/twenty-faults.txt`.

The daemon runs by the steps of its unit; the head of the table says so, and what systemd-analyze says of the sandbox.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from gateway.simbank.pki import make_pki
from setup.machine import free_port
from tests.gateway.cli.test_twelve_faults import Place, small_disk
from tests.gateway.erp.rabbit import rabbit_for_tests
from tests.house import ROOT
from tests.ops.broken import BANK, FAULTS, Fault, Ground
from tests.ops.prometheus import WatchingPrometheus
from tests.ops.unit_run import way
from tests.ops.voices import VOICES, Heard, Voices, runbook_exists, same_words

pytestmark = [pytest.mark.slow, pytest.mark.broker, pytest.mark.timeout(2_400)]
NAMED_S = 5.0
TABLE = ROOT / ".run" / "twenty-faults.txt"
_HEAD = f"{'fault':36} " + " ".join(f"{voice:>7}" for voice in VOICES) + "  runbook"


def told(request: pytest.FixtureRequest, line: str) -> None:
    """Print a line of the table, and keep it."""
    TABLE.parent.mkdir(exist_ok=True)
    with TABLE.open("a", encoding="utf-8") as out:
        out.write(f"{line}\n")
    terminal = request.config.pluginmanager.getplugin("terminalreporter")
    if terminal is not None:
        terminal.write_line(line)


@pytest.fixture(scope="module")
def listened(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Ground, WatchingPrometheus]]:
    folder = tmp_path_factory.mktemp("ops")
    with rabbit_for_tests("faults20") as rabbit:
        place = Place.make(folder / "s", rabbit, BANK)
        make_pki(folder / "s" / "pki", [BANK], datetime.now(UTC), timedelta(days=400))
        place.site.state.mkdir(mode=0o700)
        mounted = os.geteuid() == 0 and small_disk(place.site.state)
        prometheus = None
        try:
            banks, port = place.banks(), free_port()
            place.configure()
            settings = place.site.settings.read_text("utf-8")
            assert "port = 0\n" in settings
            place.site.settings.write_text(settings.replace("port = 0\n", f"port = {port}\n"), "utf-8")
            prometheus = WatchingPrometheus(folder / "prometheus", port)
            ground = Ground(place, port, mounted, banks, cast("subprocess.Popen[bytes]", None))
            ground.start()
            told(request, f"\n{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {way()}")
            told(request, f"seconds from the fault to each voice:\n{_HEAD}")
            yield ground, prometheus
        finally:
            place.stop()
            if prometheus is not None:
                prometheus.stop()
            if mounted:
                subprocess.run(["umount", "-l", str(place.site.state)], check=True)


def quiet(ground: Ground, prometheus: WatchingPrometheus, fault: Fault) -> None:
    """Wait until neither the daemon nor the alert tells of this fault, so that it is the new one that is heard."""

    def is_quiet() -> bool:
        code, said = ground.place.page("readyz")
        kind = fault.expected.trouble
        return code == 200 and f'"{kind or "none"}"' not in said and not prometheus.firing(fault.expected.alert)

    ground.place.until(is_quiet, 90)


def test_every_voice_names_each_of_twenty_faults(
    request: pytest.FixtureRequest, listened: tuple[Ground, WatchingPrometheus]
) -> None:
    """One test, because all faults are made on one site, in turn. A fault that is not named in time does not keep the
    next ones from being tried."""
    ground, prometheus = listened
    slowest, named, wrong = (0.0, "", ""), 0, []
    for fault in FAULTS:
        try:
            heard, printed = heard_of(request, ground, prometheus, fault)
            judged(fault, heard, printed)
        except pytest.skip.Exception as why:
            told(request, f"{fault.name:36} not tried here: {why}")
        except (AssertionError, OSError, ValueError, subprocess.SubprocessError) as error:
            wrong.append(f"{fault.name}: {type(error).__name__}: {error}")
            told(request, f"{fault.name:36} WRONG, see the end")
        else:
            named += 1
            slowest = max([slowest, *((heard.seconds[voice], voice, fault.name) for voice in heard.seconds)])
    seconds, voice, name = slowest
    last = f"{named} of {len(FAULTS)} faults named by every voice; the slowest: {seconds:.1f} s, {voice} of {name!r}"
    told(request, last)
    assert not wrong, "\n\n".join(wrong)
    assert named == len(FAULTS) or os.geteuid(), "root can make every fault"


def heard_of(
    request: pytest.FixtureRequest, ground: Ground, prometheus: WatchingPrometheus, fault: Fault
) -> tuple[Heard, str]:
    """Make the fault, listen to the voices, tell its row, and mend it. Returns what was heard, and what `bankgw status`
    printed meanwhile."""
    quiet(ground, prometheus, fault)
    log_from = len(ground.place.log())
    with cast("AbstractContextManager[float]", fault.broken(ground)) as since_s:
        heard = Voices(ground.place, prometheus).listen(fault.expected, since_s, log_from)
        row = " ".join(f"{heard.seconds.get(voice, float('nan')):7.1f}" for voice in VOICES)
        found = "yes" if runbook_exists(fault.expected.runbook) else "MISSING"
        told(request, f"{fault.name:36} {row}  {found}")
        _code, printed = ground.place.bankgw("status")
    return heard, printed


def judged(fault: Fault, heard: Heard, printed: str) -> None:
    """Every voice was heard in time, and all say the same cause and remedy, also to the person at the terminal."""
    expected = fault.expected
    assert runbook_exists(expected.runbook) and runbook_exists(expected.alert)
    silent = {voice for voice in VOICES if voice not in heard.seconds} - (set() if expected.event else {"log"})
    assert not silent, f"{silent} never named it: {heard}"
    late = {voice: seconds for voice, seconds in heard.seconds.items() if seconds > NAMED_S}
    assert not late, f"named later than {NAMED_S} s: {late}"
    said = {tuple(map(same_words, words)) for words in heard.said.values()}
    assert len(said) == 1, f"the voices differ: {heard.said}"
    [(cause, remedy)] = said
    folded = same_words(printed)
    assert same_words(expected.cause) in cause and same_words(expected.remedy) in remedy
    assert same_words(expected.cause) in folded, printed
    if expected.readable:
        assert same_words(expected.runbook) in folded and same_words(expected.remedy) in folded, printed


def test_there_are_twenty() -> None:
    assert len({fault.name for fault in FAULTS}) == 20
