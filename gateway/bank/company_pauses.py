"""The pauses of companies in one daemon, in memory: while a company is paused, no lane sends a payment of it.

The pauses are kept in the journal (`kernel/cluster/lane_pauses.py`). They are read before a lane may send, with each
lease that is taken, and at each heartbeat among nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gateway.kernel import log
from gateway.kernel.cluster.lane_pauses import PauseState
from gateway.kernel.commit.rows import PaymentRow
from gateway.kernel.core.policy import Route
from gateway.kernel.meters import Meters
from gateway.settings.agreement import TREASURY

_log = log.get("bank.company_pauses")
_NEVER = PauseState()


class CompanyPauses:
    """The companies that are paused now. `routes` has the own accounts of the settings in force, with their companies.

    All lanes of a daemon share one. A lane gives `on_resumed` the function that makes its waiting payments due again.
    """

    def __init__(self, routes: Callable[[], Mapping[str, Route]] = dict, meters: Meters | None = None) -> None:
        self.paused: frozenset[str] = frozenset()
        self._routes = routes
        self._meters = meters
        self._said: dict[str, PauseState] = {}
        self._resumed: list[Callable[[], None]] = []

    def on_resumed(self, resumed: Callable[[], None]) -> None:
        """Call `resumed` whenever a company may send again."""
        self._resumed.append(resumed)

    def apply(self, said: Mapping[str, PauseState]) -> None:
        """Apply the states of companies as the journal has them. A change older than the last one is ignored."""
        before = self.paused
        for company, state in said.items():
            if state.number >= self._said.get(company, _NEVER).number:
                self._said[company] = state
        self.paused = frozenset(name for name, state in self._said.items() if state.paused)
        for company in sorted(self.paused ^ before):
            paused = company in self.paused
            if self._meters is not None:
                self._meters.company_paused.labels(company).set(int(paused))
            if paused:
                _log.warning("company.paused", company=company, action="no payment of it is sent; enquiries go on")
            else:
                _log.info("company.resumed", company=company)
        if before - self.paused:
            for resumed in self._resumed:
                resumed()

    def of(self, row: PaymentRow) -> str:
        """The paused company because of which this payment waits; "" if there is none.

        A payment belongs to the company that its own account had when it was accepted, and to the one that the account
        has now: moving an account to another company never frees a payment. A move that a cash pool or a linked payment
        ordered belongs to the companies of both accounts, because it moves money out of or into a paused company.
        """
        if not self.paused:
            return ""
        order, routes = row.order, self._routes()
        accounts = [order.ours.account.clear]
        if row.sender == TREASURY:
            accounts.append(order.theirs.account.clear)
        companies = (row.company, *(routes[one].company for one in accounts if one in routes))
        return next((one for one in companies if one in self.paused), "")

    @property
    def unknown(self) -> tuple[str, ...]:
        """The paused companies of which no account of the settings is: they were removed or renamed."""
        known = {route.company for route in self._routes().values()}
        return tuple(sorted(self.paused - known))

    def why_not_moved(self, fresh: Mapping[str, Route]) -> str:
        """Why other settings with these accounts cannot be put in force: they take accounts away from a paused company,
        whose later payments would leave. "" if they can."""
        moved = sorted(
            (before.company, after.company)
            for number, before in self._routes().items()
            if before.company in self.paused
            and (after := fresh.get(number)) is not None
            and after.company not in self.paused
        )
        if not moved:
            return ""
        names = ", ".join(f"from {old} to {new}" for old, new in sorted(set(moved)))
        return (
            f"accounts of a paused company change their company ({names}), so that their payments would leave; keep "
            f"the name, or end the pause first (bankgw companies resume), or pause the new company as well"
        )
