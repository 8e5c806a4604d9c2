"""A committed send may be revoked until its bytes are written to the connection."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, eq=False, weakref_slot=True)
class SendLeave:
    """The leave to write a committed send. It is revoked if news about the payment arrives before the write.

    The news may come later in the same commit or in a later commit of this process: a statement entry, an enquiry's
    answer, the deadline. May be read from any thread. The lane's epoch excludes other nodes.
    """

    revoked: bool = False
