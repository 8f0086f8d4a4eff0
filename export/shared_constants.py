"""Constants that a program's kernels and its delegate both read, stored once: a word embedding that is the head too.

ExecuTorch stores its own constants in one segment of the file and each of a delegate's in another, and a segment is an
offset and a size: one whose bytes stand among the constants can point there.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from executorch.exir._serialize._program import _get_extended_header
from flatbuffers.number_types import Uint32Flags, Uint64Flags
from flatbuffers.table import Table

from edgekit.errors import EdgekitError

#: What is cut out of the file is a multiple of this, so that what lies behind it keeps its alignment; smaller constants
#: are left alone.
PAGE = 4096
#: Where the size of all segments stands in a file with an extended header (executorch/schema/extended_header.h).
_SEGMENTS_SIZE = 8 + 24


#: Where fields of executorch/schema/program.fbs stand in the tables that they belong to.
_PROGRAM_SEGMENTS, _PROGRAM_CONSTANTS, _PROGRAM_NAMED = 12, 14, 18
_OFFSET, _SIZE = 4, 6  # of DataSegment
_CONSTANTS_SEGMENT, _CONSTANTS_OFFSETS = 4, 6  # of SubsegmentOffsets
_NAMED_SEGMENT = 6  # of NamedData


@dataclass(frozen=True)
class _Segment:
    table: Table
    offset: int
    size: int


def share_constants(data: bytes) -> tuple[bytes, int]:
    """The file of a program without the delegate's copies of constants, and how many bytes are shared."""
    header = _get_extended_header(data)
    if header is None:
        return data, 0
    program = Table(data, struct.unpack_from("<I", data)[0])
    segments = [
        _Segment(table, _number(table, _OFFSET, Uint64Flags), _number(table, _SIZE, Uint64Flags))
        for table in _tables(program, _PROGRAM_SEGMENTS)
    ]
    named = {_number(table, _NAMED_SEGMENT, Uint32Flags) for table in _tables(program, _PROGRAM_NAMED)}
    places, end = _constants(program, segments)
    base = header.segment_base_offset

    found: dict[int, int] = {}
    for index in sorted(named, key=lambda index: segments[index].offset):
        start, size = base + segments[index].offset, segments[index].size
        if size >= PAGE and segments[index].offset >= end:
            blob = data[start : start + size]
            for place in places:
                if place + size <= end and data.startswith(blob, base + place):
                    found[index] = place
                    break
    cuts = [(segments[index].offset, segments[index].size // PAGE * PAGE) for index in found]

    def moved(offset: int) -> int:
        return offset - sum(size for start, size in cuts if start < offset)

    head = bytearray(data[:base])
    for index, segment in enumerate(segments):
        _set_offset(head, segment, moved(found.get(index, segment.offset)))
    (total,) = struct.unpack_from("<Q", head, _SEGMENTS_SIZE)
    struct.pack_into("<Q", head, _SEGMENTS_SIZE, total - sum(size for _, size in cuts))
    parts, kept = [bytes(head)], base
    for start, size in cuts:
        parts.append(data[kept : base + start])
        kept = base + start + size
    return b"".join([*parts, data[kept:]]), sum(segments[index].size for index in found)


def _constants(program: Table, segments: list[_Segment]) -> tuple[list[int], int]:
    """Where the constants begin, and where their segment ends."""
    (table,) = _tables(program, _PROGRAM_CONSTANTS, several=False) or [None]
    if table is None or not (field := table.Offset(_CONSTANTS_OFFSETS)):
        return [], 0
    segment = segments[_number(table, _CONSTANTS_SEGMENT, Uint32Flags)]
    count, start = table.VectorLen(field), table.Vector(field)
    offsets = struct.unpack_from(f"<{count}Q", table.Bytes, start)
    return sorted({segment.offset + offset for offset in offsets[1:]}), segment.offset + segment.size


def _tables(table: Table, slot: int, several: bool = True) -> list[Table]:
    """The tables that a field holds: a vector of them, or one; none where the field is left out."""
    field = table.Offset(slot)
    if field == 0:
        return []
    if not several:
        return [Table(table.Bytes, table.Indirect(field + table.Pos))]
    start = table.Vector(field)
    return [Table(table.Bytes, table.Indirect(start + 4 * index)) for index in range(table.VectorLen(field))]


def _number(table: Table, slot: int, flags: type) -> int:
    """A field that holds a number; 0 where it is left out."""
    field = table.Offset(slot)
    return int(table.Get(flags, field + table.Pos)) if field else 0


def _set_offset(head: bytearray, segment: _Segment, offset: int) -> None:
    """Overwrites a segment's offset in place."""
    if offset == segment.offset:
        return
    field = segment.table.Offset(_OFFSET)
    if field == 0:  # left out for 0: then the constants are not first
        raise EdgekitError(
            "ExecuTorch writes a program's segments in another order than known: install executorch 1.5."
        )
    struct.pack_into("<Q", head, segment.table.Pos + field, offset)
