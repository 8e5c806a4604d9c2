"""What a lane that was renamed is called now.

Files outside the database keep the name that a lane had when they were written: the permit log says `lane/reference`.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, select

from gateway.journal.sql import schema

_R = schema.lane_renames.c


def current_lanes(conn: Connection) -> dict[str, str]:
    """Every lane name that was given up, with the name that the lane has now."""
    return {row.old: row.lane for row in conn.execute(select(schema.lane_renames))}


def current_lane(conn: Connection, name: str) -> str:
    """What the lane that was called `name` is called now; `name` itself if it was never renamed."""
    return conn.execute(select(_R.lane).where(_R.old == name)).scalar() or name


def current_ref(names: Mapping[str, str], ref: str) -> tuple[str, str]:
    """The lane's present name and the bank's reference of a `lane/reference`; `names` as `current_lanes` gives them."""
    lane, _, reference = ref.rpartition("/")
    return names.get(lane, lane), reference
