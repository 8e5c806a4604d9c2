"""A virtual host for one run: rabbitmqctl makes it, with the users and rights of the described one, and deletes it.

Demo, benchmark, joint test and tests publish to queues of the same names. In one virtual host they would take each
other's commands. If a run is killed, its virtual host stays; the next run deletes it, because the name has the process
id and the time at which that process began. `make forget` deletes all of them.
"""

from __future__ import annotations

import itertools
import os
import re
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from gateway.demo.erp import BrokerTrouble

_LIMIT_S = 120.0
_NUMBERS = itertools.count(1)
_USER = "bankgw"
_COPIED = (
    "[rabbit_auth_backend_internal:set_permissions(proplists:get_value(user, P), {new}, "
    "proplists:get_value(configure, P), proplists:get_value(write, P), proplists:get_value(read, P), {by}) "
    "|| P <- rabbit_auth_backend_internal:list_vhost_permissions({like})]"
)


@contextmanager
def own_vhost(broker: Mapping[str, Any], kind: str) -> Iterator[dict[str, Any]]:
    """Make a virtual host that exists until the end of the block; yields the description of `broker` with it.

    A description without `control` names a virtual host that nobody else uses; it is used unchanged. Raises
    BrokerTrouble if rabbitmqctl may not make one.
    """
    if broker.get("control") is None:
        yield dict(broker)
        return
    pid, like = os.getpid(), str(broker["vhost"])
    own = f"{like}-{kind}-{next(_NUMBERS)}-{pid}-{_born(pid)}"
    _make(broker, own, _left_behind(broker, like))
    try:
        yield {**broker, "vhost": own}
    finally:
        _remove(broker, own)


def kept_vhost(broker: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Make an empty virtual host that stays as long as the site in `folder`; returns the description of `broker` with
    it.

    `make forget` deletes it. Without `control`, and if it fails, it behaves as `own_vhost`.
    """
    if broker.get("control") is None:
        return dict(broker)
    like = str(broker["vhost"])
    own = f"{like}-site-{sha256(os.fsencode(folder.absolute())).hexdigest()[:8]}"
    _make(broker, own, [own, *_left_behind(broker, like)])
    return {**broker, "vhost": own}


def _make(broker: Mapping[str, Any], own: str, gone: Sequence[str]) -> None:
    new, like, by = _binary(own), _binary(str(broker["vhost"])), _binary(_USER)
    words = [f"catch rabbit_vhost:delete({_binary(name)}, {by})" for name in gone]
    words += [f"ok = rabbit_vhost:add({new}, {by})", _COPIED.format(new=new, like=like, by=by)]
    # One call, because each start of rabbitmqctl costs half a second.
    _control(broker, "eval", ", ".join(words) + ", ok.")


def _remove(broker: Mapping[str, Any], own: str) -> None:
    try:
        _control(broker, "delete_vhost", own)
    except BrokerTrouble:
        # The broker may be gone before the run; the next run, or `make forget`, looks again.
        return


def _left_behind(broker: Mapping[str, Any], like: str) -> list[str]:
    """Virtual hosts of runs whose process has ended."""
    name_of = re.compile(re.escape(like) + r"-[a-z0-9-]+-(?P<pid>\d+)-(?P<born>\d+)")
    found = [name_of.fullmatch(line) for line in _control(broker, "list_vhosts", "name").splitlines()]
    return [one[0] for one in found if one is not None and _born(int(one["pid"])) != int(one["born"])]


def _control(broker: Mapping[str, Any], *words: str) -> str:
    """Run rabbitmqctl on the broker and return its output. Raises BrokerTrouble."""
    control = broker["control"]
    # Otherwise all runs at the same time share ten ports.
    port = str(_free_port())
    env = {**os.environ, **control["env"], "RABBITMQ_CTL_DIST_PORT_MIN": port, "RABBITMQ_CTL_DIST_PORT_MAX": port}
    try:
        done = subprocess.run(
            [*control["command"], "--silent", *words],
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
            env=env,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise BrokerTrouble(_trouble(broker, str(problem))) from problem
    if done.returncode:
        raise BrokerTrouble(_trouble(broker, (done.stdout + done.stderr).strip()))
    return done.stdout


def _trouble(broker: Mapping[str, Any], said: str) -> str:
    return (
        f"no virtual host of its own can be made on the RabbitMQ at {broker['host']}:{broker['port']}: {said}. "
        f"The user who runs this needs the right to call rabbitmqctl (root, or sudo without a password); or describe, "
        f"in a file named by $BANKGW_BROKER_JSON and without `control`, a virtual host that nothing else uses"
    )


def _binary(text: str) -> str:
    return f"<<{','.join(map(str, text.encode()))}>>"


def _born(pid: int) -> int:
    # Field 22 of /proc/PID/stat, counted after the command's name, which may contain spaces or brackets.
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] in "ZX" else int(fields[19])


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
