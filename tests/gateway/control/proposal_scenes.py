"""Every kind of proposal on whole gateways: the proposal, the proposer, and the texts that two persons would sign."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.cli import person_key
from gateway.control import proposal_text
from gateway.control.proposal_text import PlannedAction, ProposedAction
from gateway.kernel.commit.store import Tx
from gateway.people.rows import persons
from gateway.people.rows.persons import No
from gateway.people.rows.proposals import ProposalKind
from gateway.people.rules.signed_text import FORM, Action
from gateway.pools.rules import pool as pool_rules
from gateway.simbank.faults import BankFault, FaultScript, ScriptedFault
from tests.gateway.cli.control_operator import Operator
from tests.gateway.cli.resolving import LI, WANG, ZHAO, Hand, doubtful, enrol, hand
from tests.gateway.cli.test_from_the_past import LANE, Restored
from tests.gateway.payments.test_repairs import alter, opened, restarted
from tests.gateway.people.test_people_acts import QIAN, SUN, appoint, ask_in, let_in
from tests.gateway.pools.test_linked import pay
from tests.gateway.pools.test_liquidity import pool_of, put, world_of
from tests.world.batching import batch
from tests.world.world import World

KEY = "0" * 26
EXPIRES_MS = 1_796_000_000_000
NOTE = "按董事会决议 2026-11，as the board said"
STOPPED_BECAUSE = "付款异常?"
HASH = "ab" * 32
PAYEE = {"account": "0000000000000000041", "name": "示例丙", "bank_name": "示例银行某支行"}
_EPISODE = re.compile(r"(episode: |核对批号：)[0-9a-f]{64}")
BANDS = (
    "CNY 0.00..50000.00 0; CNY 50000.00.. 1; CNY 0.00.. 2 kind=payment payee=new sender=kingdee group=treasury; "
    "group treasury=qian,sun; makers kingdee"
)


@dataclass(frozen=True)
class ProposalScene:
    """One proposal that can be made now: its name, the gateway, the person, and the proposed decision."""

    name: str
    operator: Operator
    first: Hand
    kind: ProposalKind
    subject: str
    to: str
    evidence_sha256: str | None = None

    def planned(self) -> Mapping[int, PlannedAction]:
        """The action as this person would sign it now, in each form. Nothing is stored."""
        wanted = ProposedAction(self.kind, self.subject, self.to, NOTE, self.evidence_sha256)

        def plan_actions(tx: Tx) -> Mapping[int, PlannedAction | No]:
            person = persons.of_name(tx.fresh, self.first.name)
            assert person is not None
            ports = self.operator.ports.decisions
            return {form: proposal_text.action(tx, wanted, KEY, person, EXPIRES_MS, ports, form) for form in (1, FORM)}

        found: list[Any] = []
        self.operator.gateway.parts.store.write(plan_actions).addBoth(found.append)
        self.operator.world.run(0.1)
        for one in found[0].values():
            assert isinstance(one, PlannedAction), (self.name, one)
        planned: Mapping[int, PlannedAction] = found[0]
        return planned


Scenes = Iterator[ProposalScene]


def doubts(folder: Path) -> Scenes:
    """A payment in doubt that the bank does not know."""
    world, operator, payment = doubtful(folder, BankFault.DROP_BEFORE, first_enquiry_s=2.0)
    for to in ("settled", "failed"):
        yield ProposalScene(f"resolve-{to}", operator, WANG, ProposalKind.RESOLVE, payment, to, HASH)
    world.run(1_800)
    yield ProposalScene("resolve-ready", operator, WANG, ProposalKind.RESOLVE, payment, "ready", HASH)
    world.crash()


def restored(folder: Path) -> Scenes:
    """Proposals after an older database was restored."""
    plan = FaultScript([ScriptedFault(BankFault.DROP_AFTER)])
    world = Restored(folder, plan=plan, bank_options={"first_enquiry_s": 600.0})
    world.start()
    world.run(1)
    enrol(Operator(world), WANG, LI)
    world.copy("an-hour-ago.db")
    world.submit("AP-1")
    world.run(5)
    world.restore("an-hour-ago.db")
    operator = Operator(world)
    yield ProposalScene("resume", operator, WANG, ProposalKind.LEAVE_SAFE_MODE, LANE, "send", HASH)
    world.crash()


def persons_and_lanes(folder: Path) -> Scenes:
    """Proposals about administrators, supervisors, held orders, a paused lane and company, and an emergency stop."""
    world = World(folder, accounts=2, sender={"suspected_duplicate_hours": 24})
    world.start()
    world.run(1)
    operator = Operator(world)
    appoint(operator)
    ask_in(operator, ZHAO)
    account = world.banks["sample"].accounts[1]
    for name, to in (("all", "approver@*"), ("some", f"approver@company:jia;viewer@account:{account}+company:jia")):
        yield ProposalScene(f"enrol-{name}", operator, WANG, ProposalKind.ENROL, "zhao", to)
    for one in (SUN, QIAN):
        let_in(operator, one, "supervisor@*")
    yield ProposalScene("roles", operator, WANG, ProposalKind.ROLES, "sun", f"viewer@account:{account}")
    yield ProposalScene("roles-none", operator, WANG, ProposalKind.ROLES, "sun", "none")
    yield ProposalScene("deactivate", operator, WANG, ProposalKind.DEACTIVATE, "sun", "deactivated")
    offer_key(operator, SUN)
    yield ProposalScene("reset", operator, WANG, ProposalKind.RESET, "sun", "new-key")
    yield ProposalScene("policy", operator, WANG, ProposalKind.POLICY, "approvals", BANDS)
    for id_ in ("AP-1", "AP-2"):
        world.submit(id_, 12_345, creditor=PAYEE, maker="zhao")
        world.run(3)
    yield ProposalScene("register", operator, QIAN, ProposalKind.REGISTER, "kingdee:AP-1", "known")
    yield ProposalScene("release", operator, QIAN, ProposalKind.RELEASE, "kingdee:AP-2", "send")
    yield ProposalScene("release-named", operator, QIAN, ProposalKind.RELEASE, "kingdee:AP-2", "suspected_duplicate")
    for name in ("B-1", "B-2"):
        world.command("batch.submit", batch(world, name, [300, 301], maker="zhao"))
        world.run(5)
    yield ProposalScene("release-batch", operator, QIAN, ProposalKind.RELEASE, "kingdee:B-2", "suspected_duplicate")
    operator.ask("POST", "lanes", LANE, "pause", reason="the bank asked")
    yield ProposalScene("resume-lane", operator, QIAN, ProposalKind.RESUME_LANE, LANE, "send")
    operator.ask("POST", "stop", reason=STOPPED_BECAUSE)
    yield ProposalScene("restart", operator, QIAN, ProposalKind.RESTART, "gateway", "send")
    operator.ask("POST", "companies", "jia", "pause", reason="its officer's key was stolen")
    yield ProposalScene("resume-company", operator, QIAN, ProposalKind.RESUME_COMPANY, "jia", "send")
    world.crash()


def offer_key(operator: Operator, one: Hand) -> None:
    """Let the person offer another key."""
    other = hand(f"{one.name} anew", one.uid)
    operator.ask("POST", "persons", peer=one.peer, name=one.name, public_key=person_key.public(other.key))


def cash_pools(folder: Path) -> Scenes:
    """Proposals about a pool in force, its next version, its end, a run, and a failed linked payment."""
    operator = Operator(world_of(folder))
    appoint(operator, ZHAO, SUN, roles="approver@*;supervisor@*")
    put(operator, pool_of(operator, "down=target:0.01", "up=keep:1000.00"))
    head = (
        "slots=10:00-10:30,16:30-17:00 floor=12.00 least=5.00 round=1000 most-run=900000.00 most-day=1800000.00 "
        "fresh=600 calendar=cn"
    )
    rules = ("up=all", "up=part:30 floor=7.00", "up=keep:1000.00 down=target:900.00 below=300.00")
    text = pool_of(operator, *rules, head=head)
    made = pool_rules.parse(text)
    assert made is not None
    yield ProposalScene("pool", operator, ZHAO, ProposalKind.POOL, "group", made.text())
    fixed = pool_rules.parse(pool_of(operator, "up=fixed:250.00", "down=fixed:8.00 below=9.00"))
    assert fixed is not None
    yield ProposalScene("pool-fixed", operator, ZHAO, ProposalKind.POOL, "group", fixed.text())
    yield ProposalScene("pool-close", operator, ZHAO, ProposalKind.POOL, "group", "none")
    yield ProposalScene("pool-run", operator, ZHAO, ProposalKind.POOL_RUN, "group", "by-hand")
    pay(operator, "AP-1", purpose="货款 #refuse")
    operator.world.run(120)
    for to in ("return", "stay"):
        yield ProposalScene(f"link-{to}", operator, ZHAO, ProposalKind.LINK, "kingdee:AP-1", to)
    operator.world.crash()


def altered_rows(folder: Path) -> Scenes:
    """Proposals about a payment that SQL altered, and one that the gateway never wrote."""
    here = opened(folder)
    here.world.submit("AP-1", 10_000, maker="zhao")
    here.world.run(5)
    alter(
        here,
        "update payments set state = 'ready', attempt = 0, version = version + 1, send_after_ms = 0",
        "delete from attempts",
        "create table twin as select * from payments",
        "update twin set payment = substr(payment, 1, 25) || 'Z', order_id = 'AP-Z', bank_ref = bank_ref || '9'",
        "insert into payments select * from twin",
    )
    here = restarted(here)
    yield ProposalScene("repair", here, SUN, ProposalKind.REPAIR, "kingdee:AP-1", "rebuilt")
    yield ProposalScene("repair-removal", here, SUN, ProposalKind.REPAIR, "kingdee:AP-Z", "rebuilt")
    here.world.crash()


STAGES: tuple[Callable[[Path], Scenes], ...] = (*(doubts, restored, persons_and_lanes), *(cash_pools, altered_rows))


def every_action(folder: Path) -> Mapping[str, tuple[ProposalScene, Mapping[int, Action]]]:
    """The action of each scene, in each form."""
    found = {}
    for number, stage in enumerate(STAGES):
        (folder / str(number)).mkdir()
        for scene in stage(folder / str(number)):
            found[scene.name] = (scene, {form: one.action for form, one in scene.planned().items()})
    return found


def file_of(form: int) -> Path:
    """The file with the texts of a form."""
    return Path(__file__).parent / f"proposals_form_{form}.txt"


def page(texts: Mapping[str, str]) -> str:
    """The texts as one page, each under its name. The number of a restored database's episode differs in each run."""
    found = "\n".join(f"== {name}\n{text}" for name, text in texts.items())
    return _EPISODE.sub(r"\1(its fingerprint)", found)
