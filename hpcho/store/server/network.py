"""Addresses and ports of this machine."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING

from hpcho.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["EVERY", "LOOPBACK", "free_port", "is_free", "listening_address", "reachable_address"]

LOOPBACK = "127.0.0.1"
EVERY = "0.0.0.0"  # noqa: S104 - only where the user names a host that is no address of this machine, and with a password

ELSEWHERE = ("192.0.2.1", 9)
"""An address that is no machine's (RFC 5737): the way to it is the way to other machines."""


def reachable_address(machines: Iterable[str] = ()) -> str:
    """The address of this machine that ``machines`` reach, and others: the one the kernel uses on the way to them.

    Without any of them known it is that of the default route. Raises StoreError. A datagram socket that is connected
    asks the kernel for the route and sends nothing.
    """
    for place in (*((machine, 9) for machine in machines), ELSEWHERE):
        with contextlib.suppress(OSError):
            family, kind, _, _, address = socket.getaddrinfo(*place, type=socket.SOCK_DGRAM)[0]
            with socket.socket(family, kind) as probe:
                probe.connect(address)
                return str(probe.getsockname()[0])
    with contextlib.suppress(OSError):
        own = socket.gethostbyname(socket.gethostname())
        if not own.startswith("127."):
            return own
    raise StoreError(
        "no address of this machine can be found at which other machines reach it: "
        "name one, `store: {mongo: {host: ...}}`; 127.0.0.1 does where all workers are on this machine"
    )


def listening_address(host: str) -> str:
    """Where to listen so that ``host`` is reached: its own address, or every one where it is none of this machine's.

    That is the case for a name that leads here through another machine. Raises StoreError for a name that is none.
    """
    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)
    except OSError as error:
        raise StoreError(f"store: mongo: host: {host} is no name or address: {error.strerror}") from None
    family, _, _, _, place = found[0]
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((place[0], 0))
    except OSError:
        return EVERY
    return str(place[0])


def is_free(address: str, port: int) -> bool:
    """Whether nobody listens on the port."""
    with _socket(address) as probe:
        # As servers do: what is left of connections that were closed is in nobody's way.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def free_port(address: str) -> int:
    """A port that nobody listens on now."""
    with _socket(address) as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


def _socket(address: str) -> socket.socket:
    return socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
