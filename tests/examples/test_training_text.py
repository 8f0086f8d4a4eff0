"""The example that makes training text of dumps, pages and plain text."""

from __future__ import annotations

import bz2
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "training_text.py"
ARTICLE = """{{Infobox|name=x}}
'''Hummers''' are [[bee|bees]] (of 1,200 kinds) that don't sting<ref>Nobody.</ref>; their well-known hum has 3.5 tones.

* a list of things that is left out whatever its length, for it is no running text at all

== Short ==
[[File:bee.jpg|thumb|A picture]]
Few words.
"""
WIKI = (
    '<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.10/"><page><title>Hummer</title><revision><text>'
    + ARTICLE.replace("<", "&lt;").replace(">", "&gt;")
    + "</text></revision></page><page><revision><text>#REDIRECT [[Hummer]]</text></revision></page></mediawiki>"
)


def test_three_kinds_of_sources(tmp_path):
    (tmp_path / "dump.xml.bz2").write_bytes(bz2.compress(WIKI.encode()))
    pages = tmp_path / "handbook" / "html" / "en"
    pages.mkdir(parents=True)
    words = "This paragraph is “long” enough to be kept, for it has more than a dozen words."
    (pages / "a.html").write_text(f"<p>Too short.</p><div class='para'>{words}</div>", encoding="utf-8")
    (tmp_path / "news.txt").write_text(f"{words}\nToo short.\n", encoding="utf-8")
    sources = [tmp_path / "dump.xml.bz2", pages, tmp_path / "news.txt"]
    done = subprocess.run(
        [sys.executable, str(EXAMPLE), *map(str, sources), "-o", str(tmp_path / "text")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "text").iterdir()}
    spaced = ' This paragraph is " long " enough to be kept , for it has more than a dozen words . \n'
    assert found == {
        "dump.txt": " Hummers are bees ( of 1 @,@ 200 kinds ) that don 't sting ; their well @-@ known hum has 3 @.@ 5 "
        "tones . \n",
        "handbook.txt": spaced,
        "news.txt": spaced,
    }
