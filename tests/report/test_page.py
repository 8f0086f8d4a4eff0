"""The report in a browser: what it draws, by pointer, by keyboard, in the dark, on a phone, for a screen reader."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from edgekit.html_report import write_report

from .conftest import HOSTILE, Opener
from .made_results import made_results

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.slow
NONE = "\u2013"


def cells(page: Page, title: str) -> list[str]:
    """First lines of a column of the table of bundles."""
    place = page.locator("#bundle-table thead th").all_inner_texts()
    column = next(index for index, text in enumerate(place) if text.startswith(title))
    found = page.locator(f"#bundle-table tbody tr > :nth-child({column + 1})").all_inner_texts()
    return [text.strip().split("\n")[0] for text in found]


def until(page: Page, condition: str) -> None:
    """Waits for what a script says: the page's policy forbids Playwright's own way."""
    for _ in range(200):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"never: {condition}")


def numbers(texts: list[str]) -> list[float | None]:
    return [None if text == NONE else float(text.replace(",", "")) for text in texts]


def test_draws_every_section_and_every_row(opened: Opener):
    with opened() as page:
        for section in (
            "summary",
            "bundle-table",
            "trade-off-charts",
            "memory-charts",
            "source-table",
            "machine-table",
        ):
            assert page.locator(f"#{section} > *").count() > 0, section
        results = made_results(12)
        rows = sum(len((result["measured"] or result["estimated"])["cases"]) for result in results)
        assert page.locator("#bundle-table tbody tr").count() == rows
        assert page.locator("#bundle-list > details").count() == 12
        assert page.locator("figure svg").first.is_visible()


def test_measured_and_estimated_times_have_columns_of_their_own(opened: Opener):
    with opened() as page:
        bases = cells(page, "Figures")
        measured, estimated = numbers(cells(page, "Measured p50")), numbers(cells(page, "Estimated"))
        for basis, one, other in zip(bases, measured, estimated, strict=True):
            assert (one is None) == (basis == "estimated")
            assert (other is None) == (basis != "estimated")
        shown = page.locator("#bundle-table tbody tr", has_text="emulated")
        assert shown.count() > 0
        assert all("emulated" in text for text in shown.locator("td[data-title^='Measured p50']").all_inner_texts())


def test_sorts_by_keyboard_and_keeps_the_emulated_out_of_the_ranking(opened: Opener):
    with opened() as page:
        heading = page.locator("th", has=page.locator("button.sort", has_text="Measured p50"))
        assert heading.get_attribute("aria-sort") == "none"
        heading.locator("button").focus()
        for key, direction, order in (("Enter", "ascending", 1), ("Space", "descending", -1)):
            page.keyboard.press(key)
            assert heading.get_attribute("aria-sort") == direction
            told = list(zip(cells(page, "Figures"), numbers(cells(page, "Measured p50")), strict=True))
            ranked = [time for basis, time in told if basis == "measured"]
            assert ranked == sorted(ranked, key=lambda time: order * (time or 0))
            assert [basis == "measured" for basis, _ in told] == [True] * len(ranked) + [False] * (
                len(told) - len(ranked)
            )
            assert direction in (page.locator("#said").text_content() or "")
        assert page.locator("th[aria-sort='none']").count() == page.locator("#bundle-table thead th").count() - 1


def test_filters_by_keyboard_and_every_part_follows(opened: Opener):
    with opened() as page:
        page.locator("select[name=model]").focus()
        page.keyboard.type("sea-opt")
        page.keyboard.press("Enter")
        assert set(cells(page, "Model")) == {"sea-opt"}
        assert page.locator("#trade-off-charts h3").all_inner_texts() == [
            "sea-opt: perplexity, time of prompt",
            "sea-opt: perplexity, time of token",
        ]
        assert page.locator("#memory-charts figure").count() == 1
        assert page.locator("#bundle-list > details:visible").count() == 4
        page.locator("select[name=basis]").select_option("estimated")
        assert set(cells(page, "Figures")) == {"estimated"}
        page.locator("input[name=words]").fill("int4 sea")
        assert page.locator("#shown").inner_text().startswith("0 rows")
        page.locator("button[type=reset]").press("Enter")
        until(page, "document.querySelectorAll('#bundle-list > details:not([hidden])').length === 12")
        assert len(set(cells(page, "Model"))) == 3


def test_the_front_is_the_pareto_front(opened: Opener, tmp_path: Path):
    """Against all pairs, on the results themselves; two are as accurate."""
    results = made_results(15)
    local = [r for r in results if r["target"]["kind"] == "local" and r["bundle"]["model"] == "rpcanet"]
    metrics = {result["bundle"]["recipe"]: result["bundle"]["accuracy"]["metric"] for result in local}
    # As accurate, faster and smaller: int4 beats fp32, and no other does.
    metrics["int4"]["program"] = metrics["fp32"]["program"]
    path = tmp_path / "ties.html"
    write_report(local, path)
    points = {
        result["bundle"]["recipe"]: (
            -result["bundle"]["accuracy"]["metric"]["program"],
            result["measured"]["cases"][0]["p50_ms"],
            result["measured"]["peak_memory_bytes"],
        )
        for result in local
    }
    beaten = {
        name
        for (name, one), other in itertools.product(points.items(), points.values())
        if one != other and all(b <= a for a, b in zip(one, other, strict=True))
    }
    with opened(path=path) as page:
        figure = page.locator("#trade-off-charts .group", has_text="rpcanet: IoU").locator(
            "figure", has_text="Measured on"
        )
        figure.locator("summary").click()
        figure.locator("tbody tr").nth(len(points) - 1).wait_for()  # the table is made when it is opened
        rows = [row.locator("th, td").all_inner_texts() for row in figure.locator("tbody tr").all()]
        found = {row[0].split("x86_64-")[1] for row in rows if row[-1] == "yes"}
        assert found == set(points) - beaten
        assert len(rows) == len(points)
        assert figure.locator("circle.best").count() == 2 * len(found)  # against time, and against memory


def test_a_bundle_opens_with_all_that_is_known_of_it(opened: Opener):
    with opened() as page:
        page.locator("#bundle-table tbody a").first.press("Enter")
        bundle = page.locator("#bundle-0")
        page.wait_for_selector("#bundle-0 .inside[data-drawn]")
        assert bundle.locator("summary").first.evaluate("node => node === document.activeElement")
        captions = bundle.locator("figcaption strong").all_inner_texts()
        for start in ("Memory at the peak", "What lives when", "Measured memory of the run", "One call of forward"):
            assert any(caption.startswith(start) for caption in captions), start
        operators = bundle.locator("table.operators")
        assert operators.locator("tbody tr").count() == 10
        shares = [
            float(text.split(" %")[0]) for text in operators.locator("tbody tr td:nth-child(7)").all_inner_texts()
        ]
        assert shares == sorted(shares, reverse=True)
        bundle.get_by_role("button", name=re.compile("Show all")).press("Enter")
        rows = made_results(12)[0]["operators"]["forward"]
        inside = {row["parent"] for row in rows}
        leaves = [row for row in rows if row["id"] not in inside]
        assert operators.locator("tbody tr").count() == len(leaves)
        bundle.locator("select").nth(1).select_option("left")
        kept = [row for row in leaves if not row["place"].startswith("delegate")]
        assert operators.locator("tbody tr").count() == len(kept)
        assert bundle.locator(".roof").count() == 4
        assert bundle.locator("circle.operator").count() == len(
            [row for row in leaves if row["flops"] and row["bytes"]]
        )


def test_steps_of_the_arena_are_reached_by_keyboard(opened: Opener):
    with opened() as page:
        page.evaluate("document.getElementById('bundle-0').open = true")
        page.wait_for_selector("#bundle-0 .inside[data-drawn]")
        slider, said = page.locator("#bundle-0 input[type=range]"), page.locator("#bundle-0 .readout")
        steps = made_results(12)[0]["arena"]["steps"]
        totals = [sum(step["bytes"]) for step in steps]
        peak = totals.index(max(totals))
        assert said.inner_text().startswith(f"Step {peak + 1} of {len(steps)}, run forward, {steps[peak]['operator']}")
        slider.press("Home")
        assert said.inner_text().startswith(f"Step 1 of {len(steps)}, open")
        slider.press("ArrowRight")
        assert slider.get_attribute("aria-valuetext") == said.inner_text()
        assert said.inner_text().startswith("Step 2 of")


def test_dark_by_the_system_and_by_the_button(opened: Opener):
    paper = "getComputedStyle(document.body).backgroundColor"
    with opened(scheme="dark") as page:
        dark = page.evaluate(paper)
    with opened() as page:
        light = page.evaluate(paper)
        page.locator("#theme").press("Enter")
        assert page.evaluate(paper) == dark != light
        page.locator("#theme").press("Enter")
        assert page.evaluate(paper) == light


@pytest.mark.parametrize("width", [320, 360, 768, 1280])
def test_never_scrolls_sideways(opened: Opener, width: int):
    with opened(width=width) as page:
        page.evaluate("for (const id of [0, 1, 11]) document.getElementById(`bundle-${id}`).open = true")
        for bundle in (0, 1, 11):
            page.wait_for_selector(f"#bundle-{bundle} .inside[data-drawn]")
        page.evaluate("document.querySelectorAll('details').forEach((node) => (node.open = true))")
        page.wait_for_timeout(300)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        outside = page.evaluate(
            "[...document.querySelectorAll('main svg text')].filter((node) => {"
            "  const box = node.getBoundingClientRect();"
            "  return box.width && (box.left < -1 || box.right > innerWidth + 1);"
            "}).map((node) => node.textContent)"
        )
        assert outside == []


def test_on_a_phone_rows_are_cards_with_a_name_for_each_figure(opened: Opener):
    with opened(width=360) as page:
        first = page.locator("#bundle-table tbody tr").first
        box = first.bounding_box()
        assert box is not None
        assert box["width"] <= 360
        cell = first.locator("td[data-title^='Measured p50']")
        assert cell.evaluate("node => getComputedStyle(node, '::before').content") == '"Measured p50, ms"'
        page.get_by_label("Sort by").select_option("peak")
        peaks = [peak for peak in numbers(cells(page, "Measured peak")) if peak is not None]
        assert peaks == sorted(peaks)


#: What axe and the like look for, as far as this page can get it wrong; gives sentences.
AUDIT = """() => {
  const found = [];
  const all = (selector) => [...document.querySelectorAll(selector)];
  const text = (id) => document.getElementById(id)?.textContent.trim();
  const ids = all('[id]').map((node) => node.id);
  if (new Set(ids).size !== ids.length) found.push('an id is there twice');
  for (const node of all('[aria-labelledby], [aria-describedby]'))
    for (const name of ['aria-labelledby', 'aria-describedby'])
      for (const id of (node.getAttribute(name) ?? '').split(' ').filter(Boolean))
        if (!text(id)) found.push(`${name} leads nowhere: ${id}`);
  for (const node of all('input, select'))
    if (!node.labels?.length && !node.getAttribute('aria-label')) found.push(`no label: ${node.outerHTML}`);
  for (const node of all('button, summary, a'))
    if (!(node.getAttribute('aria-label') ?? node.textContent).trim()) found.push(`no name: ${node.outerHTML}`);
  for (const node of all('figure svg[role=img]'))
    if (!node.getAttribute('aria-labelledby')) found.push('a picture without a name');
  for (const node of all('svg'))
    if (!node.closest('[aria-hidden]') && !node.getAttribute('role')) found.push('svg without a role');
  for (const node of all('table')) {
    if (!node.caption?.textContent.trim()) found.push('a table without a caption');
    for (const cell of node.querySelectorAll('th'))
      if (!cell.scope) found.push(`th without scope: ${cell.textContent}`);
    const widths = new Set([...node.rows].map((row) => row.cells.length));
    if (widths.size > 1) found.push(`a table with rows of ${[...widths]} cells: ${node.caption?.textContent}`);
  }
  let level = 1;
  for (const node of all('h1, h2, h3, h4')) {
    const own = Number(node.tagName[1]);
    if (own > level + 1) found.push(`heading skips a level: ${node.textContent}`);
    level = own;
  }
  for (const node of all('.wide'))
    if (node.tabIndex !== 0 || !node.getAttribute('aria-label')) found.push('a box that no keyboard scrolls');
  if (!document.documentElement.lang || !document.title) found.push('no language or title');
  return found;
}"""


def test_a_screen_reader_finds_names_captions_and_headings(opened: Opener):
    with opened() as page:
        page.evaluate("document.querySelectorAll('details').forEach((node) => (node.open = true))")
        until(page, "document.querySelectorAll('.inside[data-drawn]').length === 12")
        page.evaluate("document.querySelectorAll('details').forEach((node) => (node.open = true))")
        page.wait_for_timeout(300)
        assert page.evaluate(AUDIT) == []
        assert page.locator("figure").count() > 40


def test_the_first_key_leads_past_the_navigation(opened: Opener):
    with opened() as page:
        page.keyboard.press("Tab")
        skip = page.locator(".skip")
        assert skip.evaluate("node => node === document.activeElement")
        box = skip.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"
        page.keyboard.press("Tab")
        focused = page.evaluate("document.activeElement.closest('#filters') !== null")
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert (focused, outline) == (True, "solid")


def test_a_hostile_name_is_only_text(opened: Opener):
    with opened() as page:
        page.evaluate("document.getElementById('bundle-11').open = true")
        page.wait_for_selector("#bundle-11 .inside[data-drawn]")
        assert page.locator("#bundle-11 > summary strong").inner_text() == HOSTILE
        assert page.evaluate("window.broken") is None
        assert page.locator("main img, main script").count() == 0


def test_copies_a_command(opened: Opener):
    with opened(permissions=["clipboard-read", "clipboard-write"]) as page:
        page.locator("#commands > summary").press("Enter")
        row = page.locator("#commands tbody tr").first
        row.get_by_role("button").press("Enter")
        until(page, "document.getElementById('said').textContent === 'Command copied.'")
        copied = page.evaluate("navigator.clipboard.readText()")
        assert copied == row.locator("code").inner_text() == made_results(12)[0]["command"]


def test_prints_without_what_only_a_screen_can_use(opened: Opener):
    with opened(scheme="dark") as page:
        page.emulate_media(media="print")
        for selector in ("nav", "#theme", "#filters", "button.sort"):
            visible = page.locator(selector).first.is_visible()
            assert visible == (selector == "button.sort"), selector
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_results_that_know_little_are_drawn_too(opened: Opener, tmp_path: Path):
    """What may be null is null: nothing else of the page is lost."""
    results: list[dict[str, Any]] = json.loads(json.dumps(made_results(2)))
    for result in results:
        result["bundle"]["accuracy"] = {}
        result["bundle"]["memory"] = {}
        result |= {
            "operators": None,
            "roofline": None,
            "arena": None,
            "settings": None,
            "machine": None,
            "versions": {},
        }
        if result["measured"] is not None:
            for name in ("peak_memory_bytes", "memory_timeline", "telemetry", "power", "load_ms", "open_ms"):
                result["measured"].pop(name)
    path = tmp_path / "little.html"
    write_report(results, path)
    with opened(path=path) as page:
        page.evaluate("document.querySelectorAll('details').forEach((node) => (node.open = true))")
        until(page, "document.querySelectorAll('.inside[data-drawn]').length === 2")
        assert "No bundle that is shown has a task metric" in page.locator("#trade-off-charts").inner_text()
        assert page.evaluate(AUDIT) == []
