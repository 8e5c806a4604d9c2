"""The campaign's own servers, which it may kill: a RabbitMQ node and a PostgreSQL. No other server is touched."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from setup import broker as rabbitmq
from setup import postgresql
from setup.amqp import Answer, login
from setup.machine import LOOPBACK, NotToBeHad, free_port, listens, password, run, wait_until

CONTROL_S = 180.0
"""`rabbitmqctl` starts a virtual machine of its own, which takes a minute on a busy one."""
UP_S = 120.0
_ROLES = (rabbitmq.ADMIN, rabbitmq.DAEMON, *rabbitmq.ERPS)
_VHOST = "faults"


@dataclass(slots=True)
class Server:
    """One server process with all that it starts: a session of its own, ended as a whole and by its id."""

    command: Sequence[str]
    log: Path
    env: Mapping[str, str]
    user: str | None = None
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """A new life; the one before must be over."""
        owner = None if self.user is None else pwd.getpwnam(self.user)
        more: dict[str, Any] = {}
        if owner is not None:
            more = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd="/",
                env=dict(self.env), start_new_session=True, **more,
            )  # fmt: skip

    def end(self, how: signal.Signals, patience_s: float = 20.0) -> None:
        """Signal it, wait, and SIGKILL all of it after `patience_s`. Blocks."""
        process, self.process = self.process, None
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(how)
            try:
                process.wait(patience_s)
            except subprocess.TimeoutExpired:
                pass
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()


class Rabbit:
    """A RabbitMQ node with one virtual host. Raises NotToBeHad where there is no RabbitMQ."""

    def __init__(self, folder: Path) -> None:
        program = rabbitmq.server_program()
        if program is None:
            raise NotToBeHad("no rabbitmq-server")
        folder.mkdir(mode=0o700)
        self._access = rabbitmq.Access(_VHOST, (_VHOST,), {role: rabbitmq.Login(role, password()) for role in _ROLES})
        self.port, mapper, distribution = free_port(), free_port(), free_port()
        self._env = rabbitmq.node_environment(folder, self.port, mapper, distribution, self._access)
        log = folder / "console.log"
        epmd = shutil.which("epmd", path=self._env["PATH"]) or "epmd"
        self._mapper = Server((epmd, "-port", str(mapper), "-address", LOOPBACK), log, self._env)
        self._mapper_port = mapper
        self._node = Server((str(program),), log, self._env)
        self._log = log

    @property
    def facts(self) -> dict[str, Any]:
        """What `.run/broker.json` says of a broker."""
        return {
            "host": LOOPBACK, "port": self.port, "vhost": _VHOST, "private": True,
            "users": {role: asdict(entry) for role, entry in self._access.logins.items()},
        }  # fmt: skip

    def open(self) -> None:
        """Start everything and wait until it admits us. Blocks. Raises NotToBeHad."""
        self._mapper.start()
        wait_until(lambda: listens(self._mapper_port), limit_s=10)
        self.start()
        if not wait_until(self.admits, limit_s=UP_S, every_s=0.3):
            tail = "\n".join(self._log.read_text("utf-8", "replace").splitlines()[-10:])
            self.close()
            raise NotToBeHad(f"RabbitMQ did not come up:\n{tail}")

    def admits(self) -> bool:
        """Whether the gateway's user is let in."""
        entry = self._access.logins[rabbitmq.DAEMON]
        return login(LOOPBACK, self.port, entry.user, entry.password, _VHOST) is Answer.WELCOME

    def start(self) -> None:
        """A new life of the node."""
        self._node.start()

    def kill(self) -> None:
        """SIGKILL, with everything in its memory."""
        self._node.end(signal.SIGKILL)

    def control(self, *words: str) -> bool:
        """`rabbitmqctl` on this node. Blocks."""
        program = shutil.which("rabbitmqctl", path=self._env["PATH"]) or "rabbitmqctl"
        # Debian's wrapper becomes the user rabbitmq, who has no key to this node: take RabbitMQ's own script.
        own = rabbitmq.server_program()
        if own is not None and (own.parent / "rabbitmqctl").exists():
            program = str(own.parent / "rabbitmqctl")
        env = {**self._env, "RABBITMQ_CTL_DIST_PORT": str(free_port())}
        done = subprocess.run((program, "-q", *words), env=env, stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=CONTROL_S, check=False)  # fmt: skip
        return done.returncode == 0

    def close(self) -> None:
        """Stop the node, then the port mapper."""
        self._node.end(signal.SIGTERM)
        self._mapper.end(signal.SIGTERM)


class Postgresql:
    """A PostgreSQL of its own, bound to the loopback. Raises NotToBeHad where there is none."""

    def __init__(self) -> None:
        initdb, server = postgresql.program("initdb"), postgresql.program("postgres")
        if initdb is None or server is None:
            raise NotToBeHad("no PostgreSQL server programs")
        # The server refuses to run as root, and its user cannot see into a folder of root's.
        self.folder = Path(tempfile.mkdtemp(prefix="bankgw-faults-pg-", dir="/var/tmp"))
        self._secret, self.port = password(), free_port()
        self._data = self.folder / "data"
        user = "postgres" if os.geteuid() == 0 else None
        self.folder.chmod(0o755)
        postgresql.initialise(self._data, self._secret)
        command = [server, "-D", str(self._data)]
        for setting in (f"listen_addresses={LOOPBACK}", f"port={self.port}", "unix_socket_directories=", "ssl=off"):
            command += ["-c", setting]
        self._server = Server(command, self.folder / "server.log", dict(os.environ), user)

    @property
    def url(self) -> str:
        """Of the server's own database, as its administrator."""
        return f"postgresql+psycopg://postgres:{self._secret}@{LOOPBACK}:{self.port}/postgres"

    def open(self) -> None:
        """Start it and wait. Blocks. Raises NotToBeHad."""
        self._server.start()
        if not wait_until(self.answers, limit_s=UP_S):
            self.close()
            raise NotToBeHad("the campaign's PostgreSQL did not come up")

    def answers(self) -> bool:
        """Whether it lets us in."""
        command = [*postgresql.PSQL, "-h", LOOPBACK, "-p", str(self.port), "-U", "postgres", "postgres"]
        return run([*command, "-c", "select 1"], timeout_s=10, PGPASSWORD=self._secret)[0]

    def restart(self, how: signal.Signals, pause_s: float) -> None:
        """End it (SIGQUIT: as a crash; SIGINT: hanging up on everybody) and start it again. Blocks."""
        self._server.end(how)
        time.sleep(pause_s)
        self._server.start()
        wait_until(self.answers, limit_s=UP_S)

    def close(self) -> None:
        """Stop and remove it."""
        self._server.end(signal.SIGINT)
        shutil.rmtree(self.folder, ignore_errors=True)
