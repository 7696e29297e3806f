"""Logs in to a host the way OpenSSH's ``ssh`` would, and says in words why that did not work.

asyncssh speaks the protocol and reads ssh_config; where it takes that file in another sense than OpenSSH does, this
module sees to OpenSSH's: ``UserKnownHostsFile none`` does not leave a server's key unchecked, the system's ssh_config
and known_hosts count beside one's own, an IdentityFile that does not exist is passed over, IdentitiesOnly with a key in
the agent works, and a ProxyCommand is for the shell; all that holds for jump hosts too. Server keys are always checked.
"""

from __future__ import annotations

import asyncio
import functools
import os
import re
import shlex
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from hpcho.errors import LauncherError
from hpcho.launchers.hosts import Host

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from asyncssh import SSHClientConnection, SSHClientConnectionOptions, SSHKey

__all__ = ["Door", "Trouble"]

OWN_CONFIG, ALL_CONFIG = Path("~/.ssh/config"), Path("/etc/ssh/ssh_config")
DEFAULT_KEYS = ("~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa")
OWN_KNOWN = ("~/.ssh/known_hosts", "~/.ssh/known_hosts2")
ALL_KNOWN = ("/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")

CONNECT_S = 15.0
"""How long a host may take to answer, unless ssh_config says otherwise (ConnectTimeout)."""
LOGIN_S = 30.0
KEEPALIVE_S, KEEPALIVES = 15.0, 3
AT_ONCE = 32
"""So many logins at a time; a server that all of them pass through takes fewer (sshd's MaxStartups is 10)."""
AT_ONCE_THROUGH_ONE = 5
JUMP = re.compile(r"(?:ssh://)?(?:(?P<user>.+)@)?\[?(?P<name>[^\[\]@:]+|(?<=\[)[^\[\]@]+)\]?(?::(?P<port>\d+))?/?")
"""A host of ProxyJump's, as ssh_config(5) has it."""


class Trouble(LauncherError):
    """Why a host cannot be used, and what would mend it. ``lasting``: it does not pass by itself."""

    def __init__(self, words: str, *, lasting: bool = False) -> None:
        super().__init__(words)
        self.lasting = lasting


class Door:
    """The way to all hosts. ``config``: an ssh_config file to read in place of the usual ones. Belongs to one loop.

    Raises LauncherError where asyncssh is not installed.
    """

    def __init__(self, config: Path | None) -> None:
        try:
            import asyncssh  # noqa: F401, PLC0415 - an extra; and slow to import
        except ImportError as error:
            raise LauncherError(
                f"launcher.ssh needs asyncssh, which is not installed here ({error}): pip install 'hpcho[ssh]'"
            ) from error
        self._config = config
        files = [config] if config else [path.expanduser() for path in (OWN_CONFIG, ALL_CONFIG)]
        self._configs = [str(path) for path in files if config or path.is_file()]
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._jumps: dict[str, asyncio.Semaphore] = {}

    async def login(self, host: Host) -> SSHClientConnection:
        """A connection to ``host``; the caller closes it. Raises Trouble."""
        async with self._slots:
            return await self._login(host, ())

    def command(self, host: Host) -> str:
        """What a person types to log in there."""
        config = ["-F", str(self._config)] if self._config else []
        port = ["-p", str(host.port)] if host.port else []
        return shlex.join(["ssh", *config, *port, f"{host.user}@{host.name}" if host.user else host.name])

    async def _login(
        self, host: Host, via: tuple[str, ...], through: SSHClientConnection | None = None
    ) -> SSHClientConnection:
        """``via``: hosts that are on the way already; ``through``: the way, where ssh_config has no say in it."""
        import asyncssh  # noqa: PLC0415 - as in __init__

        try:
            settings = await self._in_thread(self._settings, host)
        except (OSError, ValueError, asyncssh.Error) as error:
            raise Trouble(f"has a mistake in its ssh_config: {error}", lasting=True) from error
        way = _Through(through) if through else await self._way(host, settings, via)
        guard = _guard(way)
        try:
            options = {**await self._in_thread(self._options, host, settings), **way.options}
            connecting = asyncssh.connect(host.name, config=self._configs, client_factory=guard, **options)
            return await asyncio.wait_for(connecting, LOGIN_S)
        except BaseException as error:
            way.close()
            if isinstance(error, (OSError, ValueError, asyncssh.Error, asyncio.TimeoutError)):
                raise self._trouble(error, host, settings, guard) from error
            raise

    async def _in_thread(self, function: Any, *arguments: Any) -> Any:
        """What reads files, which may lie on a slow disk."""
        return await asyncio.get_running_loop().run_in_executor(None, functools.partial(function, *arguments))

    # -- ssh_config ------------------------------------------------------------------------------------------------

    def _settings(self, host: Host) -> SSHClientConnectionOptions:
        """What the configuration says of ``host``, before any key is read."""
        import asyncssh  # noqa: PLC0415 - as in __init__

        return asyncssh.SSHClientConnectionOptions(
            host=host.name, **_given(host), config=self._configs, client_keys=None, known_hosts=b""
        )

    def _options(self, host: Host, settings: SSHClientConnectionOptions) -> dict[str, Any]:
        """What asyncssh is told in place of the configuration."""
        files = [Path(name).expanduser() for name in cast("list[str]", settings.config.get("IdentityFile", []))]
        options: dict[str, Any] = {
            **_given(host),
            "known_hosts": _known_hosts(_known_files(host, settings)),
            "client_keys": [str(path) for path in files if _is_private(path)],
            "ignore_encrypted": True,  # those are in the agent
            "agent_forwarding": False,
            "x11_forwarding": False,
            "keepalive_interval": KEEPALIVE_S,
            "keepalive_count_max": KEEPALIVES,
            "connect_timeout": settings.config.get("ConnectTimeout", CONNECT_S),
            "login_timeout": LOGIN_S,
        }
        if settings.config.get("IdentitiesOnly"):
            public = [_public(path) for path in files or map(Path.expanduser, map(Path, DEFAULT_KEYS))]
            options["agent_identities"] = [str(path) for path in public if path.is_file()] or None
            if not options["agent_identities"]:
                options["agent_path"] = None
        return options

    async def _way(self, host: Host, settings: SSHClientConnectionOptions, via: tuple[str, ...]) -> _Way:
        """The way that ProxyJump or ProxyCommand names. Raises Trouble."""
        jumps, command = settings.config.get("ProxyJump"), settings.config.get("ProxyCommand")
        if isinstance(command, str) and jumps is None:
            return _Piped(command)
        names = [name.strip() for name in jumps.split(",")] if isinstance(jumps, str) else []
        tunnel = None
        for name in names:
            found = JUMP.fullmatch(name)
            if found is None or found["name"] in via:
                raise Trouble(f"has ProxyJump {jumps} in its ssh_config, which leads nowhere", lasting=True)
            if found["name"] == host.name:
                break  # as OpenSSH has it: a pattern that holds for the jump host too
            jump = Host(name, found["name"], found["user"], int(found["port"]) if found["port"] else None)
            try:
                async with self._jumps.setdefault(name, asyncio.Semaphore(AT_ONCE_THROUGH_ONE)):
                    tunnel = await self._login(jump, (*via, host.name), tunnel)
            except Trouble as trouble:
                raise Trouble(f"is behind {name}, which {trouble}", lasting=trouble.lasting) from trouble
        return _Through(tunnel)

    # -- words -----------------------------------------------------------------------------------------------------

    def _trouble(self, error: BaseException, host: Host, settings: SSHClientConnectionOptions, guard: Any) -> Trouble:
        """What an exception of asyncssh's, or of the system's, means."""
        import asyncssh  # noqa: PLC0415 - as in __init__

        place = f"{settings.host} port {settings.port}"
        if isinstance(error, asyncssh.PermissionDenied):
            return Trouble(
                f"refuses the key of {settings.username}: see that `{self.command(host)} true` works without a "
                "password (ssh-copy-id brings a key there; IdentityFile in ssh_config or ssh-agent name the right one)",
                lasting=True,
            )
        is_key = isinstance(error, asyncssh.KeyExchangeFailed) and "host key" in str(error)
        if is_key or isinstance(error, asyncssh.HostKeyNotVerifiable):
            return Trouble(self._key_words(error, host, settings, guard.shown), lasting=True)
        if isinstance(error, socket.gaierror):
            is_lasting = error.errno != socket.EAI_AGAIN  # that one: the name server is away
            return Trouble(f"has no address: {settings.host} is not found ({error.strerror})", lasting=is_lasting)
        if isinstance(error, asyncio.TimeoutError):
            words = f"does not answer at {place}"
        else:
            number = getattr(error, "errno", None)
            words = f"cannot be reached at {place} ({os.strerror(number) if number else error})"
        return Trouble(words)

    def _key_words(
        self, error: BaseException, host: Host, settings: SSHClientConnectionOptions, key: SSHKey | None
    ) -> str:
        files = _known_files(host, settings)
        name = str(settings.config.get("HostKeyAlias") or settings.host)
        entry = name if settings.port == 22 else f"[{name}]:{settings.port}"  # noqa: PLR2004 - ssh's own port
        where = " or ".join(dict.fromkeys(map(str, files))) or "known_hosts"
        if key is None:
            return f"shows no key that {where} has ({error}): see `{self.command(host)}`"
        shown = f"{key.get_algorithm()} {key.get_fingerprint()}"
        if _known_hosts(files).match(name, "", settings.port if entry != name else None)[0]:
            return (
                f"shows another key ({shown}) than the one of {entry} in {where}: if it was set up anew, "
                f"`ssh-keygen -R {shlex.quote(entry)}` and log in once with `{self.command(host)}`; "
                "else somebody may be in between"
            )
        return (
            f"is not known: its key ({shown}) is not in {where}. Log in once with `{self.command(host)}`, "
            "compare the key, and say yes"
        )


def _given(host: Host) -> dict[str, Any]:
    """What the hosts file itself says, which goes before the configuration."""
    return {name: value for name, value in (("username", host.user), ("port", host.port)) if value is not None}


class _Way(Protocol):
    """How a host is reached: what asyncssh is told of it."""

    options: dict[str, Any]

    def close(self) -> None:
        """Leave nothing of it behind."""


class _Through:
    """A connection through another one, or none."""

    def __init__(self, tunnel: SSHClientConnection | None) -> None:
        self._tunnel = tunnel
        self.options: dict[str, Any] = {"tunnel": tunnel}

    def close(self) -> None:
        """Let go of the other one."""
        if self._tunnel is not None:
            self._tunnel.close()


class _Piped:
    """A connection through a program. asyncssh's own takes what that writes to its standard error for the server's."""

    def __init__(self, command: str) -> None:
        self._ours, theirs = socket.socketpair()
        self._ours.setblocking(False)
        self.options: dict[str, Any] = {"sock": self._ours, "tunnel": None}
        with theirs:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", f"exec {command}"],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )

    def close(self) -> None:
        """End it."""
        self._ours.close()
        self._process.kill()
        self._process.wait()


def _guard(way: _Way) -> Any:
    """A client that remembers the unknown key that a server has shown, and ends its way there with itself."""
    import asyncssh  # noqa: PLC0415 - as in Door

    class Guard(asyncssh.SSHClient):
        shown: SSHKey | None = None

        def validate_host_public_key(self, host: str, addr: str, port: int, key: SSHKey) -> bool:
            del host, addr, port
            Guard.shown = key
            return False

        def connection_lost(self, exc: Exception | None) -> None:
            del exc
            way.close()

    return Guard


def _public(path: Path) -> Path:
    """The file of a key's public half."""
    return path if path.suffix == ".pub" else path.with_name(path.name + ".pub")


def _is_private(path: Path) -> bool:
    """Whether there is a private key in the file; a public one's private half may be in the agent."""
    try:
        return b"PRIVATE KEY" in path.read_bytes()
    except OSError:
        return False


def _known_files(host: Host, settings: SSHClientConnectionOptions) -> list[Path]:
    """The known_hosts files that count for ``host``."""
    own = settings.config.get("UserKnownHostsFile", OWN_KNOWN)
    everybodys = settings.config.get("GlobalKnownHostsFile", ALL_KNOWN)
    tokens = {
        "%": "%",
        "d": str(Path.home()),
        "h": settings.host,
        "n": host.name,
        "p": str(settings.port),
        "r": settings.username,
    }
    names = [*cast("Sequence[str]", own), *cast("Sequence[str]", everybodys)]
    return [Path(re.sub(r"%([%dhnpr])", lambda found: tokens[found[1]], name)).expanduser() for name in names]


def _known_hosts(files: Iterable[Path]) -> Any:
    """asyncssh's object for what is in those of them that exist."""
    there = []
    for path in files:
        try:
            there.append((path, path.stat().st_mtime_ns))
        except OSError:
            continue
    return _read_known_hosts(tuple(there))


@functools.lru_cache(maxsize=8)
def _read_known_hosts(files: tuple[tuple[Path, int], ...]) -> Any:
    import asyncssh  # noqa: PLC0415 - as in Door

    known = asyncssh.import_known_hosts("")
    for path, _ in files:
        try:
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            continue
        for line in lines:
            try:
                known.load(line)
            except ValueError:
                continue  # as OpenSSH does
    return known
