"""Writes unicode_tables.h, the letters, numbers and spaces of Unicode 16, to stdout.

    python kernels/runtime/pipelines/unicode_tables.py > kernels/runtime/pipelines/unicode_tables.h

Unicode 16.0 is what the package `tokenizers` 0.23 splits text by. Python 3.14 has its tables; an older Python needs
`pip install unicodedata2==16.0.0`.
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Any

VERSION = "16.0.0"
#: White_Space is the separators and these control characters (PropList.txt).
SPACES = {*range(0x09, 0x0E), 0x85}
COLUMNS = 5


def category_of_version() -> Callable[[str], str]:
    """The function `category` of a module that has this version of Unicode."""
    module: Any = unicodedata
    if module.unidata_version != VERSION:
        try:
            import unicodedata2 as module  # type: ignore[import-not-found,no-redef,unused-ignore]
        except ImportError:
            sys.exit(f"this Python has Unicode {unicodedata.unidata_version}: pip install unicodedata2=={VERSION}")
    if module.unidata_version != VERSION:
        sys.exit(f"unicodedata2 has Unicode {module.unidata_version}: pip install unicodedata2=={VERSION}")
    category: Callable[[str], str] = module.category
    return category


def ranges(has: Callable[[int], bool]) -> Iterator[tuple[int, int]]:
    """(first, last) of every range of code points that have a property, in order."""
    for found, codes in groupby(range(sys.maxunicode + 1), has):
        if found:
            first, *rest = codes
            yield first, rest[-1] if rest else first


def main() -> None:
    category = category_of_version()
    print(f"// Letters, numbers and spaces of Unicode {VERSION}; written by unicode_tables.py.")
    print("#pragma once\n\n#include <cstdint>\n\nnamespace edgekit {\n")
    print("struct CodeRange {\n  uint32_t first, last;\n};\n")
    tables: dict[str, Callable[[int], bool]] = {
        "General_Category L": lambda code: category(chr(code))[0] == "L",
        "General_Category N": lambda code: category(chr(code))[0] == "N",
        "White_Space": lambda code: category(chr(code))[0] == "Z" or code in SPACES,
    }
    for (title, has), name in zip(tables.items(), ("kLetters", "kNumbers", "kSpaces"), strict=True):
        cells = [f"{{0x{first:05X}, 0x{last:05X}}}," for first, last in ranges(has)]
        print(f"// {title}.\nconstexpr CodeRange {name}[] = {{")
        for start in range(0, len(cells), COLUMNS):
            print(f"    {' '.join(cells[start : start + COLUMNS])}")
        print("};\n")
    print("}  // namespace edgekit")


if __name__ == "__main__":
    main()
