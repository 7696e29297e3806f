"""Stands in for mongod where there is none: reads the same configuration file and has secantusd-py do the work.

It checks that it was told only what mongod documents, and in the file's own form.
"""

import json
import socket
import sys
import threading
from pathlib import Path

import yaml

KNOWN = {
    "storage": {"dbPath", "wiredTiger"},
    "net": {"port", "bindIp", "ipv6", "unixDomainSocket"},
    "security": {"authorization"},
    "setParameter": {"diagnosticDataCollectionEnabled"},
}


def main():
    assert sys.argv[1] == "--config", sys.argv
    assert len(sys.argv) == 3, sys.argv
    config = Path(sys.argv[2])
    assert config.stat().st_mode & 0o777 == 0o600
    settings = yaml.safe_load(config.read_text(encoding="utf-8"))
    for section, entries in settings.items():
        assert set(entries) <= KNOWN[section], (section, entries)
    with (config.parent / "told.jsonl").open("a") as told:
        told.write(json.dumps({"argv": sys.argv, "settings": settings}) + "\n")
    net, data = settings["net"], settings["storage"]["dbPath"]
    nothing = config.with_name("stand-in.toml")
    nothing.touch()
    options = [
        "--config",
        str(nothing),
        "--storage-path",
        data,
        "--log-level",
        "WARNING",
        "--standalone",
        "--sync-on-commit",
    ]
    if settings.get("security"):
        options.append("--auth")
    if "/" in net["bindIp"]:
        port = _free_port()
        threading.Thread(target=_forward, args=(net["bindIp"], port), daemon=True).start()
        run([*options, "--host", "127.0.0.1", "--port", str(port)])
    run([*options, "--host", net["bindIp"], "--port", str(net["port"])])


def run(options):
    """In this process: it is the one that is signalled."""
    from secantus.cli import main as serve

    sys.exit(serve(options))


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _forward(path, port):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    while True:
        client, _ = listener.accept()
        try:
            server = socket.create_connection(("127.0.0.1", port))
        except OSError:
            client.close()
            continue
        for source, target in ((client, server), (server, client)):
            threading.Thread(target=_copy, args=(source, target), daemon=True).start()


def _copy(source, target):
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


if __name__ == "__main__":
    main()
