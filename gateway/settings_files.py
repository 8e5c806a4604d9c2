"""The settings files as plain tables: files and variables merged, and the daemon's socket found in them.

Commands that only ask the daemon need no more than its socket. So this file loads no validation library, which would
take longer than the rest of such a command.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ENVIRONMENT_PREFIX = "BANKGW__"
BOM = "begins with a BOM; save the file as UTF-8 without BOM"
CONTROL_SOCKET = "control.sock"
"""The control socket's name in `state_dir`, if the settings give it no path."""
STATE_DIR = Path("/var/lib/bankgw")
"""The default of `state_dir`."""
SHARD_VARIABLE: Final = "BANKGW__SHARD"
"""The environment variable that names a command's shard, as for any setting."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake in the settings: its place, and what to do. `chinese` is the remedy in Chinese, if it is known."""

    file: str
    key: str
    remedy: str
    chinese: str = ""

    def __str__(self) -> str:
        return f"{self.file}: {self.key}: {self.remedy}"


class BadSettings(Exception):
    """The settings cannot be used; `mistakes` holds every one of them."""

    def __init__(self, mistakes: tuple[Mistake, ...]) -> None:
        super().__init__("\n".join(map(str, mistakes)))
        self.mistakes = mistakes


@dataclass(frozen=True, slots=True)
class Shard:
    """Number `number` of `count` shards; numbers begin with 1."""

    number: int
    count: int

    @staticmethod
    def of(text: str) -> Shard:
        """Read `k/n`. Raises ValueError."""
        found = re.fullmatch(r"([0-9]{1,2})/([0-9]{1,2})", text)
        if found is None or not 1 <= int(found.group(1)) <= int(found.group(2)):
            raise ValueError("write k/n, such as 1/2 for the first of two shards")
        return Shard(int(found.group(1)), int(found.group(2)))

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


def state_folder(state_dir: Path, number: int) -> Path:
    """The state folder of one shard, within that of the settings."""
    return state_dir / f"shard-{number}"


def shard_socket(socket: Path, number: int) -> Path:
    """The control socket of one shard where the settings name one for all."""
    return socket.with_name(f"{socket.stem}-{number}{socket.suffix}")


def socket_of(path: Path, environment: Mapping[str, str] | None = None) -> Path:
    """The address of the control API, whatever else is wrong with the settings. Raises BadSettings."""
    tables, _origin = merged_tables(path, environment)
    try:
        shard = Shard.of(tables.get("shard", "1/1"))
    except (ValueError, TypeError):
        shard = Shard(1, 1)
    socket, state = _socket_and_state(tables, path.resolve().parent)
    if shard.count > 1:
        state = state_folder(state, shard.number)
        socket = None if socket is None else shard_socket(socket, shard.number)
    return socket or state / CONTROL_SOCKET


def shard_sockets(path: Path, environment: Mapping[str, str] | None = None) -> tuple[Path, ...]:
    """The control sockets of the shards that run, or ran, with these settings, by number. Raises BadSettings."""
    tables, _origin = merged_tables(path, environment)
    socket, state = _socket_and_state(tables, path.resolve().parent)
    numbered = (
        (number, shard_socket(socket, number) if socket else state_folder(state, number) / CONTROL_SOCKET)
        for number in range(1, 100)
    )
    return tuple(one for _number, one in numbered if one.exists())


def _socket_and_state(tables: Mapping[str, Any], folder: Path) -> tuple[Path | None, Path]:
    control, state = tables.get("control"), tables.get("state_dir")
    socket = control.get("socket") if isinstance(control, dict) else None
    state_dir = folder / (state if isinstance(state, str) else STATE_DIR)
    return folder / socket if isinstance(socket, str) else None, state_dir


def merged_tables(path: Path, environment: Mapping[str, str] | None) -> tuple[dict[str, Any], dict[str, str]]:
    """The tables of `path`, of `conf.d/*.toml` beside it and of the environment in one, and the origin of each key.
    Raises BadSettings.
    """
    tables: dict[str, Any] = {}
    origin: dict[str, str] = {}
    mistakes: list[Mistake] = []
    for file in (path, *sorted((path.parent / "conf.d").glob("*.toml"))):
        mistakes += _merge_file(file, tables, origin)
    for name, value in sorted((environment or {}).items()):
        if name.startswith(ENVIRONMENT_PREFIX):
            mistakes += _merge_variable(name, value, tables, origin)
    if mistakes:
        raise BadSettings(tuple(mistakes))
    return tables, origin


def _merge_file(file: Path, tables: dict[str, Any], origin: dict[str, str]) -> list[Mistake]:
    try:
        text = file.read_text("utf-8")
        if text.startswith("\ufeff"):
            return [Mistake(str(file), "line 1", BOM)]
        written = tomllib.loads(text)
    except OSError as error:
        return [_unreadable(file, error)]
    except UnicodeDecodeError as error:
        return [Mistake(str(file), f"byte {error.start}", "is not UTF-8; save the file in UTF-8")]
    except tomllib.TOMLDecodeError as error:
        found = re.search(r" \(at (line \d+), column \d+\)$", str(error))
        return [Mistake(str(file), found.group(1) if found else "-", f"is not TOML; mend it: {error}")]
    return list(_merge(written, tables, origin, str(file), ""))


def _unreadable(file: Path, error: OSError) -> Mistake:
    """The mistake of a file that cannot be read, with the step that each cause needs."""
    if isinstance(error, PermissionError):
        remedy = "only root and the daemon's own user may read it; try `sudo -u bankgw` before the command"
        chinese = "无法读取：仅 root 与守护进程用户有权；请在命令前加 `sudo -u bankgw`"
    elif isinstance(error, IsADirectoryError):
        inside = file / "bankgw.toml"
        remedy, chinese = (
            f"name the file in the folder: --config {inside}",
            f"这是目录；请指明其中的文件：--config {inside}",
        )
    else:
        remedy = "create it (`bankgw init` writes one) or name another with --config"
        why = "没有这个文件" if isinstance(error, FileNotFoundError) else error.strerror
        chinese = f"无法读取（{why}）；请新建（`bankgw init` 可写出），或以 --config 指明另一文件"
    return Mistake(str(file), "-", f"cannot be read ({error.strerror}); {remedy}", chinese)


def is_there(path: Path) -> bool:
    """True if the path exists, or if this user has no right to find out. In the second case, opening it gives the
    error.
    """
    try:
        path.lstat()
    except PermissionError:
        return True
    except OSError:
        return False
    return True


def _merge(
    new: Mapping[str, Any], into: dict[str, Any], origin: dict[str, str], file: str, at: str
) -> Iterator[Mistake]:
    for key, value in new.items():
        name = f"{at}.{key}" if at else key
        if isinstance(value, dict) and isinstance(into.get(key, {}), dict):
            yield from _merge(value, into.setdefault(key, {}), origin, file, name)
        elif isinstance(value, list) and isinstance(into.get(key, []), list):
            start = len(into.setdefault(key, []))
            into[key].extend(value)
            origin.update({f"{name}.{start + n}": file for n in range(len(value))})
        elif key in into:
            yield Mistake(file, name, f"is set in {origin.get(name, 'another file')} already; keep one")
        else:
            into[key] = value
        origin.setdefault(name, file)


def _merge_variable(name: str, value: str, tables: dict[str, Any], origin: dict[str, str]) -> Iterator[Mistake]:
    *parents, last = name[len(ENVIRONMENT_PREFIX) :].lower().split("__")
    source, key = f"environment variable {name}", ".".join((*parents, last))
    table: Any = tables
    for parent in parents:
        table = table.setdefault(parent, {}) if isinstance(table, dict) else None
    if not isinstance(table, dict) or isinstance(table.get(last), dict | list):
        yield Mistake(source, key, "a variable can set one plain value of a table; unset it and write it in a file")
    else:
        table[last] = value
        origin[key] = source
