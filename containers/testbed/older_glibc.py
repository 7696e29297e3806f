"""Make ELF files that were linked against glibc 2.38 run on an older one: ``older_glibc.py FILE...``, in place.

Programs compiled there call ``__isoc23_strtol`` and its relatives, new in 2.38, where the source says ``strtol``. Each
such symbol is given the name and the version that ``strtol`` has had since glibc 2.2.5. One name ends in the other, so
the table of names stays as it is. A file that needs anything else of 2.38 is refused, and left alone.
"""

import struct
import sys
from pathlib import Path

PREFIX = b"__isoc23_"
TOO_NEW, OLD = b"GLIBC_2.38", b"GLIBC_2.2.5"
DYNAMIC_SYMBOLS, NEEDED_VERSIONS, SYMBOL_VERSIONS = 11, 0x6FFFFFFE, 0x6FFFFFFF  # types of sections
SYMBOL_BYTES = 24
HIDDEN = 0x8000  # a flag beside the number of a symbol's version


class File:
    """A 64-bit little-endian ELF file, its names and the versions that it needs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bytes = bytearray(path.read_bytes())
        if self.bytes[:6] != b"\x7fELF\x02\x01":
            raise SystemExit(f"{path}: not a 64-bit little-endian ELF file")
        (start,) = struct.unpack_from("<Q", self.bytes, 40)
        size, count = struct.unpack_from("<HH", self.bytes, 58)
        headers = [struct.unpack_from("<IIQQQQII", self.bytes, start + size * index) for index in range(count)]
        # type -> offset, bytes, section of the names, number of entries (of the versions' section alone)
        self.sections = {header[1]: (header[4], header[5], header[6], header[7]) for header in headers}
        self.names = headers[self.sections[DYNAMIC_SYMBOLS][2]][4]

    def name(self, offset: int) -> bytes:
        """A name in the table of names."""
        start = self.names + offset
        return bytes(self.bytes[start : self.bytes.index(0, start)])

    def versions(self) -> dict[int, int]:
        """The number of each needed version, and where its entry is."""
        found = {}
        library, _, _, count = self.sections[NEEDED_VERSIONS]
        for _ in range(count):
            _, entries, _, first, following = struct.unpack_from("<HHIII", self.bytes, library)
            entry = library + first
            for _ in range(entries):
                _, _, number, _, step = struct.unpack_from("<IHHII", self.bytes, entry)
                found[number & ~HIDDEN] = entry
                entry += step
            library += following
        return found

    def version_name(self, entry: int) -> bytes:
        """What a needed version is called."""
        return self.name(*struct.unpack_from("<I", self.bytes, entry + 8))


def rebind(file: File) -> list[bytes]:
    """Bind what is too new to the old version; the names that were changed."""
    versions = file.versions()
    too_new = {number for number, entry in versions.items() if file.version_name(entry) == TOO_NEW}
    old = next((number for number, entry in versions.items() if file.version_name(entry) == OLD), None)
    symbols, length, _, _ = file.sections[DYNAMIC_SYMBOLS]
    numbers = file.sections[SYMBOL_VERSIONS][0]
    changed = []
    for index in range(length // SYMBOL_BYTES):
        symbol, number = symbols + SYMBOL_BYTES * index, numbers + 2 * index
        (version,) = struct.unpack_from("<H", file.bytes, number)
        if version & ~HIDDEN not in too_new:
            continue
        (offset,) = struct.unpack_from("<I", file.bytes, symbol)
        name = file.name(offset)
        if not name.startswith(PREFIX) or old is None:
            raise SystemExit(
                f"{file.path}: needs {name.decode()} of {TOO_NEW.decode()}, which an older one cannot give"
            )
        struct.pack_into("<I", file.bytes, symbol, offset + len(PREFIX))
        struct.pack_into("<H", file.bytes, number, old)
        changed.append(name)
    if old is not None:
        # The loader looks for every version in the list, used or not: the old one stands there twice now.
        for number in too_new:
            start = versions[old]
            hash_and_flags, name_offset = file.bytes[start : start + 6], file.bytes[start + 8 : start + 12]
            file.bytes[versions[number] : versions[number] + 6] = hash_and_flags
            file.bytes[versions[number] + 8 : versions[number] + 12] = name_offset
    return changed


def main() -> None:
    """Rebind each file, and say what was changed."""
    for argument in sys.argv[1:]:
        file = File(Path(argument))
        names = rebind(file)
        file.path.write_bytes(file.bytes)
        sys.stdout.write(f"{argument}: {b', '.join(names).decode() or 'nothing to change'}\n")


if __name__ == "__main__":
    main()
