"""The pages' code blocks, as a reader would use them.

A block with a ``title`` is a file beside the page. In a ``console`` block the lines that begin with ``$`` are typed. A
block below ``<!-- needs: THING -->`` needs that to be typed; without it, it must at least be a command line of hpcho's.
"""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
TESTED = sorted(
    [ROOT / "docs/index.md", *(p for d in ("tutorial", "howto", "explanation") for p in ROOT.glob(f"docs/{d}/*.md"))]
)
BLOCK = re.compile(
    r"(?:<!-- needs: (?P<needs>\w+) -->\n)?```(?P<kind>\w+)(?P<attributes>[^\n]*)\n(?P<text>.*?)```", re.DOTALL
)


@dataclass(frozen=True)
class Block:
    kind: str
    text: str
    title: str | None
    of: str | None
    needs: str | None

    @property
    def commands(self):
        return [line.removeprefix("$ ") for line in self.text.splitlines() if line.startswith("$ ")]


def blocks(page):
    for found in BLOCK.finditer(page.read_text(encoding="utf-8")):
        attributes = dict(re.findall(r'(\w+)="([^"]*)"', found["attributes"]))
        yield Block(found["kind"], found["text"], attributes.get("title"), attributes.get("kind"), found["needs"])


def name(page):
    return str(page.relative_to(ROOT / "docs").with_suffix(""))
