"""What the site does to the pages: a link to a file outside of docs/ becomes that file's name."""

import re


def on_page_markdown(markdown, page, **_):
    """Called by mkdocs for each page. ``../slurm/profiles`` is in the repository and not on the site."""
    depth = page.file.src_uri.count("/")
    out = "../" * (depth + 1)
    return re.sub(rf"\[([^\]]+)\]\({re.escape(out)}[^)]+\)", r"`\1`", markdown)
