"""Output of commands: text or JSON on stdout, errors on stderr, a documented exit code; and the options they share."""

from __future__ import annotations

import errno
import json
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from gateway.act import Bilingual
from gateway.act import said as said_in
from gateway.cli import exit_codes, terminal
from gateway.language import Lang

if TYPE_CHECKING:
    from gateway.cli.environment import Environment
    from gateway.cli.tables import TerminalColumn
    from gateway.control.client import ControlClient, Refused
    from gateway.settings import LoadedSettings, Mistake

DEFAULT_CONFIG = Path("/etc/bankgw/bankgw.toml")

Config = Annotated[
    Path,
    typer.Option(
        "--config",
        "-c",
        envvar="BANKGW_CONFIG",
        readable=False,
        help="Main settings file; conf.d beside it is read too.",
    ),
]
Socket = Annotated[
    Path | None,
    typer.Option("--socket", envvar="BANKGW_SOCKET", help="The daemon's control socket; default: as the settings say."),
]
_errors_as_json: ContextVar[bool] = ContextVar("errors as JSON", default=False)
_language: ContextVar[Lang] = ContextVar("language", default="en")


def tell_errors_in_words() -> None:
    """Print errors as text from now on; the option `--json` of a command line changes this."""
    _errors_as_json.set(False)


def speak(language: Lang) -> None:
    """Print answers, questions and refusals in this language from now on."""
    _language.set(language)


def in_language(text: Bilingual) -> str:
    """The text in the language of the environment."""
    return said_in(text, _language.get())


def _note_json(asked: bool) -> bool:
    _errors_as_json.set(asked)
    return asked


AsJson = Annotated[
    bool, typer.Option("--json", callback=_note_json, help="Print one JSON document instead of words; errors, too.")
]
WatchOption = Annotated[
    float | None,
    typer.Option("--watch", min=0.2, metavar="SECONDS", help="Show it again every so many seconds, until interrupted."),
]
Clear = Annotated[
    bool, typer.Option("--clear", help="Show unmasked data. Only root and the daemon's user may, and it is audited.")
]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; kept in the audit trail.")]

STATE_STYLE = {
    "settled": "green",
    "failed": "red",
    "rejected": "red",
    "in_doubt": "yellow",
    "escalated": "bold yellow",
    "held": "magenta",
    "returned": "red",
    "reversed": "red",
    "cancelled": "dim",
    "expired": "dim",
}


_OS_REASONS: Mapping[int, str] = {
    errno.EACCES: "没有权限",
    errno.EEXIST: "已存在",
    errno.EISDIR: "是目录",
    errno.ENAMETOOLONG: "名称过长",
    errno.ENOENT: "没有这个文件或目录",
    errno.ENOSPC: "磁盘空间不足",
    errno.ENOTDIR: "不是目录",
    errno.EPERM: "不允许此操作",
    errno.EROFS: "只读文件系统",
}
_LABEL_COLUMNS = 16
_YES, _NO = ("y", "yes", "是"), ("n", "no", "否", "")
_NUMBERS = frozenset({"amount", "item_no"})
_IDS = frozenset(
    {
        "account",
        "approval",
        "condition",
        "currency",
        "delegation",
        "entry",
        "id",
        "message",
        "message_id",
        "number",
        "order",
        "order_state",
        "person",
        "pool",
        "proposal",
        "receipt",
        "request",
        "run",
        "sender",
        "state",
        "subject",
    }
)
"""Fields that name something, or its state: never wrapped, never left out."""
_KEPT = frozenset({"cause", "command", "next", "next_step", "reason", "what", "why", "wrong"})
"""Fields that say what to do: wrapped, but never left out."""
_MOMENT = re.compile(r"([0-9]{4}-)?[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}(:[0-9]{2})?")
_LONGEST_CODE = 40
_AMOUNT = re.compile(r"([0-9]+: )?[+-]?[0-9,]+\.[0-9]{2,3}")


def environment(context: typer.Context) -> Environment:
    """The environment that the program passed in."""
    found: Environment = context.find_root().obj
    return found


def say(text: str | Bilingual, *, flush: bool = False) -> None:
    """Print a line on stdout; `flush` shows it at once where stdout is a file or a pipe."""
    print(worded(text), flush=flush)


def worded(text: str | Bilingual) -> str:
    """The text itself, or if it is given in two languages, its text in the language of the environment."""
    return text if isinstance(text, str) else in_language(text)


def dump(said: Any) -> None:
    """Print a JSON document on stdout."""
    print(as_json(said, indent=1))


def as_json(said: Any, indent: int | None = None) -> str:
    """JSON whose characters stdout can encode; other characters are written as JSON escapes."""
    unicode = (getattr(sys.stdout, "encoding", None) or "utf-8").lower().startswith("utf")
    return json.dumps(said, ensure_ascii=not unicode, indent=indent)


def english(text: str | Bilingual) -> str:
    """The text in English: for JSON, which scripts read."""
    return text if isinstance(text, str) else text[0]


def warn(*lines: str | Bilingual) -> None:
    """Print lines on stderr."""
    for one in lines:
        print(worded(one), file=sys.stderr)


def leave(code: int, *lines: str | Bilingual, reason: str = "") -> NoReturn:
    """Print the reason on stderr, as text or with --json as one document in English, and end with this code.

    `reason` is the daemon's own code of a refusal, which the text names too.
    """
    if _errors_as_json.get():
        tell_json_error(code, list(map(english, lines)), reason)
    else:
        warn(*lines)
    raise typer.Exit(code)


def explained(english: object, chinese: str) -> Bilingual:
    """A reason in English from a lower package, in both languages. If it has no Chinese text, a general Chinese line is
    put above it."""
    return str(english), getattr(english, "chinese", "") or f"{chinese}\n{english}"


def explained_lines(english: Iterable[str], chinese: str) -> list[str | Bilingual]:
    """Several English lines from a lower package, with a general Chinese line above them."""
    return [explained(one, chinese) if at == 0 else one for at, one in enumerate(english)]


def hidden(question: Bilingual, *, twice: bool = False) -> str:
    """Ask for a secret at the terminal, once or twice, on stderr."""
    english, chinese = question
    if _language.get() == "en":
        return str(typer.prompt(english, hide_input=True, confirmation_prompt=twice, err=True))
    while True:
        answer = str(typer.prompt(chinese, hide_input=True, prompt_suffix="：", err=True))
        if not twice or answer == typer.prompt("再次输入以确认", hide_input=True, prompt_suffix="：", err=True):
            return answer
        warn("两次输入不一致，请重新输入")


def confirmed(question: Bilingual) -> bool:
    """Ask a yes-or-no question at the terminal, on stderr. Returns whether the answer is yes; no answer counts as
    no."""
    english, chinese = question
    if _language.get() == "en":
        return typer.confirm(english, err=True)
    while True:
        given = str(typer.prompt(f"{chinese}[y/N]", default="n", show_default=False, prompt_suffix="：", err=True))
        if given.strip().lower() in _YES or given.strip().lower() in _NO:
            return given.strip().lower() in _YES
        warn("请输入 y（是）或 n（否）")


def tell_json_error(code: int, lines: Sequence[str], reason: str = "") -> None:
    """Print one JSON document on stderr: the exit code with its name, the daemon's code if it refused,
    and the lines.
    """
    error = {"exit": code, "name": exit_codes.NAMES[code], "reason": reason or None, "messages": list(lines)}
    print(as_json({"error": error}), file=sys.stderr)


def sentence(english: str) -> str:
    """A sentence of the gateway's work lists and positions, in the language of the environment."""
    from gateway.cli import field_texts

    return field_texts.sentence(english) if english and _language.get() == "zh" else english


def code(kind: str, value: str) -> str:
    """A code of the journal; in Chinese, the code's meaning follows in brackets."""
    meaning = meaning_of(kind, value, "")
    return f"{value}（{meaning}）" if meaning else value


def meaning_of(kind: str, value: str, english: str) -> str:
    """The meaning of a code of the journal in the language of the environment; `english` is its English meaning."""
    from gateway.cli import field_texts

    return (field_texts.code_meaning(kind, value) if _language.get() == "zh" else "") or english


def field(name: str) -> str:
    """The name of a field, in the language of the environment."""
    from gateway.cli.field_texts import IN_CHINESE

    return in_language((name, IN_CHINESE.get(name, name)))


def label(name: str) -> str:
    """The name of a field in front of its value, to the right of a column."""
    return terminal.padded(field(name), _LABEL_COLUMNS, right=True)


def line(*pieces: str | tuple[str, str], whole: bool = False) -> None:
    """Print a line of pieces, each plain or with a style. With `whole`, the line is never wrapped, even on a narrow
    terminal."""
    marked = [(one, "") if isinstance(one, str) else one for one in pieces]
    for text in terminal.wrapped(marked, None if whole else terminal.width()):
        print(text)


def table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], nothing: str | Bilingual) -> None:
    """Print rows as a table; `columns` maps a field to its heading. On a terminal it fits the terminal's width."""
    from gateway.cli.headings import IN_CHINESE
    from gateway.cli.tables import table_text

    if not rows:
        say((nothing, IN_CHINESE.get(nothing, nothing)) if isinstance(nothing, str) else nothing)
        return
    made: list[TerminalColumn] = []
    for name, heading in columns.items():
        shown = in_language((heading, IN_CHINESE.get(heading, heading)))
        made.append(_column(name, shown, [row.get(name) for row in rows], first=not made))
    width = terminal.width()
    text = table_text(made, width, STATE_STYLE)
    for one in text.lines:
        print(one)
    if text.left_out:
        names = in_language((", ", "、")).join(one or "…" for one in text.left_out)
        note = (f"not shown ({width} columns): {names}; see --json", f"未显示（{width} 列）：{names}；见 --json")
        line((in_language(note), "dim"))


def _column(name: str, heading: str, values: Sequence[object], *, first: bool) -> TerminalColumn:
    """A column of a table. One without blanks holds codes, times or numbers, and no cell of it is wrapped."""
    from gateway.cli.tables import TerminalColumn

    cells = ["" if value is None else " ".join(str(value).split("\n")) for value in values]
    amounts = any(_is_amount(value) for value in values)
    whole = amounts or name in _IDS or all(_is_code(cell) for cell in cells)
    kept = first or amounts or name in _IDS or name in _KEPT
    return TerminalColumn(heading, cells, whole=whole, kept=kept, right=name in _NUMBERS)


def _is_code(cell: str) -> bool:
    """True for a cell that is read as one word: a code, a number, a time."""
    return _MOMENT.fullmatch(cell) is not None or (" " not in cell and cell.isascii() and len(cell) <= _LONGEST_CODE)


def _is_amount(value: object) -> bool:
    """True for an amount of money as text, with two or three decimals; a count may precede it (`3: 120.50`)."""
    return isinstance(value, str) and _AMOUNT.fullmatch(value) is not None


def remote(context: typer.Context, config: Path, socket: Path | None, patience_s: float | None = None) -> ControlClient:
    """The daemon that these options name. `patience_s` is the time to wait for its answer; default: the client's."""
    from gateway.control.client import TIMEOUT_S, ControlClient
    from gateway.settings_files import BadSettings, socket_of

    patience_s = TIMEOUT_S if patience_s is None else patience_s
    if socket is not None:
        return ControlClient(socket, patience_s)
    if found := shards(context, config):
        leave(
            exit_codes.UNAVAILABLE,
            (
                "the gateway runs in shards: say with --socket which one you mean; bankgw status tells the lanes of "
                "each",
                "网关以分片运行：请以 --socket 指明哪一个；bankgw status 列出各分片的通道",
            ),
            *(f"  --socket {one.path}" for one in found),
        )
    try:
        return ControlClient(socket_of(config, environment(context).variables), patience_s)
    except BadSettings as error:
        leave(
            exit_codes.CONFIG,
            *_mistakes(error.mistakes),
            ("or name the daemon's socket with --socket", "或以 --socket 指明守护进程的套接字"),
        )


def shards(context: typer.Context, config: Path) -> list[ControlClient]:
    """The daemons of the shards that have a socket.

    None if one process does all, if the environment names a shard, if the settings have mistakes, or if this user may
    not look. The socket that a killed single process left does not hide shards that run.
    """
    from gateway.control.client import ControlClient, listens
    from gateway.settings_files import SHARD_VARIABLE, BadSettings, is_there, shard_sockets, socket_of

    variables = environment(context).variables
    try:
        one, found = socket_of(config, variables), shard_sockets(config, variables)
    except (BadSettings, PermissionError):
        return []
    alone = SHARD_VARIABLE in variables or (is_there(one) and (listens(one) or not any(map(listens, found))))
    return [] if alone else [ControlClient(path) for path in found]


def end_if_away(said: Any, what: Bilingual) -> None:
    """If an answer comes from the daemon's memory, print a note and end with UNAVAILABLE: `what` describes the
    answer."""
    journal = said.get("journal")
    if journal is not None and not journal["reachable"]:
        english, chinese = what
        since = journal["since"]
        leave(
            exit_codes.UNAVAILABLE,
            (f"journal unreachable since {since}: {english}", f"流水库自 {since} 起无法访问：{chinese}"),
        )


@contextmanager
def asking() -> Iterator[None]:
    """Turn a refusal or a missing answer of the daemon into the documented exit code."""
    from gateway.control.client import NoDaemon, Refused

    try:
        yield
    except NoDaemon as error:
        leave(exit_codes.UNAVAILABLE, (str(error), error.chinese))
    except Refused as error:
        kinds: Mapping[int, int] = {
            400: exit_codes.USAGE,
            404: exit_codes.FAILED,
            500: exit_codes.FAILED,
            502: exit_codes.FAILED,
            503: exit_codes.UNAVAILABLE,
        }
        leave(kinds.get(error.status, exit_codes.REFUSED), _refusal(error), reason=error.code)


def _refusal(error: Refused) -> Bilingual:
    """The daemon's refusal; in Chinese, the code's meaning stands above the sentence with its details."""
    from gateway.cli.refusals import IN_CHINESE

    return f"{error.code}: {error}", f"{error.code}: {IN_CHINESE.get(error.code, '')}\n{error}"


def signed_text(name: str, written: Callable[[str], str]) -> str:
    """A file's lines without comments, in the normal form that is signed.

    Ends with USAGE for a file that cannot be read, or that `written` refuses with ValueError.
    """
    try:
        lines = [line.partition("#")[0].strip() for line in Path(name).read_text("utf-8").splitlines()]
        return written("; ".join(line for line in lines if line))
    except OSError as error:
        leave(exit_codes.USAGE, unreadable(name, error))
    except ValueError as error:
        leave(exit_codes.USAGE, (f"{name} cannot be used: {error}", f"{name} 的内容无法采用：\n{error}"))


def os_reason(error: OSError) -> str:
    """The operating system's reason for an error, in Chinese if it is one of the usual reasons."""
    return _OS_REASONS.get(error.errno or 0) or error.strerror or str(error)


def unreadable(file: object, error: OSError) -> Bilingual:
    """The error that a file cannot be read, with the reason."""
    return f"{file} cannot be read: {error.strerror}", f"无法读取 {file}：{os_reason(error)}"


def loaded(context: typer.Context, config: Path, variables: Mapping[str, str] | None = None) -> LoadedSettings:
    """The settings, even if they have mistakes; ends with CONFIG if they cannot be loaded at all. `variables` replaces
    the environment's variables."""
    from gateway.settings import BadSettings, read_settings

    try:
        return read_settings(config, environment(context).variables if variables is None else variables)
    except BadSettings as error:
        refuse(error.mistakes)


def refuse(mistakes: Sequence[Mistake]) -> NoReturn:
    """Print one line per mistake, and end with CONFIG."""
    leave_with_mistakes(exit_codes.CONFIG, mistakes)


def leave_with_mistakes(code: int, mistakes: Sequence[Mistake]) -> NoReturn:
    """Print one line per mistake, and end with this code."""
    leave(code, *_mistakes(mistakes))


def _mistakes(mistakes: Sequence[Mistake]) -> list[str | Bilingual]:
    """One line per mistake: file, key and remedy."""
    if all(one.chinese for one in mistakes):
        return [(str(one), f"{one.file}：{one.chinese}") for one in mistakes]
    return explained_lines(map(str, mistakes), "设置有误，每行一处（文件、键、处理办法）：")


def repeated(every_s: float | None, look: Callable[[], object], sleep: Callable[[float], None] = time.sleep) -> None:
    """Call `look` once, or with `--watch` every so many seconds: `gateway.cli.screen`."""
    from gateway.cli import screen

    screen.repeated(every_s, look, in_language, sleep)


ShowResult = Callable[[Any], None]


def show(said: Any, *, as_json: bool, words: ShowResult) -> None:
    """Print the answer as JSON or in words."""
    if as_json:
        dump(said)
    else:
        words(said)
