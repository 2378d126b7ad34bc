"""Forbids every network address but loopback, in this process, below all libraries.

It listens to the interpreter's own audit events, so that nothing that is written in Python or uses
Python's sockets slips past, whichever library opens them.
"""

from __future__ import annotations

import ipaddress
import sys

ATTEMPTS: list[str] = []  # every attempt so far, also of threads that swallow the exception
_WITH_ADDRESS = ("socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg")
_WITH_HOST = ("socket.getaddrinfo", "socket.gethostbyname")
_installed = False


class NetworkForbidden(RuntimeError):
    """An address beyond loopback was used. No OSError, as many libraries shrug those off."""


def install() -> None:
    """Guard this process from now on; audit hooks can't be taken out again."""
    global _installed  # noqa: PLW0603
    if not _installed:
        _installed = True
        sys.addaudithook(_hook)


def _hook(event: str, args: tuple) -> None:
    if event in _WITH_ADDRESS:
        address = args[1]
        if not isinstance(address, tuple):  # a UNIX socket, or a socket that is connected
            return
        host, port = address[0], address[1]
        if event == "socket.bind" and port == 0:  # looking for a free port
            return
    elif event in _WITH_HOST:
        host = args[0]
    else:
        return
    if not _is_loopback(host):
        ATTEMPTS.append(f"{event} {host!r}")
        raise NetworkForbidden(f"no test may use the network: {event} {host!r}")


def _is_loopback(host: object) -> bool:
    host = host.decode() if isinstance(host, bytes) else host
    if host is None or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(str(host)).is_loopback
    except ValueError:
        return False
