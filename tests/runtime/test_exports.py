"""What the runtime's library gives to the programs that load it."""

from __future__ import annotations

import re

from elftools.elf.elffile import ELFFile

from ..machines import runtime_for_cmake


def test_the_library_exports_its_own_names_alone():
    """Not the C++ library's templates that are compiled into it: an application's would be taken in their place."""
    with (runtime_for_cmake().parent / "lib" / "libedgekit_runtime.so").open("rb") as file:
        symbols = list(ELFFile(file).get_section_by_name(".dynsym").iter_symbols())
    given = {symbol.name for symbol in symbols if symbol["st_shndx"] != "SHN_UNDEF"}
    assert "edgekit_session_open" in given
    assert any(name.startswith("_ZN7edgekit15SegmentPipeline7segment") for name in given)
    assert [name for name in given if not re.match(r"edgekit_|_ZNK?7edgekit", name)] == []
