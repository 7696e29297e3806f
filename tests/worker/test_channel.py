"""Messages between the two processes of a worker."""

import socket

import pytest

from hpcho.worker.channel import Channel, ChannelClosed


@pytest.fixture
def ends():
    a, b = socket.socketpair()
    with a, b:
        yield Channel(a), Channel(b)


def test_messages_arrive_in_order_and_as_they_were(ends):
    here, there = ends
    here.send(("a", {"t": (1, 2.5), 3: None}))
    here.offer(("b", "é", b"\0"))
    assert there.receive() == ("a", {"t": (1, 2.5), 3: None})
    assert there.poll() == [("b", "é", b"\0")]
    assert there.poll() == []


def test_an_offer_never_waits_and_nothing_of_it_is_lost(ends):
    here, there = ends
    for i in range(3000):
        here.offer(("report", i, "x" * 1000))
    arrived = there.poll()
    assert len(arrived) < 3000
    while len(arrived) < 3000:
        here.offer(("more",))
        arrived += [message for message in there.poll() if message != ("more",)]
    assert [message[1] for message in arrived] == list(range(3000))


def test_the_last_messages_come_before_the_end(ends):
    here, there = ends
    here.send(("last",))
    here.close()
    assert there.poll() == [("last",)]
    with pytest.raises(ChannelClosed):
        there.poll()
    with pytest.raises(ChannelClosed):
        there.receive()
    with pytest.raises(ChannelClosed):
        there.send(("to nobody",))


def test_half_a_message_is_no_message_and_can_be_cleared(ends):
    here, there = ends
    here._socket.sendall(b"\x10\0\0\0abc")
    assert there.poll() == []
    there.clear()
    here.send(("whole",))
    assert there.poll() == [("whole",)]


def test_what_is_no_message_closes_the_conversation(ends):
    here, there = ends
    here._socket.sendall(b"\x03\0\0\0abc")
    with pytest.raises(ChannelClosed, match="no message"):
        there.poll()
