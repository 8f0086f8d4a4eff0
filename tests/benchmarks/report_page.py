"""A report of many bundles: its size, and how soon it can be used in headless Chromium.

    python tests/benchmarks/report_page.py [--bundles 100] [--rounds 5] [--keep FOLDER]

The results are made up, of the zoo's sizes (tests/report/made_results.py). "Ready" is from navigation to the end of the
page's script, then every control works; the others are from an event to the second frame after its effect. With
Chromium's processor as it is, and slowed down four times, about a phone's.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.devices.results import read_results
from edgekit.html_report import write_report

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.report.made_results import write_results

if TYPE_CHECKING:
    from playwright.sync_api import Browser

#: Milliseconds until the second frame after an action is on screen.
PAINTED = """async ([target, event, value, until]) => {
  const start = performance.now();
  if (value) document.querySelector(target).value = value;
  document.querySelector(target).dispatchEvent(new MouseEvent(event, { bubbles: true }));
  while (!document.querySelector(until) && performance.now() < start + 60000)
    await new Promise((next) => setTimeout(next, 1));
  await new Promise((next) => requestAnimationFrame(() => requestAnimationFrame(next)));
  return performance.now() - start;
}"""
#: What is done: where, which event, the value that is chosen, and what is there when it is done.
ACTIONS = {
    "sort": ("#bundle-table .sort", "click", None, "[aria-sort=ascending]"),
    "all rows": ("#bundle-table > button", "click", None, "#bundle-table > button[hidden]"),
    "open a bundle": ("#bundle-1 > summary", "click", None, "#bundle-1 .inside[data-drawn]"),
    "filter": ("select[name=model]", "change", "sea-opt", "#bundle-0[hidden]"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundles", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keep", type=Path, help="Keep results and page here.")
    arguments = parser.parse_args()
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.keep or Path(scratch)
        path = write_results(folder, arguments.bundles)
        page = folder / "report.html"
        start = time.perf_counter()
        write_report(read_results([path]), page)
        print(f"results: {path.stat().st_size:,} bytes; written as a page in {time.perf_counter() - start:.2f} s")
        print(f"page of {arguments.bundles} bundles: {page.stat().st_size:,} bytes")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            print(f"Chromium {browser.version}, medians of {arguments.rounds} rounds, milliseconds:")
            for slower in (1, 4):
                rounds = [_once(browser, page, slower) for _ in range(arguments.rounds)]
                medians = {name: statistics.median(times[name] for times in rounds) for name in rounds[0]}
                shown = ", ".join(f"{name} {value:.0f}" for name, value in medians.items())
                print(f"  processor {'as it is' if slower == 1 else f'slowed down {slower} times'}: {shown}")
            browser.close()


def _once(browser: Browser, path: Path, slower: int) -> dict[str, float]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": slower})
    page.goto(path.as_uri())
    times = {
        "ready": page.evaluate("performance.getEntriesByName('edgekit-ready')[0].startTime"),
        "first paint": page.evaluate(
            "new Promise((next) => requestAnimationFrame(() => requestAnimationFrame(() =>"
            " next(performance.getEntriesByName('first-contentful-paint')[0].startTime))))"
        ),
    }
    for name, action in ACTIONS.items():
        times[name] = page.evaluate(PAINTED, action)
    context.close()
    return times


if __name__ == "__main__":
    main()
