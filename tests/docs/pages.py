"""The pages' code blocks ("fences"), as a reader would use them.

A block with a ``title`` is a file beside the page. In a ``console`` block the lines that begin with ``$`` are typed. A
block below ``<!-- needs: THING -->`` needs that to be typed; without it, it must at least be a command line of hpcho's.
What becomes of the other blocks, fences.py says.
"""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    *sorted(p for p in ROOT.glob("docs/**/*.md") if "decisions" not in p.relative_to(ROOT).parts),
]
"""All that a reader is shown how to use hpcho by; decisions are about its inside."""
MADE = ("docs/commands.md", "docs/reference/errors.md", "docs/reference/keys.md", "docs/reference/python.md")
"""Pages made from the code: tests compare them with it, and what they show is not typed."""
WRITTEN = [page for page in PAGES if str(page.relative_to(ROOT)) not in MADE]
BLOCK = re.compile(
    r"(?:^<!-- needs: (?P<needs>\w+) -->\n)?"
    r"^(?P<indent> *)(?P<fence>```+|~~~+) *(?P<kind>\w*)(?P<attributes>[^\n]*)\n(?P<text>.*?)^ *(?P=fence) *$",
    re.DOTALL | re.MULTILINE,
)
BETWEEN = ("&&", "||", "|", ";", ">", "&")


@dataclass(frozen=True)
class Block:
    page: str
    """From the project's root, as ``docs/index.md``."""
    kind: str
    text: str
    title: str | None
    of: str | None
    needs: str | None

    @property
    def first(self):
        """The line that it is known by."""
        return next((line.strip() for line in self.text.splitlines() if line.strip()), "")

    @property
    def commands(self):
        """What is typed: whole lines, those that end with a backslash joined."""
        lines = self.text.replace("\\\n", " ").splitlines()
        if self.kind == "console":
            return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]


def blocks(page):
    for found in BLOCK.finditer(page.read_text(encoding="utf-8")):
        attributes = dict(re.findall(r'(\w+)="([^"]*)"', found["attributes"]))
        where = str(page.relative_to(ROOT))
        text = (
            re.sub(rf"^{found['indent']}", "", found["text"], flags=re.MULTILINE) if found["indent"] else found["text"]
        )
        yield Block(where, found["kind"], text, attributes.get("title"), attributes.get("kind"), found["needs"])


def hpcho_calls(line):
    """The arguments of each call of hpcho in a shell line, however its launcher is named."""
    words = shlex.shlex(line, posix=True, punctuation_chars="&|;<>")
    words.whitespace_split = True
    words.commenters = "#"
    call = []
    for word in [*words, ";"]:
        if word not in BETWEEN:
            call.append(word)
            continue
        while call and re.match(r"[A-Z_]+=", call[0]):  # the environment of this call
            call = call[1:]
        if call and re.fullmatch(r"hpcho(-\w+)?(\.sif)?", Path(call[0]).name):
            yield call[1:]
        call = []


def name(page):
    return str(page.relative_to(ROOT).with_suffix(""))
