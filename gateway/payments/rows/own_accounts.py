"""Payments by own account: the payer's account, and for a collection the payee's. Each condition is answered by one
index."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import ColumnElement, and_, literal_column

from gateway.kernel.sql import schema
from protocols.canon.order import Kind

_P = schema.payments.c
# A literal, not a bound value, because an index of collections only is used if the statement's text names collections.
_COLLECTION: ColumnElement[str] = literal_column(f"'{Kind.COLLECTION.value}'")


def own_payments(indexes: Collection[str]) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """Two conditions that exclude each other: money that one of these accounts pays, and money that it collects.

    Use each condition in a separate query, with a range of `first_write_ms` if there is one, because an OR of both, or
    a CASE, uses no index on some databases. `indexes` are blind indexes.
    """
    some = sorted(indexes)
    return (
        and_(_P.debtor_idx.in_(some), _P.kind != _COLLECTION),
        and_(_P.creditor_idx.in_(some), _P.kind == _COLLECTION),
    )
