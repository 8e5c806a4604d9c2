"""The contents of `bankgw support-bundle`, with account numbers, names and secrets masked.

Most functions are pure: texts in, texts out. Anybody may read the bundle, so that too much is removed rather than too
little: known numbers, names and secrets anywhere, long runs of digits, and in log lines also quoted texts and
everything that is not ASCII (the gateway's own texts are ASCII; those of a bank or an order need not be).
"""

from __future__ import annotations

import http.client
import json
import platform
import re
import sqlite3
import ssl
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from sqlalchemy import make_url

from gateway.settings import KeyPlace, Secret, Settings
from protocols.canon.party import mask

TAIL_BYTES = 8 * 1024 * 1024
WAIT_S = 5.0
_LEAST_SECRET = 4
_DIGITS = re.compile(r"[0-9]{8,}")
_FOREIGN = re.compile(r"[^\x00-\x7f]+(?:[ ·.,()-]*[^\x00-\x7f]+)*")
# A quoted path stays, because it is the place in a traceback.
_QUOTED = re.compile(r"'(?!/)[^'\n]{3,}'|\"(?!/)[^\"\n]{3,}\"")
# Times and epochs are not account numbers.
_PLAIN = frozenset({"ts", "level", "event", "part", "lane", "bank", "node", "payment", "version", "source"})


@dataclass(frozen=True, slots=True)
class Redaction:
    """Removes known words and long numbers from a text. `words` maps each known word to its replacement."""

    words: tuple[tuple[str, str], ...]

    def text(self, text: str) -> str:
        """The text with known words and long numbers replaced."""
        for word, instead in self.words:
            text = text.replace(word, instead)
        return _DIGITS.sub(lambda found: mask(found.group()), text)

    def value(self, value: Any) -> Any:
        """A JSON value with known words and long numbers in texts and keys replaced; numbers stay numbers."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(name)): self.value(one) for name, one in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(one) for one in value]
        return value

    def line(self, line: str) -> str:
        """A line of the log with known words and long numbers replaced."""
        try:
            said = json.loads(line[line.index("{") :])
        except ValueError:
            return self._foreign(line)
        if not isinstance(said, dict):
            return self._foreign(line)
        shown = {
            name: one if name in _PLAIN and isinstance(one, str) and one.isascii() else self._field(one)
            for name, one in said.items()
        }
        # Known words are removed everywhere, also in fields that are otherwise left as they are.
        return json.dumps({name: self._known(one) for name, one in shown.items()}, ensure_ascii=True)

    def _known(self, value: Any) -> Any:
        if isinstance(value, str):
            for word, instead in self.words:
                value = value.replace(word, instead)
        return value

    def _field(self, value: Any) -> Any:
        return self._foreign(value) if isinstance(value, str) else self.value(value)

    def _foreign(self, text: str) -> str:
        text = _QUOTED.sub(lambda found: f"{found.group()[0]}…{found.group()[0]}", self.text(text))
        return _FOREIGN.sub(lambda found: found.group() if found.group() == "…" else "[not ASCII]", text)


def redaction_of(settings: Settings | None) -> Redaction:
    """The redaction for these settings: accounts with their holders, and the contents of every readable secret."""
    words: dict[str, str] = {}
    if settings is not None:
        for account in settings.accounts:
            words[account.number], words[account.name] = mask(account.number), "[name]"
        for secret in _secrets(settings):
            words.update((line, "[secret]") for line in _contents(secret))
        password = make_url(settings.journal.url).password
        words.update([(str(password), "[secret]")] if password else ())
    # The longest first, because replacing a word inside a longer one would leave the rest of the longer one.
    ordered = sorted((one for one in words.items() if len(one[0]) >= 2), key=lambda one: -len(one[0]))
    return Redaction(tuple(ordered))


def _secrets(value: Any) -> Iterator[Secret | KeyPlace]:
    if isinstance(value, Secret | KeyPlace):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _secrets(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _secrets(one)
    elif hasattr(type(value), "model_fields"):
        for name in type(value).model_fields:
            yield from _secrets(getattr(value, name))


def _contents(secret: Secret | KeyPlace) -> Iterator[str]:
    try:
        text = secret.secret_bytes().decode("utf-8", "replace")
    except (OSError, ValueError):
        return
    for line in text.splitlines():
        if len(line.strip()) >= _LEAST_SECRET and not line.startswith("-----"):
            yield line.strip()


def settings_words(settings: Settings, redaction: Redaction) -> dict[str, Any]:
    """The settings in force: of secrets only their place is shown, accounts are masked, holders left out."""
    said = settings.model_dump(mode="json")
    said["journal"]["url"] = make_url(settings.journal.url).render_as_string(hide_password=True)
    url = said["broker"].get("management_url")
    if url:
        parts = urlsplit(url)
        said["broker"]["management_url"] = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    said["accounts"] = [
        {**account, "number": mask(account["number"]), "name": "[name]"} for account in said["accounts"]
    ]
    shown: dict[str, Any] = redaction.value(said)
    return shown


def versions(version: str) -> dict[str, Any]:
    """The versions of this program and its libraries, and the kind of machine."""
    found = {one.metadata["Name"]: one.version for one in distributions()}
    return {
        "bankgw": version,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "sqlite": sqlite3.sqlite_version,
        "openssl": ssl.OPENSSL_VERSION,
        "packages": dict(sorted(found.items())),
    }


def metrics(settings: Settings) -> str:
    """The daemon's `/metrics`. Raises OSError or ValueError if they cannot be read."""
    watch, port_file = settings.watch, settings.state_dir / "watch.port"
    port = watch.port or int(port_file.read_text("ascii"))
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(watch.host, watch.host)  # noqa: S104 - the daemon's, not ours
    line = http.client.HTTPConnection(host, port, timeout=WAIT_S)
    try:
        line.request("GET", "/metrics")
        answer = line.getresponse()
        body = answer.read().decode("utf-8", "replace")
    except http.client.HTTPException as error:
        raise OSError(str(error) or type(error).__name__) from None
    finally:
        line.close()
    if answer.status != 200:
        raise OSError(f"status {answer.status}")
    return body


def tail(path: Path, lines: int) -> list[str]:
    """A file's last lines. Raises OSError."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - TAIL_BYTES))
        return file.read().decode("utf-8", "replace").splitlines()[-lines:]


def log_text(lines: Iterable[str], redaction: Redaction) -> str:
    """Log lines with known words and long numbers replaced."""
    return "".join(f"{redaction.line(line)}\n" for line in lines)


def contents(members: Sequence[tuple[str, str]]) -> str:
    """The bundle's list of its own contents."""
    listed = "\n".join(f"  {name}" for name, _text in members)
    return (
        "A bundle of bankgw for whoever helps. Account numbers are masked; names and secrets are left out; log lines\n"
        "have no quoted text and nothing that is not ASCII. Look through it before you send it.\n\n"
        f"{listed}\n"
    )
