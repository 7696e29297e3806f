"""The site: it builds, every page is in its navigation, and every link in pages and README leads somewhere."""

import importlib.util
import re
import subprocess
import sys
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from pages import BLOCK, PAGES, ROOT, name

SITE = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))


def in_nav(entries):
    for entry in entries:
        (place,) = entry.values()
        yield from [place] if isinstance(place, str) else in_nav(place)


def test_every_page_is_in_the_navigation_once():
    pages = [str(page.relative_to(ROOT / "docs")) for page in PAGES if page.name != "README.md"]
    assert sorted(in_nav(SITE["nav"])) == sorted(pages)


def test_a_page_that_is_left_out_fails_the_build():
    assert SITE["strict"]
    assert SITE["validation"]["nav"]["omitted_files"] == "warn"


def headings(text):
    """The anchors that a forge gives to a Markdown file's headings."""
    for heading in re.findall(r"^#+ +(.+?)\s*$", BLOCK.sub("", text), re.MULTILINE):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        yield re.sub(r"[^\w\- ]", "", words).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_the_links_of_a_page_lead_somewhere_in_the_repository(page):
    """As it is read without the site, on a forge or in an editor."""
    for link in re.findall(r"\]\(([^)\s]+)\)", BLOCK.sub("", page.read_text(encoding="utf-8"))):
        parts = urlsplit(link)
        if parts.scheme:
            continue
        assert not parts.query, link
        assert not link.startswith("/"), f"{link} is no place in the repository"
        there = (page.parent / unquote(parts.path)).resolve() if parts.path else page
        assert there.exists(), f"{name(page)} links to {link}"
        if parts.fragment and there.suffix == ".md":
            assert parts.fragment in set(headings(there.read_text(encoding="utf-8"))), f"{name(page)} links to {link}"


class Page(HTMLParser):
    """The links, ids and loaded files of a built page."""

    def __init__(self, text):
        super().__init__()
        self.links, self.ids, self.loads = [], set(), []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.ids |= {given[key] for key in ("id", "name") if given.get(key)}
        if given.get("href") is not None and (tag == "a" or given.get("rel") != "canonical"):
            (self.links if tag == "a" else self.loads).append(given["href"])
        if given.get("src"):
            self.loads.append(given["src"])


@pytest.fixture(scope="module")
def top(tmp_path_factory):
    """The built site's folder. Not --quiet: that hides warnings from --strict too."""
    if importlib.util.find_spec("material") is None:
        pytest.skip("needs mkdocs-material: pip install 'hpcho[docs]'")
    folder = tmp_path_factory.mktemp("built") / "site"
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def site(top):
    return {path: Page(path.read_text(encoding="utf-8")) for path in top.rglob("*.html")}


def place(link, page, top):
    """(the file of the site that a link leads to, the anchor there); None for what is elsewhere."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return None
    path = unquote(parts.path)
    there = top / path.lstrip("/") if path.startswith("/") else (page.parent / path if path else page)
    return (there / "index.html" if there.is_dir() else there).resolve(), unquote(parts.fragment)


@pytest.mark.slow
def test_the_site_has_every_page_and_no_other(site, top):
    assert {str(path.relative_to(top).with_suffix(".md")) for path in site} - {"404.md"} == set(in_nav(SITE["nav"]))


@pytest.mark.slow
def test_every_link_of_the_site_leads_somewhere(site, top):
    for path, page in site.items():
        for link in page.links:
            there, anchor = place(link, path, top) or (None, "")
            if there is None:
                continue
            assert there.exists(), f"{path.relative_to(top)} links to {link}"
            if anchor:
                assert anchor in site[there].ids, f"{path.relative_to(top)} links to {link}"


@pytest.mark.slow
def test_the_site_fetches_nothing(site, top):
    for path, page in site.items():
        for file in page.loads:
            found = place(file, path, top)
            assert found is not None or file.startswith("data:"), f"{path.relative_to(top)} loads {file}"
            assert found is None or found[0].exists(), f"{path.relative_to(top)} loads {file}"
