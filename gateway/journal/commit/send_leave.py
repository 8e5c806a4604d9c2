"""Whether bytes that were written down may still leave."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, eq=False, weakref_slot=True)
class SendLeave:
    """Given with the commit of a send, and revoked when anything else is learnt of the payment before the bytes' turn.

    That can be in the same commit, behind the send, or in a later one of this process's writer: an entry of the
    account, an enquiry's answer, the deadline. May be looked at from any thread. The epoch keeps other nodes off.
    """

    revoked: bool = False
