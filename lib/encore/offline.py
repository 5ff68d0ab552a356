"""Pages have no network: data comes through `encore.datasets`, and nothing else leaves the machine."""

import socket
from contextlib import contextmanager

_real_connect = socket.socket.connect
_blocked_for: str | None = None


class NetworkBlocked(RuntimeError):
    """A page tried to reach the network."""


def _is_local(address) -> bool:
    host = address[0] if isinstance(address, tuple) else ""
    return not isinstance(address, tuple) or host in ("localhost", "::1", "") or str(host).startswith("127.")


def _connect(self, address):
    if _blocked_for and not _is_local(address):
        raise NetworkBlocked(
            f"page {_blocked_for} tried to connect to {address[0]}: pages have no network. "
            "Declare the data set in the register and load it with encore.datasets.load(id)"
        )
    return _real_connect(self, address)


def block(page: str) -> None:
    """From now on, connections of this process to other hosts raise NetworkBlocked with the page's name."""
    global _blocked_for
    _blocked_for = page
    socket.socket.connect = _connect
    socket.getaddrinfo = _getaddrinfo


_real_getaddrinfo = socket.getaddrinfo


def _getaddrinfo(host, *args, **kwargs):
    if _blocked_for and host is not None and not _is_local((str(host),)):
        _connect(None, (str(host),))
    return _real_getaddrinfo(host, *args, **kwargs)


@contextmanager
def allowed():
    """Lift the block while a declared data set is fetched from its source."""
    global _blocked_for
    before, _blocked_for = _blocked_for, None
    try:
        yield
    finally:
        _blocked_for = before
