"""A browser for the page's tests: Debian's Chromium, without a window."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from edgekit.html_report import write_report

from .made_results import made_results

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

HOSTILE = "</script><script>window.broken=1</script><img src=x onerror='window.broken=2'>"


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright: pip install playwright")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no chromium: apt install chromium")
    with playwright.sync_playwright() as started:
        # Containers run tests as root, which Chromium's sandbox refuses.
        made = started.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield made
        made.close()


@pytest.fixture(scope="session")
def report_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of twelve made-up bundles, one of which has a hostile name."""
    results = made_results(12)
    last = results[-1]["bundle"]["name"]
    for result in results:
        if result["bundle"]["name"] == last:
            result["bundle"]["name"] = result["bundle"]["variant"] = HOSTILE
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(json.loads(json.dumps(results)), path)
    return path


Opener = Callable[..., Any]


@pytest.fixture
def opened(browser: Browser, report_page: Path) -> Opener:
    """Opens the report: `with opened(width=360) as page:`; fails if it asks for anything or says an error."""

    @contextmanager
    def open_it(width: int = 1280, scheme: str = "light", path: Path = report_page, **context: Any) -> Iterator[Page]:
        made = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, **context)
        page = made.new_page()
        requests: list[str] = []
        errors: list[str] = []
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: errors.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(path.as_uri())
        assert page.evaluate("performance.getEntriesByName('edgekit-ready').length") == 1
        try:
            yield page
            assert errors == []
            assert [url for url in requests if url != path.as_uri()] == []
        finally:
            made.close()

    return open_it
