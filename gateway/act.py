"""The declaration of an act: something that a person may ask of the daemon, declared once for every place that needs
it.

The control endpoint, the matrix of roles, the command, the page's form, the reference pages and their tests are made
from the declarations in `acts.py` of each room. A declaration says what an act is; its handler stands apart and is
found by the act's code. So a declaration needs neither SQL nor Twisted, and the command line can read it.
"""

from __future__ import annotations

import re
from dataclasses import MISSING, dataclass, field, fields
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from gateway.language import Bilingual as Bilingual
from gateway.people.rules.roles import PersonRole

_PLACE = re.compile(r"\{(\w+)\}")


class ActProof(StrEnum):
    """How a person proves an act in a browser.

    In order: by the right to read (nothing is changed), by the visit's session, by a step-up, by one passkey over the
    signed text, by one person in both ways, by two persons in two ways, or only from the command line.
    """

    LOOK = "L"
    SESSION = "S"
    STEP_UP = "U"
    ONE_PASSKEY = "P1"
    BOTH_WAYS = "P1²"
    TWO_PERSONS = "P2"
    COMMAND_LINE = "C"


class SocketProof(StrEnum):
    """The proof that the control socket needs, beside the UNIX user that the kernel names."""

    USER = "user"
    SESSION = "session"
    SIGNATURE = "signature"


class ActEffect(StrEnum):
    """Whether an act stops something, loosens something, or neither."""

    NEUTRAL = "neutral"
    STOPS = "stops"
    LOOSENS = "loosens"


class ActEvidence(StrEnum):
    """Whether the act needs a file as evidence."""

    NONE = "none"
    OPTIONAL = "optional"
    REQUIRED = "required"


@dataclass(frozen=True, slots=True)
class ParamForm:
    """The form of one parameter: its help, and its notation.

    `option` is the command's switch and `wire` the name in the query or the body, if they differ from the field's name.
    A number is above `above` (or at least `least`) and at most `most`. `clear`: the parameter asks for unmasked data,
    which only root and the daemon's own user may get. `command`: the command offers the parameter. `bad` is the code
    that refuses a value that is not text. `names` is the kind of name (`lane`, `order`) that the shell completes.
    """

    help: Bilingual
    option: str = ""
    wire: str = ""
    metavar: str = ""
    least: float | None = None
    most: float | None = None
    clear: bool = False
    command: bool = True
    bad: str = "bad_text"
    names: str = ""


@dataclass(frozen=True, slots=True)
class ActParam:
    """One parameter of an act, read from a field of its class. `in_path`: it is a part of the path."""

    name: str
    type: Any
    form: ParamForm
    default: Any
    in_path: bool

    @property
    def required(self) -> bool:
        """True if the act needs this parameter."""
        return self.default is MISSING

    @property
    def wire(self) -> str:
        """The parameter's name in the query or the body."""
        return self.form.wire or self.name


@dataclass(frozen=True, slots=True)
class AnswerColumn:
    """A column of a table: the place of its value in a row (`sessions.ready`, `decided[].person`), and its title.

    `otherwise` is shown if there is no value.
    """

    place: str
    title: Bilingual
    otherwise: Bilingual = ("", "")


@dataclass(frozen=True, slots=True)
class TableAnswer:
    """A table of rows of the answer: the list under `rows`, or the sentence `nothing` if it is empty."""

    rows: str
    columns: tuple[AnswerColumn, ...]
    nothing: Bilingual = ("", "")


@dataclass(frozen=True, slots=True)
class SentenceAnswer:
    """A sentence with values of the answer in it. `when`: only if this value of the answer is true. `each`: once for
    every row of this list."""

    text: Bilingual
    when: str = ""
    each: str = ""


@dataclass(frozen=True, slots=True)
class ActDecision:
    """An act that two persons sign. `kind` is the word for it in the signed text.

    The templates `subject` and `to` are filled with the act's parameters; `to_default` is used if they leave `to`
    empty. `until_administrators`: before there are administrators, one operator carries the act out at its own path.
    """

    kind: str
    propose: frozenset[PersonRole]
    approve: frozenset[PersonRole]
    subject: str
    to: str
    to_default: str = ""
    until_administrators: bool = False


@dataclass(frozen=True, slots=True)
class Act:
    """One act. `path` is "" if it can only be asked for through a proposal; `{name}` in it is a parameter.

    `form` is the version of the signed text: titles and help change freely, and a change of the text needs a new form.
    `roles`: persons with one of these roles may ask; `everybody`: every user who can open the socket may ask; without
    both, only root and the daemon's own user may. `scoped`: the act is only about own accounts inside the person's
    scope. `command` is the command's words after `bankgw`. `draft`: a page prepares the act and the approval page signs
    it.
    """

    method: str
    path: str
    code: str
    room: str
    title: Bilingual
    form: int = 1
    help: Bilingual = ("", "")
    params: type | None = None
    answer: tuple[TableAnswer | SentenceAnswer, ...] = ()
    roles: frozenset[PersonRole] = frozenset()
    everybody: bool = False
    shows: SocketProof = SocketProof.SESSION
    scoped: bool = False
    proof: ActProof = ActProof.LOOK
    effect: ActEffect = ActEffect.NEUTRAL
    moves_money: bool = False
    evidence: ActEvidence = ActEvidence.NONE
    draft: bool = False
    command: str = ""
    decision: ActDecision | None = None
    most_bytes: int = 65_536

    @property
    def name(self) -> str:
        """The act's row of the matrix: method and path, each parameter as `{}`."""
        return f"{self.method} {_PLACE.sub('{}', self.path)}"

    @property
    def pattern(self) -> str:
        """The path as a regular expression, with a group for each parameter."""
        return _PLACE.sub("([^/]+)", self.path)

    @property
    def path_params(self) -> tuple[str, ...]:
        """The names of the parameters in the path."""
        return tuple(_PLACE.findall(self.path))


@dataclass(frozen=True, slots=True)
class CommandGroup:
    """A group of commands, as `bankgw lanes`."""

    name: str
    help: Bilingual


@dataclass(frozen=True, slots=True)
class RoomActs:
    """The acts of one subject, with the groups of its commands."""

    acts: tuple[Act, ...]
    groups: tuple[CommandGroup, ...] = field(default=())


@cache
def params_of(act: Act) -> tuple[ActParam, ...]:
    """The act's parameters: those of the path first, in the path's order."""
    if act.params is None:
        return ()
    hints, found = get_type_hints(act.params, include_extras=True), {}
    in_path = act.path_params
    for one in fields(act.params):
        kind, form = _form_of(hints[one.name])
        found[one.name] = ActParam(one.name, kind, form, one.default, one.name in in_path)
    missing = [name for name in in_path if name not in found]
    assert not missing, f"{act.code}: its parameters lack {missing}, which its path names"
    return tuple(found.pop(name) for name in in_path) + tuple(found.values())


def _form_of(hint: Any) -> tuple[Any, ParamForm]:
    assert get_origin(hint) is Annotated, f"{hint} is not Annotated with a ParamForm"
    kind, form, *_ = get_args(hint)
    assert isinstance(form, ParamForm), f"{hint} is not Annotated with a ParamForm"
    return kind, form


def said(text: Bilingual, language: str) -> str:
    """The text in English, or in Chinese for `zh`."""
    return text[1] if language == "zh" else text[0]


# ---- parameters that many acts have ----

REASON = ParamForm(("Why; kept in the audit trail.", "理由，记入审计链。"), option="--reason")
ReasonParam = Annotated[str, REASON]
ClearParam = Annotated[
    bool,
    ParamForm(
        (
            "Show unmasked data. Only root and the daemon's user may, and it is audited.",
            "显示未遮蔽的数据。仅 root 与守护进程用户可用，并记入审计链。",
        ),
        clear=True,
    ),
]
BankParam = Annotated[str | None, ParamForm(("Only this bank's accounts.", "仅该银行的账户。"), names="bank")]
CompanyParam = Annotated[str | None, ParamForm(("Only this company's accounts.", "仅该公司的账户。"))]
AccountParam = Annotated[str | None, ParamForm(("Only this own account.", "仅该本单位账户。"))]
OrderParam = Annotated[
    str, ParamForm(("The payment's key, or SENDER:ID.", "付款的编号，或 SENDER:ID。"), metavar="ORDER")
]
AccountNo = Annotated[str, ParamForm(("The own account's number.", "本单位账户的账号。"), metavar="ACCOUNT")]
ROWS_BYTES = 1_048_576
"""The most that one portion of rows, of a book or a statement, may take."""
