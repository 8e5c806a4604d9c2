"""`python -m setup.broker up`: a RabbitMQ with a virtual host and users of this checkout's own.

Uses the system's broker where one runs and lets us; else starts a private node under .run/, bound to the
loopback. Writes .run/broker.json (mode 0600), which the demo, the benchmark and the tests read. Set
BANKGW_PRIVATE=1 to leave the system's broker alone, or BANKGW_BROKER_JSON to describe one of your own and
have nothing done here.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

from setup import processes
from setup.amqp import LoginAnswer, login
from setup.machine import (
    CHECKOUT,
    LOOPBACK,
    RUN,
    ServiceMissing,
    alone,
    as_root,
    free_port,
    install,
    listens,
    only_private,
    password,
    read_json,
    run,
    run_folder,
    say,
    wait_until,
    write_json,
    write_private,
)

DESCRIPTION = RUN / "broker.json"
SYSTEM_PORT = 5672
NODE = "private RabbitMQ"
PORT_MAPPER = "private epmd"
ADMIN = "admin"
DAEMON = "bankgw"
ERPS = ("erp-demo", "erp-other")
CONTROL_NEEDS = ("HOME", "PATH", "RABBITMQ_NODENAME", "ERL_EPMD_PORT", "RABBITMQ_CONF_ENV_FILE")
"""The environment variables with which rabbitmqctl reaches a private node."""


@dataclass(frozen=True, slots=True)
class Login:
    """One user of the broker."""

    user: str
    password: str


@dataclass(frozen=True, slots=True)
class BrokerAccess:
    """Our access to any broker: a virtual host and users.

    Demo, benchmark, joint test and tests make virtual hosts of their own like it (gateway/demo/own_vhost.py), whose
    names begin with its name.
    """

    vhost: str
    logins: Mapping[str, Login]


def remembered_access() -> BrokerAccess:
    """The access of the last run, so that passwords stay when a broker is started again; else a fresh one."""
    old = read_json(DESCRIPTION)
    known = cast(dict[str, dict[str, str]], old.get("users", {}))
    if "admin" in old:
        known = {**known, ADMIN: cast(dict[str, str], old["admin"])}
    logins = {
        role: Login(f"{role}-{CHECKOUT}", known.get(role, {}).get("password") or password())
        for role in (ADMIN, DAEMON, *ERPS)
    }
    return BrokerAccess(f"bankgw-{CHECKOUT}", logins)


def definitions(access: BrokerAccess) -> str:
    """The access as RabbitMQ definitions (JSON): importing them twice changes nothing."""
    return json.dumps(
        {
            "vhosts": [{"name": access.vhost}],
            "users": [
                {
                    "name": entry.user,
                    "password_hash": _password_hash(entry.password),
                    "hashing_algorithm": "rabbit_password_hashing_sha256",
                    "tags": ["administrator"] if role == ADMIN else [],
                }
                for role, entry in access.logins.items()
            ],
            "permissions": [
                {"user": entry.user, "vhost": access.vhost, **_permissions(role)}
                for role, entry in access.logins.items()
            ],
        }
    )


def _password_hash(secret: str) -> str:
    salt = secrets.token_bytes(4)
    return base64.b64encode(salt + hashlib.sha256(salt + secret.encode()).digest()).decode()


def _permissions(role: str) -> dict[str, str]:
    if role not in ERPS:
        return {"configure": ".*", "write": ".*", "read": ".*"}
    # An ERP may speak to the gateway and hear from it, and owns the queues that begin with its name.
    own = rf"{role}\..*|amq\.gen.*"
    return {"configure": f"^({own})$", "write": rf"^(bankgw\.commands|{own})$", "read": rf"^(bankgw\.events|{own})$"}


def admits(port: int, access: BrokerAccess) -> bool:
    """True when the broker on this port lets all our users in."""
    return all(
        login(LOOPBACK, port, entry.user, entry.password, access.vhost) is LoginAnswer.WELCOME
        for entry in access.logins.values()
    )


def use_system_broker(access: BrokerAccess) -> bool:
    """Put our access onto the broker on the standard port, if there is one and we are its administrator."""
    nobody = login(LOOPBACK, SYSTEM_PORT, "nobody", "nothing", "/")
    if nobody is LoginAnswer.NO_BROKER or shutil.which("rabbitmqctl", path=_admin_path()) is None:
        return False
    done, output = _import(definitions(access))
    if not done:
        say(f"the broker on port {SYSTEM_PORT} cannot be administered by us: {output}")
        return False
    # rabbitmqctl talks to the node of its own host name, which need not be the one that holds the port.
    return wait_until(lambda: admits(SYSTEM_PORT, access), limit_s=5)


def _import(content: str) -> tuple[bool, str]:
    # Debian's rabbitmqctl becomes the user rabbitmq, who must be able to read the file; fed through a pipe it
    # waits for ever. The file may be seen by others: it holds salted hashes of 128-bit random passwords.
    with tempfile.NamedTemporaryFile("w", prefix="bankgw-", suffix=".json", encoding="utf-8") as file:
        file.write(content)
        file.flush()
        Path(file.name).chmod(0o644)
        return run(as_root(["rabbitmqctl", "--quiet", "import_definitions", file.name]), PATH=_admin_path())


def _admin_path() -> str:
    # Debian puts server programs where an ordinary user's PATH does not look.
    return os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


def server_program() -> Path | None:
    """RabbitMQ's own start script, because Debian's wrapper around it refuses every user but root and rabbitmq."""
    found = sorted(Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*/sbin/rabbitmq-server"))
    if found:
        return found[-1]
    wrapper = shutil.which("rabbitmq-server", path=_admin_path())
    return Path(wrapper) if wrapper else None


def start_private_node(program: Path, access: BrokerAccess) -> int:
    """Start a node of our own with its data under .run/rabbitmq, and return its port when it admits us."""
    processes.stop(NODE, PORT_MAPPER)
    folder = run_folder("rabbitmq")
    port, mapper_port, distribution_port = free_port(), free_port(), free_port()
    env = node_environment(folder, port, mapper_port, distribution_port, access)
    write_json(folder / "environment.json", {name: env[name] for name in CONTROL_NEEDS})
    log = folder / "console.log"
    # Erlang would start a port mapper that outlives the node and belongs to nobody; ours stops like the rest.
    mapper = shutil.which("epmd", path=_admin_path()) or "epmd"
    processes.start(PORT_MAPPER, [mapper, "-port", str(mapper_port), "-address", LOOPBACK], env, log)
    wait_until(lambda: listens(mapper_port), limit_s=5)
    node = processes.start(NODE, [str(program)], env, log)
    # Asking the node through rabbitmqctl fails until it has registered, so ask as a client would.
    wait_until(lambda: admits(port, access) or not processes.alive(node), limit_s=90, every_s=0.2)
    if not admits(port, access):
        processes.stop(NODE, PORT_MAPPER)
        tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
        raise ServiceMissing(f"the private RabbitMQ did not come up; the end of {log}:\n{tail}")
    return port


def node_environment(
    folder: Path, port: int, mapper_port: int, distribution_port: int, access: BrokerAccess
) -> dict[str, str]:
    cookie, imported, conf = folder / ".erlang.cookie", folder / "definitions.json", folder / "rabbitmq.conf"
    if not cookie.exists():
        write_private(cookie, secrets.token_hex(20))
        cookie.chmod(0o400)
    write_private(imported, definitions(access))
    conf.write_text(
        f"listeners.tcp.1 = {LOOPBACK}:{port}\n"
        f"distribution.listener.interface = {LOOPBACK}\n"
        "disk_free_limit.absolute = 50MB\n"
        "definitions.import_backend = local_filesystem\n"
        f"definitions.local.path = {imported}\n",
        encoding="utf-8",
    )
    (folder / "enabled_plugins").write_text("[].\n", encoding="utf-8")
    foreign = ("RABBITMQ_", "ERL_")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return {
        **inherited,
        "PATH": _admin_path(),
        "HOME": str(folder),
        "RABBITMQ_NODENAME": f"bankgw-{CHECKOUT}@localhost",
        "RABBITMQ_DIST_PORT": str(distribution_port),
        "ERL_EPMD_PORT": str(mapper_port),
        "ERL_EPMD_ADDRESS": LOOPBACK,
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_CONFIG_FILE": str(conf),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",
    }


def control(private: bool) -> dict[str, object]:
    """The command and environment for rabbitmqctl on our broker."""
    if not private:
        return {"command": as_root(["rabbitmqctl"], ask=False), "env": {"PATH": _admin_path()}}
    folder = RUN / "rabbitmq"
    program = server_program()
    # Debian's wrapper becomes the user rabbitmq, who has no key to a private node: take RabbitMQ's own script.
    own = program.with_name("rabbitmqctl") if program else Path("rabbitmqctl")
    return {"command": [str(own)], "env": read_json(folder / "environment.json")}


def find_or_start(access: BrokerAccess) -> tuple[int, bool]:
    """The port of a broker that admits us, and whether it is private."""
    if not only_private() and use_system_broker(access):
        return SYSTEM_PORT, False
    program = server_program()
    if program is None:
        # It does not start the system's broker (setup/apt.sh): a trial leaves nothing running on a machine.
        install("rabbitmq-server")
        program = server_program()
    if program is None:
        raise ServiceMissing("rabbitmq-server is installed, but its program was not found")
    say("starting a private RabbitMQ")
    return start_private_node(program, access), True


def up() -> None:
    """Make a valid .run/broker.json; at once if the existing one still works."""
    access = remembered_access()
    old = read_json(DESCRIPTION)
    settled = "control" in old and (old.get("private") is True or not only_private())
    if settled and isinstance(old.get("port"), int) and admits(cast(int, old["port"]), access):
        return
    port, private = find_or_start(access)
    write_json(
        DESCRIPTION,
        {
            "host": LOOPBACK,
            "port": port,
            "vhost": access.vhost,
            "private": private,
            "control": control(private),
            "admin": asdict(access.logins[ADMIN]),
            "users": {role: asdict(access.logins[role]) for role in (DAEMON, *ERPS)},
        },
    )
    which = "a private node" if private else "the system's broker"
    say(f"RabbitMQ: {which} on {LOOPBACK}:{port}, virtual host {access.vhost}")


def forget() -> None:
    """Delete our virtual hosts and users from the system's broker, also those of killed runs; stop a private node."""
    access = remembered_access()
    processes.stop(NODE, PORT_MAPPER)
    if listens(SYSTEM_PORT) and shutil.which("rabbitmqctl", path=_admin_path()):
        # Those that demo, benchmark, joint test and tests made begin with the same name.
        words = [
            '[(catch rabbit_vhost:delete(V, <<"bankgw">>)) || V <- rabbit_vhost:list_names(), '
            f'string:prefix(V, <<"{access.vhost}">>) =/= nomatch]'
        ]
        words += [
            f'rabbit_auth_backend_internal:delete_user(<<"{entry.user}">>, <<"bankgw">>)'
            for entry in access.logins.values()
        ]
        # One call, because each start of rabbitmqctl costs half a second; what is gone already is no mistake.
        script = ", ".join(f"catch {word}" for word in words) + "."
        run(as_root(["rabbitmqctl", "eval", script]), timeout_s=300, PATH=_admin_path())
    DESCRIPTION.unlink(missing_ok=True)


def main() -> int:
    """`up` or `forget`; exit code 1 with the reason if no broker can be had."""
    if os.environ.get("BANKGW_BROKER_JSON"):
        return 0
    verbs = {"up": up, "forget": forget}
    if len(sys.argv) != 2 or sys.argv[1] not in verbs:
        say("usage: python -m setup.broker up|forget")
        return 2
    try:
        with alone():
            verbs[sys.argv[1]]()
    except ServiceMissing as problem:
        say(f"no RabbitMQ: {problem}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
