"""A picture of a report, for a document.

    python -m tests.report.picture report.html docs/pictures/report.png [--from trade-offs] [--height 1400] [--dark]

As a browser of 1280 pixels shows it, from the top or from a section (bundles, trade-offs, memory, details,
explanations).
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--from", dest="section", help="A section's id; default: the top.")
    parser.add_argument("--open", dest="bundle", type=int, help="The number of a bundle that is opened.")
    parser.add_argument("--height", type=int, default=1400)
    parser.add_argument("--dark", action="store_true")
    arguments = parser.parse_args()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(
            viewport={"width": 1280, "height": arguments.height}, color_scheme="dark" if arguments.dark else "light"
        )
        page.goto(arguments.report.resolve().as_uri())
        if arguments.bundle is not None:
            page.evaluate(f"document.getElementById('bundle-{arguments.bundle}').open = true")
            page.wait_for_selector(f"#bundle-{arguments.bundle} .inside[data-drawn]")
        if arguments.section is not None:
            page.evaluate(f"document.getElementById('{arguments.section}').scrollIntoView({{behavior: 'instant'}})")
        page.wait_for_timeout(500)
        page.screenshot(path=arguments.picture)
        browser.close()


if __name__ == "__main__":
    main()
