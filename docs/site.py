"""What the site does to the pages: a link to a file that is not on it becomes that file's name."""

import re


def on_page_markdown(markdown, page, **_):
    """mkdocs calls it for each page. ``../slurm/profiles`` and ``decisions/`` are in the repository alone."""
    depth = page.file.src_uri.count("/")
    out = re.escape("../" * (depth + 1))
    decisions = re.escape("../" * depth + "decisions/")
    return re.sub(rf"\[([^\]]+)\]\((?:{out}|{decisions})[^)]+\)", r"`\1`", markdown)
