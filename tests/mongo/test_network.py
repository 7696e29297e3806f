"""Addresses and ports."""

import socket
from contextlib import closing

import pytest

from hpcho.errors import StoreError
from hpcho.store.server import network


def test_a_port_is_free_until_somebody_listens():
    port = network.free_port("127.0.0.1")
    assert network.is_free("127.0.0.1", port)
    with closing(socket.create_server(("127.0.0.1", port))):
        assert not network.is_free("127.0.0.1", port)
    assert network.is_free("127.0.0.1", port)


def test_a_name_of_this_machine_is_listened_on():
    assert network.listening_address("localhost") in ("127.0.0.1", "::1")
    assert network.listening_address("127.0.0.1") == "127.0.0.1"


def test_an_address_that_leads_here_from_elsewhere_needs_every_one():
    assert network.listening_address("192.0.2.1") == network.EVERY


def test_a_name_that_is_none_is_an_error():
    with pytest.raises(StoreError, match=r"host: no-such-host\.invalid is no name or address"):
        network.listening_address("no-such-host.invalid")


def test_the_address_that_others_reach_is_one_of_this_machine():
    try:
        address = network.reachable_address()
    except StoreError:
        pytest.skip("no way leads to other machines from here")
    assert network.listening_address(address) == address
