"""A real browser, and pages in it that may load nothing and log nothing."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "report"))
sys.path.insert(0, str(Path(__file__).parent.parent.parent / "benchmarks"))

LAPTOP = {"width": 1366, "height": 768}
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def browser():
    """Chromium, headless. Its driver occupies the thread's event loop, so it ends with the module."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        pytest.skip("needs playwright: pip install playwright")
    import report as benchmark

    if benchmark.chromium() is None:
        pytest.skip("needs Chromium: tests/browser/install, as root")
    with sync_playwright() as playwright:
        browser = benchmark.launched(playwright)
        yield browser
        browser.close()


class Opened:
    """A page, and what it has asked for and complained of."""

    def __init__(self, context, path):
        self.complaints, self.requests = [], []
        self.view = context.new_page()
        self.view.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        self.view.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        self.view.on("request", lambda request: self.requests.append(request.url))
        self.url = path.absolute().as_uri()
        self.view.goto(self.url)

    def look_through(self):
        """Scroll down to the end, so that every plot is drawn."""
        self.view.evaluate(
            """async () => {
                const turn = () => new Promise((done) => setTimeout(done, 40));
                for (let y = 0; y < document.body.scrollHeight; y += 400) { scrollTo(0, y); await turn(); }
                for (const plot of document.querySelectorAll(".plot")) {
                    plot.scrollIntoView();
                    while (!plot.querySelector("canvas")) await turn();
                }
                scrollTo(0, 0);
            }"""
        )

    def check_quiet(self):
        """No complaint, and no request but for the file itself (and blobs and data of the page's own)."""
        assert self.complaints == []
        assert [url for url in self.requests if url != self.url and not url.startswith(("data:", "blob:"))] == []


@pytest.fixture
def opened(browser):
    """opened(path, phone=False, **context options): the page in a fresh window."""
    contexts = []

    def open_(path, *, phone=False, **options):
        contexts.append(browser.new_context(viewport=PHONE if phone else LAPTOP, **options))
        return Opened(contexts[-1], path)

    yield open_
    for context in contexts:
        context.close()
