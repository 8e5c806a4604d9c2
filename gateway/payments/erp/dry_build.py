"""Dry build: builds an order's message before it is accepted and discards it, to refuse orders that cannot be built.

A bank's limits are data, and `policy.check` reports every fault under them. Other faults (a name of blanks only, a text
that the format cannot carry) appear only when the adapter builds the message. For an item of a batch that is too late:
the whole message with its other items would be held. So the adapter builds a message of this one order here, as far as
possible without the bank and the keys. A failure counts only if the same order with plain texts can be built; otherwise
the session or the login is missing, which is not the order's fault.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime

from gateway.kernel.core.policy import Route
from protocols.bank import Bank, BundleConversation, Context, MoneyConversation
from protocols.canon.errors import Fault, FieldCode
from protocols.canon.order import AnyOrder, Bundle, Item, Kind
from protocols.canon.party import Name, Party
from protocols.kit.errors import ProtocolError

_PLAIN = "1"
_TEXTS = ("/debtor/name", "/debtor/bank_name", "/creditor/name", "/creditor/bank_name", "/purpose")


class _Anything(Mapping[str, str]):
    """A mapping that has a value for every credential and every session field, so that a message can be built without a
    bank."""

    def __getitem__(self, name: str) -> str:
        return _PLAIN

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


class DryBuild:
    """Builds bank messages for orders of one bank and kind without sending them, to find texts that cannot be sent."""

    def __init__(self, bank: Bank, route: Route, kind: Kind, day: date, now: datetime) -> None:
        form = route.limits_of(kind).reference
        reference = form.prefix + form.alphabet[1] * (form.length - len(form.prefix))
        serials = tuple(range(1, bank.profile.serials_per_word + 1))
        self._bank = bank
        self._name = route.bank
        self._kind = kind
        self._context = Context(reference, 1, day, now, serials, _Anything(), _Anything())

    def faults(self, order: AnyOrder) -> tuple[Fault, ...]:
        """The order's texts that cannot be put into a message, by JSON pointer; none if it can be built, or if that is
        unknown."""
        return self.of_all((order,))[0]

    def of_all(self, orders: Sequence[AnyOrder]) -> list[tuple[Fault, ...]]:
        """The faults of each order. Orders are built together, up to the limit per message, because usually all
        succeed."""
        bundled = self._bank.bundles.get(self._kind)
        most = 1 if bundled is None else bundled.most
        found: list[tuple[Fault, ...]] = []
        for start in range(0, len(orders), most):
            some = orders[start : start + most]
            well = len(some) > 1 and self._failure(some) is None
            found += [() if well else self._alone(order) for order in some]
        return found

    def _alone(self, order: AnyOrder) -> tuple[Fault, ...]:
        why = self._failure((order,))
        return () if why is None else self._guilty(order, why)

    def _guilty(self, order: AnyOrder, why: str) -> tuple[Fault, ...]:
        texts = [at for at in _TEXTS if _text(order, at)]
        plain = order
        for at in texts:
            plain = _with(plain, at, _PLAIN)
        if self._failure((plain,)) is not None:
            return ()
        guilty = [at for at in texts if self._failure((_with(plain, at, _text(order, at)),)) is not None]
        said = f"{self._name}'s message cannot be built from this order: {why}"
        return tuple(Fault(at, FieldCode.PATTERN, said) for at in guilty or [""])

    def _failure(self, orders: Sequence[AnyOrder]) -> str | None:
        """Why the message cannot be built, up to the point that needs the bank or the keys; None if it can."""
        bundled, context = self._bank.bundles.get(self._kind), self._context
        building: MoneyConversation | BundleConversation
        try:
            if bundled is not None:
                items = tuple(Item(order, context.reference) for order in orders)
                building = bundled.word(Bundle(self._kind, items), context)
            else:
                building = self._bank.money[self._kind](orders[0], context)
            next(building)
            building.close()
        except ProtocolError as error:
            return str(error)
        except Exception:
            # A session value of another form, or a defect: the real send will show it and hold the order.
            return None
        return None


def _text(order: AnyOrder, at: str) -> str:
    if at == "/purpose":
        return order.purpose
    party = order.debtor if at.startswith("/debtor") else order.creditor
    return party.name.clear if at.endswith("/name") else party.bank_name or ""


def _with(order: AnyOrder, at: str, text: str) -> AnyOrder:
    if at == "/purpose":
        return replace(order, purpose=text)
    side = "debtor" if at.startswith("/debtor") else "creditor"
    party: Party = getattr(order, side)
    changed = replace(party, name=Name(text)) if at.endswith("/name") else replace(party, bank_name=text)
    return replace(order, debtor=changed) if side == "debtor" else replace(order, creditor=changed)
