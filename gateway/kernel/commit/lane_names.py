"""The present names of lanes that were renamed.

Files outside the database keep the old name of a lane: the permit log has `lane/reference`.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, select

from gateway.kernel.sql import schema

_R = schema.lane_renames.c


def current_lanes(conn: Connection) -> dict[str, str]:
    """All former lane names, with the lane's present name."""
    return {row.old: row.lane for row in conn.execute(select(schema.lane_renames))}


def current_lane(conn: Connection, name: str) -> str:
    """The present name of the lane once called `name`; `name` itself if it was never renamed."""
    return conn.execute(select(_R.lane).where(_R.old == name)).scalar() or name


def current_ref(names: Mapping[str, str], ref: str) -> tuple[str, str]:
    """The lane's present name and the bank reference in `lane/reference`; `names` comes from `current_lanes`."""
    lane, _, reference = ref.rpartition("/")
    return names.get(lane, lane), reference
