"""A TCP proxy before a MongoDB that loses the answer to a command: the server has made it, and nobody hears of it."""

import contextlib
import socket
import threading


class Proxy:
    """Listens on ``port``.

    ``lose(b"update")``: the next request with these bytes is answered by a broken connection; ``times``: so many are.
    """

    def __init__(self, host, port):
        self._target = (host, port)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._losing = []
        self._open = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def lose(self, marker, times=1):
        self._losing = [marker] * times

    def close(self):
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)  # else the thread that waits for connections goes on waiting
        self._listening.close()
        self._accepting.join()
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client = self._listening.accept()[0]
                server = socket.create_connection(self._target)
                self._open += [client, server]
                threading.Thread(target=self._serve, args=(client, server), daemon=True).start()

    def _serve(self, client, server):
        with contextlib.suppress(OSError):
            while (request := _message(client)) is not None:
                server.sendall(request)
                answer = _message(server)
                if answer is None:
                    break
                if self._losing and self._losing[0] in request:
                    self._losing.pop()
                    break
                client.sendall(answer)
        for each in (client, server):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


def _message(connection):
    """One message of the wire protocol: its length stands first."""
    head = _exactly(connection, 4)
    return head and head + (_exactly(connection, int.from_bytes(head, "little") - 4) or b"")


def _exactly(connection, n):
    data = b""
    while len(data) < n:
        piece = connection.recv(n - len(data))
        if not piece:
            return None
        data += piece
    return data
