"""The built book, served from this machine to a real Chromium."""

import functools
import http.server
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "_build" / "html"
CHROMIUM = Path("/usr/bin/chromium")
LAUNCH = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
RENDER = "import sys; from pathlib import Path; from press import site; sys.exit(site.build(Path(sys.argv[1]), Path(sys.argv[2]), True))"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="session")
def address():
    """Base address of the rendered book; it is brought up to date first (a few seconds if nothing changed)."""
    run = subprocess.run([sys.executable, "-c", RENDER, ROOT, OUT], capture_output=True, text=True, check=False)
    assert run.returncode == 0, f"the book was not rendered:\n{run.stdout}\n{run.stderr}"
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=OUT))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


@pytest.fixture(scope="session")
def browser():
    if not CHROMIUM.is_file():
        why = f"{CHROMIUM} is missing: the book is only tested in a browser where one is installed (apt-get install chromium)"
        pytest.fail(why) if os.environ.get("CI") else pytest.skip(why)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=LAUNCH)
        yield chromium
        chromium.close()


class Visit:
    """A page in a window of its own, with all that went wrong while it was open."""

    def __init__(self, browser, address: str, width: int, scheme: str):
        self.address = address
        self.context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
        self.tab = self.context.new_page()
        self.errors: list[str] = []
        self.elsewhere: list[str] = []
        self.tab.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)
        self.tab.on("pageerror", lambda e: self.errors.append(str(e)))
        self.tab.on("response", lambda r: self.errors.append(f"{r.status} {r.url}") if r.status >= 400 else None)
        self.tab.on("request", lambda r: self.elsewhere.append(r.url) if not r.url.startswith((address, "data:", "blob:")) else None)

    def open(self, path: str):
        """Open, scroll to the end so that lazy images load, and wait until nothing moves."""
        self.tab.goto(self.address + path, wait_until="networkidle")
        self.tab.evaluate(
            "async () => { for (let y = 0; y < document.body.scrollHeight; y += 500)"
            " { scrollTo(0, y); await new Promise((r) => setTimeout(r, 10)); } scrollTo(0, 0); }"
        )
        self.tab.wait_for_load_state("networkidle")
        return self.tab

    def clean(self) -> None:
        assert self.errors == []
        assert self.elsewhere == []


@pytest.fixture
def visit(browser, address):
    """visit(width=..., scheme=...) -> Visit; all windows are closed, and checked, at the end."""
    opened = []

    def start(width: int = 1280, scheme: str = "light") -> Visit:
        opened.append(Visit(browser, address, width, scheme))
        return opened[-1]

    yield start
    for v in opened:
        v.context.close()
        v.clean()
