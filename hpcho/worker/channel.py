"""Messages between a worker's two processes: plain data in length-framed ``marshal`` over a stream socket.

marshal is the fastest codec there is for plain data, keeps a tuple a tuple, and runs no code when it reads. Both ends
are the same interpreter, so its format cannot differ.
"""

from __future__ import annotations

import marshal
import socket
import struct
from typing import Any

__all__ = ["Channel", "ChannelClosed", "Message"]

Message = tuple[Any, ...]
"""A kind, then what belongs to it: ("report", step, loss)."""

_LENGTH = struct.Struct("<I")
_CHUNK = 1 << 16


class ChannelClosed(Exception):
    """The other end is gone, or what came is no message."""


class Channel:
    """One end of the conversation. ``receive`` and ``send`` wait; ``poll`` and ``offer`` never do."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._arrived = bytearray()
        self._unsent = bytearray()

    def fileno(self) -> int:
        """For poll(2)."""
        return self._socket.fileno()

    def send(self, message: Message) -> None:
        """Send everything offered so far and ``message``. Raises ChannelClosed."""
        self._queue(message)
        try:
            self._socket.sendall(self._unsent)
        except OSError as error:
            raise ChannelClosed(str(error)) from error
        finally:
            self._unsent.clear()

    def offer(self, message: Message) -> None:
        """Send ``message`` as far as there is room; the rest goes with the next offer or send. Raises ChannelClosed."""
        self._queue(message)
        try:
            sent = self._socket.send(self._unsent, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError as error:
            raise ChannelClosed(str(error)) from error
        del self._unsent[:sent]

    def receive(self) -> Message:
        """The next message, when it comes. Raises ChannelClosed."""
        while True:
            message = self._next()
            if message is not None:
                return message
            self._read(0)

    def poll(self) -> list[Message]:
        """The messages that have arrived. Raises ChannelClosed at the end, once there are none left."""
        messages: list[Message] = []
        try:
            while self._read(socket.MSG_DONTWAIT) == _CHUNK:
                pass
        except BlockingIOError:
            pass
        except ChannelClosed:
            messages = self._all()
            if messages:
                return messages
            raise
        return self._all()

    def clear(self) -> None:
        """Throw away what has arrived and what was not sent: a new partner begins at this end."""
        try:
            while self._read(socket.MSG_DONTWAIT):
                pass
        except BlockingIOError:
            pass
        self._arrived.clear()
        self._unsent.clear()

    def close(self) -> None:
        """Hang up. Closing twice is harmless."""
        self._socket.close()

    def _queue(self, message: Message) -> None:
        body = marshal.dumps(message)
        self._unsent += _LENGTH.pack(len(body))
        self._unsent += body

    def _read(self, flags: int) -> int:
        try:
            chunk = self._socket.recv(_CHUNK, flags)
        except BlockingIOError:
            raise
        except OSError as error:
            raise ChannelClosed(str(error)) from error
        if not chunk:
            raise ChannelClosed("the other end has closed")
        self._arrived += chunk
        return len(chunk)

    def _all(self) -> list[Message]:
        messages = []
        while (message := self._next()) is not None:
            messages.append(message)
        return messages

    def _next(self) -> Message | None:
        arrived = self._arrived
        if len(arrived) < _LENGTH.size:
            return None
        end = _LENGTH.size + _LENGTH.unpack_from(arrived)[0]
        if len(arrived) < end:
            return None
        try:
            message = marshal.loads(arrived[_LENGTH.size : end])  # noqa: S302 - from our own child
        except (ValueError, EOFError, TypeError) as error:
            raise ChannelClosed(f"what came is no message: {error}") from error
        del arrived[:end]
        if not isinstance(message, tuple):
            raise ChannelClosed("what came is no message")
        return message
