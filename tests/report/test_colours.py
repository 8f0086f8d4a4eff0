"""The page's colours: contrasts by WCAG 2.2's formula, of the light and of the dark page."""

from __future__ import annotations

import itertools
import re
from importlib.resources import files

import pytest

STYLE = (files("edgekit.html_report") / "page.css").read_text()
PALETTE = {name: pair for name, *pair in re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\);", STYLE)}
#: By what is behind them.
TEXT = {
    "paper": ("ink", "soft", "link", "bad", "measured", "estimated", "emulated"),
    "raised": ("ink", "soft", "link"),
    "notice": ("ink",),
}
#: 3:1 for what must be seen to understand a chart or to use a control (WCAG 1.4.11).
MARKS = (
    *("edge", "focus", "measured", "estimated", "delegate", "ours", "own-kernels", "notice-edge"),
    *("runtime", "weights", "state", "packed", "buffers", "io", "arena", "scratch", "workspace", "constants"),
)
#: Parts that lie on each other in a stack, from the lowest.
STACK = ("runtime", "weights", "state", "packed", "buffers", "io", "arena", "idle", "scratch", "workspace", "constants")
#: What light of red, green and blue becomes to eyes without one kind of cones (Machado et al. 2009, severity 1).
BLINDNESS = {
    "none": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
}


def linear(colour: str) -> tuple[float, ...]:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    return tuple(part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)


def contrast(one: str, other: str) -> float:
    lights = sorted(sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear(c), strict=True)) for c in (one, other))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def lab(light: tuple[float, ...]) -> tuple[float, float, float]:
    """CIE L*a*b* (D65) of linear light."""
    rows = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
    white = (0.9505, 1.0, 1.089)
    ratios = [sum(r * p for r, p in zip(row, light, strict=True)) / w for row, w in zip(rows, white, strict=True)]
    x, y, z = (t ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116 for t in ratios)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_text_and_marks_stand_out(theme: int):
    for behind, names in TEXT.items():
        for name in names:
            assert contrast(PALETTE[name][theme], PALETTE[behind][theme]) >= 4.5, (name, behind)
    for name in MARKS:
        assert contrast(PALETTE[name][theme], PALETTE["paper"][theme]) >= 3, name


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("eyes", BLINDNESS)
def test_neighbours_in_a_stack_differ_for_every_eye(eyes: str, theme: int):
    """By CIE76; 10 is seen at a glance. Parts that lie next to each other where those between are absent count too."""

    def seen(name: str) -> tuple[float, float, float]:
        light = linear(PALETTE[name][theme])
        mixed = (sum(w * p for w, p in zip(row, light, strict=True)) for row in BLINDNESS[eyes])
        return lab(tuple(min(1.0, max(0.0, part)) for part in mixed))

    for one, other in itertools.combinations(STACK, 2):
        if STACK.index(other) - STACK.index(one) > 2:
            continue
        distance = sum((a - b) ** 2 for a, b in zip(seen(one), seen(other), strict=True)) ** 0.5
        assert distance >= 10, (one, other, round(distance, 1))


def test_every_colour_of_the_style_is_of_the_palette():
    rest = re.sub(r"light-dark\([^)]*\)", "", STYLE)
    assert not re.findall(r"#[0-9a-f]{3,8}\b", rest)
    used = set(re.findall(r"var\(--([\w-]+)\)", STYLE))
    assert used <= set(PALETTE)
    assert set(PALETTE) - used == set()
