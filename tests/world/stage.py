"""The setting of a scene: a world with one bank and a script of its own, and a strict check of its end."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

from gateway.kernel.commit.rows import WorkRow
from gateway.kernel.commit.store import Tx
from gateway.kernel.core.states import Answered, Event, Resolve, Source, Work
from gateway.payments.rows import lookup
from gateway.simbank.faults import BankFault, ExchangeKind, FaultScript, ScriptedFault
from protocols.bank import Bank, Replay, ReplayRule
from protocols.canon.outcome import Fate
from tests.world.chosen_verdicts import ChosenVerdicts
from tests.world.history import violations
from tests.world.sim import replaying
from tests.world.world import Life, World

ORDER = "AP-1"
QUARANTINE_S = 20.0
NEVER = ReplayRule(Replay.NEVER, timedelta(seconds=QUARANTINE_S))
SAFE = ReplayRule(Replay.REPLAY_SAFE, timedelta(seconds=QUARANTINE_S), 2)
SPANS = {"enquiry_deadline_s": 3_000.0, "returns_watch_s": 2_000.0, "returns_every_s": 600.0}
SILENT = ScriptedFault(BankFault.DROP_AFTER, touch=ExchangeKind.MONEY)
LOST = ScriptedFault(BankFault.DROP_BEFORE, touch=ExchangeKind.MONEY)
HIDDEN = ScriptedFault(BankFault.HIDE, seconds=10_000.0)
SLOW_WORD = ScriptedFault(BankFault.DELAY, touch=ExchangeKind.ENQUIRY, seconds=30.0)
NO_WORD = ScriptedFault(BankFault.DROP_BEFORE, touch=ExchangeKind.ENQUIRY)

Scene = Callable[[Path], World]
SCENES: dict[str, Scene] = {}


def scene(tell: Scene) -> Scene:
    """Register a scene under its function's name."""
    SCENES[tell.__name__] = tell
    return tell


class SceneWorld(World):
    """A world with one bank and a script of its own."""

    def __init__(
        self,
        folder: Path,
        faults: Iterable[ScriptedFault] = (),
        *,
        rule: ReplayRule = NEVER,
        says: ChosenVerdicts | None = None,
        **more: Any,
    ) -> None:
        def adapter(bank: Bank) -> Bank:
            bank = replaying(bank, rule)
            return bank if says is None else says.over(bank)

        more = {"spans": SPANS, "adapters": {"sample": adapter}, **more}
        super().__init__(folder, plan=FaultScript(faults), **more)
        self.start()
        self.run(3)

    def act(self, event: Callable[[int], Event], id_: str = ORDER) -> None:
        """Let persons act, or let an entry of the account arrive."""
        self.befall(id_, event(0))

    def ask_now(self, kind: Work, id_: str = ORDER) -> None:
        """Make a question due now, as `bankgw enquire` does."""
        assert self.life is not None
        ask_now(self.life, kind, id_)

    def ends(self, state: str, *rows: str, sends: int = 1, contradicted: bool = False, mistaken: bool = False) -> World:
        """Check the end of the scene: the state, the rows that decided, the number of sends, and every promise.

        `contradicted`: the bank changed its word, and the ERP must know; `mistaken`: the persons who decided erred.
        """
        assert self.state(ORDER) == state, f"{self.state(ORDER)}: {self.told(ORDER)}"
        missing = set(rows) - set(self.rules())
        assert not missing, f"never decided: {missing}; {dict(self.rules())}"
        assert self.bank.simbank.tally.exchanges[ExchangeKind.MONEY] == sends
        excused = (*["contradict"] * contradicted, *[f"told {state}, the bank says"] * mistaken)
        broken = [one for one in violations(self, calm=False) if not any(words in one for words in excused)]
        assert broken == [], broken
        assert self.life is not None and self.life.fatal == []
        assert [lane.halted for lane in self.life.gateway.lanes.values()] == [None]
        if contradicted:
            assert "payment.correction" in self.told(ORDER)
        return self


def ask_now(life: Life, kind: Work, id_: str = ORDER) -> None:
    """Make a question due now, at this life's node."""

    def enqueue_work(tx: Tx) -> None:
        row = lookup.find(tx.fresh, "kingdee", id_)
        assert row is not None
        tx.due(WorkRow(row.payment, kind, row.lane, tx.now_ms, row.epoch))

    life.store.write(enqueue_work)


def resolve(fate: Fate | None) -> Callable[[int], Event]:
    return lambda at_ms: Resolve(at_ms, fate)


def entry(at_ms: int) -> Event:
    """A booked entry of the account with the order's reference and amount."""
    return Answered(at_ms, Fate.SETTLED, Source.STATEMENT)


def no_permit(world: SceneWorld, attempt: int = 1, meanwhile: Callable[[], None] = lambda: None) -> None:
    """Let the permit be refused once, at the write of this attempt."""
    assert world.life is not None
    lane = world.life.gateway.lanes["sample.main"]
    permits, asked = lane.gate.permits, [0]

    def once(epoch: int, committed_s: float) -> bool:
        asked[0] += 1
        if asked[0] == attempt:
            meanwhile()
            return False
        return permits(epoch, committed_s)

    lane.gate.permits = once  # type: ignore[method-assign]


def pause(world: World) -> None:
    assert world.life is not None
    world.life.gateway.lanes["sample.main"].pause("test")
