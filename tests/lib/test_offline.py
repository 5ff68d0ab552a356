"""Pages have no network: other hosts are refused with the page's name, this machine is not."""

import socket

import pytest

from encore import offline
from encore.offline import NetworkBlocked

ELSEWHERE = "192.0.2.1"  # TEST-NET-1, which no one has (RFC 5737)


@pytest.fixture(autouse=True)
def blocked(monkeypatch):
    """The block, switched on for one test: the module patches `socket` for the whole process, so everything is put back."""
    for place, name, _ in offline._GUARDS:
        monkeypatch.setattr(place, name, offline._REAL[name])
    monkeypatch.setattr(offline, "_blocked_for", None)
    offline.block("optics/demo")


@pytest.fixture
def closed():
    """A TCP socket that is closed after the test."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as s:
        s.settimeout(1)
        yield s


MESSAGE = r"page optics/demo tried to connect to {}: pages have no network\. Declare the data set in the register and load it with encore"


def test_another_host_is_refused_with_the_pages_name(closed):
    with pytest.raises(NetworkBlocked, match=MESSAGE.format(ELSEWHERE)):
        closed.connect((ELSEWHERE, 80))


def test_a_name_is_refused_before_it_is_looked_up(monkeypatch):
    monkeypatch.setitem(offline._REAL, "getaddrinfo", lambda *a, **k: pytest.fail("the name was looked up"))
    with pytest.raises(NetworkBlocked, match=MESSAGE.format("example.org")):
        socket.create_connection(("example.org", 443), timeout=1)
    with pytest.raises(NetworkBlocked, match="example.org"):
        socket.getaddrinfo("example.org", 443)


def test_urllib_is_refused():
    import urllib.request

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with pytest.raises(NetworkBlocked, match="optics/demo"):
        opener.open(f"http://{ELSEWHERE}/mnist.gz", timeout=1)


def test_the_last_page_that_blocked_is_named(closed):
    offline.block("optics/other")
    with pytest.raises(NetworkBlocked, match="page optics/other tried"):
        closed.connect((ELSEWHERE, 80))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_this_machine_is_reached(host):
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection((host, server.getsockname()[1]), timeout=5) as s:
        s.sendall(b"ping")
        peer, _ = server.accept()
        with peer:
            assert peer.recv(4) == b"ping"


def test_unix_sockets_are_reached(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the path of a unix socket is limited to about 100 characters
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as s:
        server.bind("sock")
        server.listen(1)
        s.connect("sock")
        assert s.getpeername() == "sock"


@pytest.mark.parametrize(("host", "local"), [("127.0.0.53", True), ("::1", True), ("", True), ("10.0.0.1", False), ("2001:db8::1", False)])
def test_what_counts_as_this_machine(host, local):
    assert offline._is_local(host) is local


def test_allowed_lifts_the_block_and_restores_it(closed, monkeypatch):
    reached = []
    monkeypatch.setitem(offline._REAL, "connect", lambda self, address: reached.append(address))
    monkeypatch.setitem(offline._REAL, "getaddrinfo", lambda host, *a, **k: reached.append(host))
    with offline.allowed():
        closed.connect((ELSEWHERE, 80))
        socket.getaddrinfo("example.org", 443)
        with offline.allowed():
            pass
        closed.connect((ELSEWHERE, 81))
    assert reached == [(ELSEWHERE, 80), "example.org", (ELSEWHERE, 81)]
    with pytest.raises(NetworkBlocked, match="optics/demo"):
        closed.connect((ELSEWHERE, 80))
    assert len(reached) == 3


def interrupted():
    with offline.allowed():
        raise KeyError("the download failed")


def test_allowed_restores_the_block_after_an_error(closed):
    with pytest.raises(KeyError, match="the download failed"):
        interrupted()
    with pytest.raises(NetworkBlocked, match="optics/demo"):
        closed.connect((ELSEWHERE, 80))


def test_allowed_outside_a_page_changes_nothing(monkeypatch):
    monkeypatch.setattr(offline, "_blocked_for", None)
    with offline.allowed():
        assert offline._blocked_for is None
    assert offline._blocked_for is None


def test_connect_ex_is_refused_too(closed):
    closed.setblocking(False)
    with pytest.raises(NetworkBlocked):
        closed.connect_ex((ELSEWHERE, 80))


def test_localhost_in_bytes_is_this_machine():
    assert socket.getaddrinfo(b"localhost", 80)


def test_a_name_that_begins_like_loopback_is_another_host():
    assert not offline._is_local("127.example.org")
