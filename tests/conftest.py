"""The guard: a test passes only if it leaves nothing behind and hides no failure. It also has the shared fixtures.

pytest-twisted runs `async def` tests on the reactor, but by itself lets three things pass: a Deferred whose
failure nobody took, a failure that was only logged, and a timer left running. Each fails the test here.
"""

from __future__ import annotations

import gc
import inspect
import os
from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import Any, TypeVar

import pytest
import pytest_twisted
import structlog
from hypothesis import settings
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import implementer

from gateway.demo.own_vhost import own_vhost
from tests.attacks.summing import pytest_terminal_summary as pytest_terminal_summary
from tests.world import patience
from tests.world.services import Broker, broker_file, databases_file, described, read_broker, read_database
from tests.world.skipping import pytest_runtest_makereport as pytest_runtest_makereport
from tests.world.within import within

E = TypeVar("E", bound=BaseException)

# A slow example is no failure, because machines that run tests are busy. In CI the same examples run every time.
settings.register_profile("house", deadline=None, derandomize=bool(os.environ.get("CI")), print_blob=True)
settings.load_profile("house")

# An async test is cancelled this long before pytest-timeout would end the whole process.
LONGEST = (
    *("tests/world/test_deaths.py", "tests/faults/test_campaign.py", "tests/gateway/erp/test_topology.py"),
    *("tests/gateway/demo/test_own_vhost.py", "tests/gateway/cli/test_live_", "tests/world/test_crash_points.py"),
    *("tests/world/test_tampering.py", "tests/world/test_living_tampering.py", "tests/world/test_servers.py"),
)
"""The beginnings of the names of files whose tests take minutes."""
CANCEL_EARLIER_S = 5.0
# Objects that outlive their test (caches, wide fixtures) are frozen, so that later collections skip them.
THAW_EVERY = 2_000
_tests_since_thaw = 0


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Names bytes by their argument: an archive made while tests are collected contains the time, so two workers would
    disagree.
    """
    return argname if isinstance(val, bytes) else None


@implementer(ILogObserver)
class LoggedFailures:
    """Failures that reached the log during one test, including those of Deferreds that nobody listened to."""

    def __init__(self) -> None:
        self._failures: list[Failure] = []

    def __call__(self, event: LogEvent) -> None:
        """Observe one log event (ILogObserver)."""
        failure = event.get("log_failure")
        if isinstance(failure, Failure):
            self._failures.append(failure)

    def take(self, kind: type[E]) -> list[E]:
        """The logged exceptions of `kind`, which this test expected: they no longer fail it."""
        gc.collect()
        taken = [f.value for f in self._failures if isinstance(f.value, kind)]
        self._failures = [f for f in self._failures if not isinstance(f.value, kind)]
        return taken

    def complaint(self) -> str | None:
        """A sentence about the failures that no test took, or None. Forgets them."""
        gc.collect()
        if not self._failures:
            return None
        texts = [failure.getTraceback() for failure in self._failures]
        self._failures = []
        return f"{len(texts)} failure(s) were logged and not taken by the test:\n" + "\n".join(texts)


LIMIT_S = pytest.StashKey[float]()
COLLECTING = pytest.StashKey[patience.CollectionTicker]()
LOGGED = pytest.StashKey[LoggedFailures]()
TIMERS = pytest.StashKey[list[IDelayedCall]]()
LOG_SETTINGS = pytest.StashKey[dict[str, Any]]()


def _reactor() -> IReactorTime:
    from twisted.internet import reactor

    return IReactorTime(reactor)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Print now and then that tests are being collected."""
    terminal = session.config.pluginmanager.getplugin("terminalreporter")
    if terminal is not None and not hasattr(session.config, "workerinput"):
        session.config.stash[COLLECTING] = patience.CollectionTicker(lambda text: terminal.write_line(text, flush=True))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Make later collections cheap: an object from before the first test cannot be a leak of a test."""
    if not hasattr(session.config, "workerinput") and not session.config.getoption("numprocesses", None):
        _collected(session.config)
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any) -> None:
    """A worker has collected its tests. The others will have done so soon."""
    _collected(node.config)


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the ticker, also if nothing was collected."""
    _collected(config)


def _collected(config: pytest.Config) -> None:
    collecting = config.stash.get(COLLECTING, None)
    if collecting is not None:
        collecting.end()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest tests begin first, so that no worker is left with one at the end. A test's limit is CPU time; in real
    time it has longer (tests/world/patience.py)."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))
    for item in items:
        marker = item.get_closest_marker("timeout")
        given = marker.args[0] if marker and marker.args else item.config.getvalue("timeout")
        limit_s = float(given if given is not None else item.config.getini("timeout"))
        item.stash[LIMIT_S] = limit_s
        item.add_marker(pytest.mark.timeout(patience.real_s(limit_s)), append=False)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> None:
    """Give each `async def` test a time limit of its own, so that one hung test does not end the run."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return
    limit_s = patience.real_s(pyfuncitem.stash[LIMIT_S])
    if limit_s > CANCEL_EARLIER_S:
        pyfuncitem.obj = within(limit_s - CANCEL_EARLIER_S)(pyfuncitem.obj)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, Any, Any]:
    """Start to listen for failures, and note which timers were there before the test."""
    patience.limit_cpu(item, item.stash[LIMIT_S])
    item.stash[TIMERS] = list(_reactor().getDelayedCalls())
    logged = item.stash[LOGGED] = LoggedFailures()
    globalLogPublisher.addObserver(logged)
    item.stash[LOG_SETTINGS] = structlog.get_config()
    return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Fail the test for failures that its body logged."""
    result = yield
    _complain(item.stash[LOGGED].complaint())
    return result


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, Any, Any]:
    """After the fixtures have cleaned up: fail for failures that they logged, and for timers that still run."""
    try:
        result = yield
        _thaw(nextitem)
        complaint = item.stash[LOGGED].complaint()
        gc.freeze()
        timers = _left_over(item.stash[TIMERS])
    finally:
        patience.lift()
        globalLogPublisher.removeObserver(item.stash[LOGGED])
        # A simulation silences the log. Later tests need it again.
        structlog.configure(**item.stash[LOG_SETTINGS])
        for timer in _still_running(item.stash[TIMERS]):
            timer.cancel()
    _complain(complaint)
    _complain(timers)
    return result


def _thaw(nextitem: pytest.Item | None) -> None:
    """Collect among all objects, also those that outlived their test. This takes seconds, so it is done rarely."""
    global _tests_since_thaw
    _tests_since_thaw += 1
    if nextitem is None or _tests_since_thaw >= THAW_EVERY:
        _tests_since_thaw = 0
        gc.unfreeze()


def _complain(complaint: str | None) -> None:
    if complaint is not None:
        pytest.fail(complaint, pytrace=False)


def _still_running(before: list[IDelayedCall]) -> list[IDelayedCall]:
    return [call for call in _reactor().getDelayedCalls() if call not in before]


def _left_over(before: list[IDelayedCall]) -> str | None:
    # A connection that is being closed may need a turn of the reactor or two to put its timers away.
    for _turn in range(2):
        if not _still_running(before):
            return None
        turn: Deferred[None] = Deferred()
        _reactor().callLater(0, turn.callback, None)
        pytest_twisted.blockon(turn)
    running = _still_running(before)
    if not running:
        return None
    listed = "\n".join(map(str, running))
    return f"timers left running by the test (cancel them, or stop what started them):\n{listed}"


@pytest.fixture
def logged_failures(request: pytest.FixtureRequest) -> LoggedFailures:
    """The failures logged by this test; `logged_failures.take(SomeError)` says that they were expected."""
    return request.node.stash[LOGGED]  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
def broker() -> Iterator[Broker]:
    """A RabbitMQ with a virtual host of this process's own. Skips where there is none, fails in CI."""
    found = read_broker(broker_file())
    if found is None:
        pytest.skip("no RabbitMQ: run `make broker`")
    else:
        with own_vhost(described(found), "test") as own:
            yield replace(found, test_vhost=own["vhost"])


@pytest.fixture(scope="session")
def postgresql_url() -> str:
    """SQLAlchemy URL of a PostgreSQL database of our own. Skips where there is none, fails in CI."""
    return _database("postgresql")


@pytest.fixture(scope="session")
def mariadb_url() -> str:
    """SQLAlchemy URL of a MariaDB database of our own. Skips where there is none, fails in CI."""
    return _database("mariadb")


def _database(kind: str) -> str:
    url = read_database(databases_file(), kind)
    if url is None:
        pytest.skip(f"no {kind}: run `make databases`")
    return str(url)
