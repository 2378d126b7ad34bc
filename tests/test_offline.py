"""The guard that all tests run under does what it says."""

import socket
import subprocess
import sys

import network_guard
import pytest


@pytest.fixture
def forgiven():
    """For tests that break the rule on purpose."""
    yield
    network_guard.ATTEMPTS.clear()


@pytest.mark.parametrize("host", ["example.org", "192.0.2.1", "2001:db8::1", "0.0.0.0"])
def test_other_machines_are_out_of_reach(host, forgiven):
    with pytest.raises(network_guard.NetworkForbidden):
        socket.create_connection((host, 80), timeout=1)
    assert network_guard.ATTEMPTS


def test_datagrams_and_open_servers_count(forgiven):
    with socket.socket(type=socket.SOCK_DGRAM) as sender:
        with pytest.raises(network_guard.NetworkForbidden):
            sender.sendto(b"x", ("192.0.2.1", 53))
        with pytest.raises(network_guard.NetworkForbidden):
            sender.bind(("0.0.0.0", 7860))


def test_loopback_works():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        socket.create_connection(("localhost", port), timeout=10).close()
    assert network_guard.ATTEMPTS == []


def test_children_are_guarded_too():
    code = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=1)"
    child = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert child.returncode != 0 and "NetworkForbidden" in child.stderr
