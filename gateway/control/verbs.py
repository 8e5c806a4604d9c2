"""The control API of the command line: the register's acts with their handlers, behind the matrix of roles."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.control import access
from gateway.control.act_answers import act_answers
from gateway.control.asked import verbs_of
from gateway.control.ports import ControlPorts
from gateway.control.server import Verb
from gateway.people.act_answers.person_sessions import PersonSessions


def verbs(ports: ControlPorts) -> Sequence[Verb]:
    """The whole API of the command line, behind the matrix of roles."""
    sessions = PersonSessions(ports.clock, ports.sessions.limits)
    return access.guarded(ports.store, ports.clock, sessions, verbs_of(act_answers(ports, sessions)))
