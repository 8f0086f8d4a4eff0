"""Explained texts in a browser: by pointer, by keyboard, for a screen reader, on a phone, in both schemes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from edgekit.explanations import layer_use
from edgekit.html_report import write_report

from ..made_explanation import PROMPT
from .conftest import Opener
from .made_explanations import made_explained_results
from .made_results import made_results
from .test_colours import contrast
from .test_page import AUDIT, until

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def told() -> list[dict[str, Any]]:
    return made_explained_results()


@pytest.fixture(scope="module")
def explained_page(told: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("explained") / "report.html"
    write_report([*made_results(3), *told], path)
    return path


def open_text(page: Page, number: int) -> None:
    page.evaluate(f"document.getElementById('text-{number}').open = true")
    page.wait_for_selector(f"#text-{number} .inside[data-drawn]")


def test_the_table_has_every_value_and_says_what_a_cell_is(
    opened: Opener, explained_page: Path, told: list[dict[str, Any]]
):
    with opened(path=explained_page) as page:
        page.wait_for_selector("#text-0 .inside[data-drawn]")  # the first is open
        for place in range(2):
            use = layer_use(told[0]["explanation"], place, 20)
            heat = page.locator("#text-0 table.heat").nth(place)
            rows = [row.locator("td").all_text_contents() for row in heat.locator("tbody tr").all()]
            assert len(rows) == 30
            for token, cells in enumerate(rows):
                values = [float(text) if text else 0.0 for text in cells[:-1]]
                assert values == pytest.approx(use.values[:, token], rel=0.06)
                assert float(cells[-1].split()[0]) == pytest.approx(100 * use.unexplained[token], rel=0.06)
            headings = heat.locator("thead th").all_text_contents()[1:-1]
            assert headings == [f"{f} {label}" for f, label in zip(use.features, use.labels, strict=True)]
            # The colour follows the value.
            levels = heat.locator("td[class^=heat]").evaluate_all(
                "nodes => nodes.map((node) => [Number(node.textContent), Number(node.className.slice(5))])"
            )
            ordered = sorted(levels)
            assert [level for _, level in ordered] == sorted(level for _, level in levels)
            assert ordered[-1][1] == 6
            first = heat.locator("td[class^=heat]").first
            assert re.match(r'Token \d+, ".*", prompt: [\d.]+ of feature \d+ \(', first.get_attribute("title") or "")
        generated = page.locator("#text-0 table.heat").first.locator("tr.generated")
        assert generated.count() == 30 - PROMPT
        assert generated.first.locator("th").text_content() == (
            f"{told[0]['explanation']['tokens'][PROMPT]['text'].strip()}, generated"
        )


def test_cells_are_walked_by_the_keyboard_and_told(opened: Opener, explained_page: Path):
    with opened(path=explained_page) as page:
        page.wait_for_selector("#text-0 .inside[data-drawn]")
        heat = page.locator("#text-0 table.heat").first
        assert heat.locator("[tabindex='0']").count() == 1
        heat.locator("[tabindex='0']").focus()
        place = (
            "(() => { const cell = document.activeElement; "
            "return [cell.parentNode.rowIndex, cell.cellIndex, cell.title]; })()"
        )
        readout = page.locator("#text-0 .readout").first
        for key, row, column in (
            ("ArrowUp", 1, 1),
            ("ArrowDown", 2, 1),
            ("ArrowRight", 2, 2),
            ("End", 2, 21),
            ("ArrowRight", 2, 21),
            ("ArrowLeft", 2, 20),
            ("Home", 2, 1),
        ):
            page.keyboard.press(key)
            found = page.evaluate(place)
            assert found[:2] == [row, column], key
            assert readout.inner_text() == f"{found[2]}."
        assert heat.locator("[tabindex='0']").count() == 1
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.closest('table')?.querySelector('caption').textContent") != (
            heat.locator("caption").text_content()
        )


def test_steering_and_the_tree(opened: Opener, explained_page: Path, told: list[dict[str, Any]]):
    with opened(path=explained_page) as page:
        open_text(page, 1)
        text = page.locator("#text-1")
        assert "steered by 4:3 (" in text.locator("summary").first.inner_text()
        assert "\N{MINUS SIGN}0.10" in text.locator("summary").first.inner_text()
        (row,) = [one.locator("th, td").all_text_contents() for one in text.locator("tbody tr", has_text="4:3").all()]
        assert (row[0], row[2], row[3]) == ("4:3", "-0.1", "-2.50")
        tree = text.locator(".tree").first
        hierarchy = told[1]["explanation"]["hierarchy"][0]
        top = hierarchy["tree"][-1]
        below = {child for parent in top for child, _ in parent["children"]}
        alone = set(range(len(hierarchy["tree"][0]))) - below
        assert tree.locator("> li").count() == len(top) + len(alone)
        group = tree.locator("details").first
        group.locator("summary").first.press("Enter")
        children = group.locator("> ul > li")
        children.first.wait_for()
        wanted = [f"1.{child} {hierarchy['tree'][0][child]['label']}" for child, _ in top[0]["children"]]
        assert [one.strip() for one in children.locator("> details > summary > span").all_text_contents()] == wanted
        text.get_by_role("button", name="Open all groups").first.press("Enter")
        assert tree.locator("details:not([open])").count() == 0
        # Every feature that a group has is there, each below its groups.
        shown = {int(one.split()[0]) for one in tree.locator(".feature").all_text_contents()}
        assert shown == {child for parent in hierarchy["tree"][0] for child, _ in parent["children"]}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_numbers_can_be_read_on_every_colour(opened: Opener, explained_page: Path, scheme: str):
    script = """() => {
      const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
      const bytes = (colour) => {
        canvas.fillStyle = colour;
        canvas.fillRect(0, 0, 1, 1);
        return '#' + [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3)
          .map((part) => part.toString(16).padStart(2, '0')).join('');
      };
      const found = {};
      for (const cell of document.querySelectorAll('.heat td[class^=heat]')) {
        const style = getComputedStyle(cell);
        found[cell.className] = [bytes(style.color), bytes(style.backgroundColor)];
      }
      return found;
    }"""
    with opened(path=explained_page, scheme=scheme) as page:
        page.wait_for_selector("#text-0 .inside[data-drawn]")
        colours = page.evaluate(script)
        assert set(colours) >= {"heat-2", "heat-3", "heat-4", "heat-5", "heat-6"}
        for name, (ink, behind) in colours.items():
            assert contrast(ink, behind) >= 4.5, (scheme, name, ink, behind)
        assert len({behind for _, behind in colours.values()}) == len(colours)


@pytest.mark.parametrize("width", [320, 360, 1280])
def test_never_scrolls_sideways(opened: Opener, explained_page: Path, width: int):
    with opened(path=explained_page, width=width) as page:
        for number in (0, 1):
            open_text(page, number)
        page.evaluate("document.querySelectorAll('.tree').forEach((tree) => tree.previousElementSibling.click())")
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_screen_reader_finds_names_captions_and_headings(opened: Opener, explained_page: Path):
    with opened(path=explained_page) as page:
        for number in (0, 1):
            open_text(page, number)
        page.evaluate("document.querySelectorAll('.tree').forEach((tree) => tree.previousElementSibling.click())")
        assert page.evaluate(AUDIT) == []


def test_filters_reach_the_texts(opened: Opener, explained_page: Path):
    with opened(path=explained_page) as page:
        assert page.locator("#explanation-list > details:visible").count() == 2
        page.locator("select[name=model]").select_option("rpcanet")
        assert page.locator("#explanation-list > details:visible").count() == 0


def test_a_page_of_texts_only_has_no_empty_sections(opened: Opener, told: list[dict[str, Any]], tmp_path: Path):
    path = tmp_path / "texts.html"
    write_report(told, path)
    with opened(path=path) as page:
        links = page.locator("nav a").all_text_contents()
        assert links == ["Each bundle", "Explained texts", "Sources", "Repeat"]
        page.evaluate("document.getElementById('bundle-0').open = true")
        page.wait_for_selector("#bundle-0 .inside[data-drawn]")
        assert "Neither measured nor estimated" in page.locator("#bundle-0").inner_text()
        page.locator("#commands > summary").press("Enter")
        until(page, "document.querySelectorAll('#commands tbody tr').length === 2")
        assert "--steer 4:3=-0.1" in page.locator("#commands").inner_text()
        assert page.evaluate(AUDIT) == []


def test_a_page_without_texts_has_no_section_for_them(opened: Opener):
    with opened() as page:
        assert page.locator("#explanations, nav a[href='#explanations']").count() == 0
