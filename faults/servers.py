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
from setup.amqp import LoginAnswer, login
from setup.machine import LOOPBACK, ServiceMissing, free_port, listens, password, run, wait_until

CONTROL_S = 180.0
"""`rabbitmqctl` starts a virtual machine of its own, which takes a minute on a busy one."""
UP_S = 120.0
_ROLES = (rabbitmq.ADMIN, rabbitmq.DAEMON, *rabbitmq.ERPS)
_VHOST = "faults"


@dataclass(slots=True)
class Server:
    """One server process with its children. They run in a session of their own, which is ended as a whole by its id."""

    command: Sequence[str]
    log: Path
    env: Mapping[str, str]
    user: str | None = None
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server; it must not be running."""
        owner = None if self.user is None else pwd.getpwnam(self.user)
        more: dict[str, Any] = {}
        if owner is not None:
            more = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd="/",
                env=dict(self.env),
                start_new_session=True,
                **more,
            )

    def end(self, how: signal.Signals, patience_s: float = 20.0) -> None:
        """Send a signal, wait for the end, and send SIGKILL to all its processes after `patience_s` seconds. Blocks."""
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
    """A RabbitMQ node with one virtual host. Raises ServiceMissing where there is no RabbitMQ."""

    def __init__(self, folder: Path) -> None:
        program = rabbitmq.server_program()
        if program is None:
            raise ServiceMissing("no rabbitmq-server")
        folder.mkdir(mode=0o700)
        self._access = rabbitmq.BrokerAccess(_VHOST, {role: rabbitmq.Login(role, password()) for role in _ROLES})
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
        """The description of this broker, in the form of `.run/broker.json`."""
        return {
            "host": LOOPBACK,
            "port": self.port,
            "vhost": _VHOST,
            "private": True,
            "users": {role: asdict(entry) for role, entry in self._access.logins.items()},
        }

    def open(self) -> None:
        """Start the node, and wait until the gateway's user can connect. Blocks. Raises ServiceMissing."""
        self._mapper.start()
        wait_until(lambda: listens(self._mapper_port), limit_s=10)
        self.start()
        if not wait_until(self.admits, limit_s=UP_S, every_s=0.3):
            tail = "\n".join(self._log.read_text("utf-8", "replace").splitlines()[-10:])
            self.close()
            raise ServiceMissing(f"RabbitMQ did not come up:\n{tail}")

    def admits(self) -> bool:
        """Whether the gateway's user can connect."""
        entry = self._access.logins[rabbitmq.DAEMON]
        return login(LOOPBACK, self.port, entry.user, entry.password, _VHOST) is LoginAnswer.WELCOME

    def start(self) -> None:
        """Start the node again."""
        self._node.start()

    def kill(self) -> None:
        """Send SIGKILL to the node. Its memory is lost."""
        self._node.end(signal.SIGKILL)

    def control(self, *words: str) -> bool:
        """Run `rabbitmqctl` on this node. Blocks."""
        program = shutil.which("rabbitmqctl", path=self._env["PATH"]) or "rabbitmqctl"
        # Debian's wrapper becomes the user rabbitmq, who has no cookie of this node: take RabbitMQ's own script.
        own = rabbitmq.server_program()
        if own is not None and (own.parent / "rabbitmqctl").exists():
            program = str(own.parent / "rabbitmqctl")
        env = {**self._env, "RABBITMQ_CTL_DIST_PORT": str(free_port())}
        done = subprocess.run(
            (program, "-q", *words),
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=CONTROL_S,
            check=False,
        )
        return done.returncode == 0

    def close(self) -> None:
        """Stop the node, then the port mapper."""
        self._node.end(signal.SIGTERM)
        self._mapper.end(signal.SIGTERM)


class Postgresql:
    """A PostgreSQL server of the campaign's own, bound to the loopback. Raises ServiceMissing if PostgreSQL is not
    installed."""

    def __init__(self) -> None:
        initdb, server = postgresql.program("initdb"), postgresql.program("postgres")
        if initdb is None or server is None:
            raise ServiceMissing("no PostgreSQL server programs")
        # The server refuses to run as root, and its user cannot read a folder of root's.
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
        """The URL of the server's own database, as its administrator."""
        return f"postgresql+psycopg://postgres:{self._secret}@{LOOPBACK}:{self.port}/postgres"

    def open(self) -> None:
        """Start the server and wait until it accepts connections. Blocks. Raises ServiceMissing."""
        self._server.start()
        if not wait_until(self.answers, limit_s=UP_S):
            self.close()
            raise ServiceMissing("the campaign's PostgreSQL did not come up")

    def answers(self) -> bool:
        """Whether the server accepts connections."""
        command = [*postgresql.PSQL, "-h", LOOPBACK, "-p", str(self.port), "-U", "postgres", "postgres"]
        return run([*command, "-c", "select 1"], timeout_s=10, PGPASSWORD=self._secret)[0]

    def restart(self, how: signal.Signals, pause_s: float) -> None:
        """End the server (SIGQUIT: as in a crash; SIGINT: closing every connection) and start it again. Blocks."""
        self._server.end(how)
        time.sleep(pause_s)
        self._server.start()
        wait_until(self.answers, limit_s=UP_S)

    def close(self) -> None:
        """Stop the server and remove its files."""
        self._server.end(signal.SIGINT)
        shutil.rmtree(self.folder, ignore_errors=True)
