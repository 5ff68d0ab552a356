"""Pages have no network: data comes through `encore.datasets`, and nothing else leaves the machine."""

import ipaddress
import socket
from contextlib import contextmanager

_blocked_for: str | None = None


class NetworkBlocked(RuntimeError):
    """A page tried to reach the network."""


def _is_local(host) -> bool:
    host = host.decode() if isinstance(host, bytes) else host
    if host in (None, "", "localhost"):
        return True
    try:
        return ipaddress.ip_address(host.split("%")[0]).is_loopback
    except ValueError:
        return False


def _refuse(host) -> None:
    if _blocked_for and not _is_local(host):
        raise NetworkBlocked(
            f"page {_blocked_for} tried to connect to {host}: pages have no network. "
            "Declare the data set in the register and load it with encore.datasets.load(id)"
        )


def _guard(name, host_of):
    """The real function of that name, refused while a page runs if `host_of(arguments)` is another machine."""

    def guarded(*args, **kwargs):
        _refuse(host_of(*args, **kwargs))
        return _REAL[name](*args, **kwargs)

    return guarded


def _of_address(address):
    return address[0] if isinstance(address, tuple) else None  # Unix sockets have a path instead


_GUARDS = (
    (socket.socket, "connect", lambda self, address: _of_address(address)),
    (socket.socket, "connect_ex", lambda self, address: _of_address(address)),
    (socket.socket, "sendto", lambda self, data, *rest: _of_address(rest[-1])),
    (socket, "getaddrinfo", lambda host, *args, **kwargs: host),
    (socket, "gethostbyname", lambda host: host),
)
_REAL = {name: getattr(place, name) for place, name, _ in _GUARDS}


def block(page: str) -> None:
    """From now on, connections of this process to other hosts raise NetworkBlocked with the page's name."""
    global _blocked_for
    _blocked_for = page
    for place, name, host_of in _GUARDS:
        setattr(place, name, _guard(name, host_of))


@contextmanager
def allowed():
    """Lift the block while a declared data set is fetched from its source."""
    global _blocked_for
    before, _blocked_for = _blocked_for, None
    try:
        yield
    finally:
        _blocked_for = before
