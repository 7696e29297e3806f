"""``python -m hpcho``."""

from __future__ import annotations

from hpcho.cli import main

if __name__ == "__main__":
    main()
