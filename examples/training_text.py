"""Text to train sea-opt on, from files that many have: a MediaWiki dump, HTML pages, plain text.

    pip install beautifulsoup4 mwparserfromhell
    python examples/training_text.py pages-articles.xml.bz2 /usr/share/doc/debian-handbook/html/en-US news.txt -o text
    edgekit train sea-opt --data text -o runs

Every source becomes one .txt file, spaced as WikiText-2 is (Merity et al. 2016, arXiv:1609.07843), so that it can be
mixed with that: punctuation stands alone, and is marked by @ within a word or number.
"""

from __future__ import annotations

import argparse
import bz2
import re
import xml.etree.ElementTree
from collections.abc import Iterator
from pathlib import Path

import bs4
import mwparserfromhell

#: Paragraphs of fewer words are headings, menus, tables.
SHORTEST = 12
#: Quotation marks of print, and what WikiText-2 has for them.
QUOTES = {0x201C: '"', 0x201D: '"', 0x2018: "'", 0x2019: "'"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="+", type=Path, metavar="DUMP.xml.bz2|FOLDER|FILE.txt")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    for source in arguments.sources:
        paragraphs = [spaced(text) for text in read(source) if len(text.split()) >= SHORTEST]
        name = source.parent.parent.name if source.is_dir() else source.name.partition(".")[0]
        path = arguments.output / f"{name}.txt"
        path.write_text("".join(f" {text} \n" for text in paragraphs), encoding="utf-8")
        print(f"{path}: {len(paragraphs)} paragraphs, {sum(len(text.split()) for text in paragraphs)} words")


def read(source: Path) -> Iterator[str]:
    """The paragraphs of a source."""
    if source.is_dir():
        for page in sorted(source.glob("*.html")):
            soup = bs4.BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")
            yield from (" ".join(part.get_text().split()) for part in soup.select("p, div.para"))
    elif source.name.endswith(".bz2"):
        with bz2.open(source) as file:
            for _, element in xml.etree.ElementTree.iterparse(file):
                if element.tag.rpartition("}")[2] == "text":
                    yield from article(element.text or "")
                    element.clear()
    else:
        yield from source.read_text(encoding="utf-8", errors="replace").splitlines()


def article(markup: str) -> Iterator[str]:
    """The running text of a wiki page, without templates, tables, references, lists and links to files."""
    if markup.lower().startswith("#redirect"):
        return
    running = (line for line in markup.splitlines() if not line.startswith(("*", "#", ":", ";")))
    code = mwparserfromhell.parse("\n".join(running))
    for node in code.filter_tags(matches=lambda tag: tag.tag in ("ref", "table", "gallery", "math")):
        try:
            code.remove(node)
        except ValueError:  # inside one that is gone
            continue
    for link in code.filter_wikilinks():
        if ":" in str(link.title):
            try:
                code.remove(link)
            except ValueError:
                continue
    for line in code.strip_code().splitlines():
        if not line.startswith(("|", "!", "{", "Category:")):
            yield line.strip()


def spaced(text: str) -> str:
    """Text with its punctuation as WikiText-2 has it."""
    text = text.translate(QUOTES)
    text = re.sub(r"(?<=\d)([.,])(?=\d)", r" @\1@ ", text)
    text = re.sub(r"(?<=\w)-(?=\w)", " @-@ ", text)
    text = re.sub(r"(?<!@)([()\[\]{}\",;:!?%$&/])", r" \1 ", text)
    text = re.sub(r"(?<=\w)('s|'t|'re|'ve|'ll|'d|'m)\b", r" \1", text)
    text = re.sub(r"\.(?=\s|$)", " .", text)
    return " ".join(text.split())


if __name__ == "__main__":
    main()
