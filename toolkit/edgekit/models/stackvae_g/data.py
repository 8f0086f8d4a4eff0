"""Labelled telemetry: SMD, ASD, SMAP and MSL as published, npz files, and folders of CSV or npy."""

from __future__ import annotations

import ast
import csv
import io
import re
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgekit.errors import EdgekitError, UsageError
from edgekit_runtime.series import (
    MAX_SERIES_BYTES,
    SERIES_SUFFIXES,
    Series,
    check_values,
    default_names,
    in_order,
    read_npy,
    read_series,
)

from .metrics import Interpretation


@dataclass(frozen=True)
class Entity:
    """One machine, application or telemetry channel: a series to train on and, maybe, a labelled one to test on.

    Attributes:
        name: the entity's name in its data set.
        train: readings without labels, (T, C).
        test: readings (T', C), or None.
        labels: (T',) uint8, 1 where anomalous, or None.
        interpretation: which channels each labelled segment concerns, where the data set says so.
    """

    name: str
    train: Series
    test: Series | None = None
    labels: npt.NDArray[np.uint8] | None = None
    interpretation: tuple[Interpretation, ...] = ()

    def with_channels(self, channels: Sequence[str]) -> Entity:
        """Both parts with a model's channels, see `edgekit_runtime.series.in_order`.

        Raises:
            EdgekitError: another number of channels, or other names.
        """
        train = in_order(self.train, channels, f"{self.name}, training part")
        test = None if self.test is None else in_order(self.test, channels, f"{self.name}, test part")
        return replace(self, train=train, test=test)


def load_entities(path: Path) -> list[Entity]:
    """Every entity that a file or folder holds, sorted by name.

    Understood are: a `.npz` with `train` (and `test`, `label`); a folder of them; one `.csv`, `.txt` or `.npy`
    (training only); a folder with `train`, `test` and `label` as such files; SMD's folders `train/`, `test/`,
    `test_label/`, `interpretation_label/`; SMAP's and MSL's folder, or its `.tar.gz`, with `labeled_anomalies.csv`.
    """
    if path.is_file():
        if path.name.endswith((".tar.gz", ".tgz", ".tar")):
            return _nasa(_TarReader(path))
        return [_npz(path) if path.suffix == ".npz" else Entity(path.stem, read_series(path))]
    if not path.is_dir():
        raise UsageError(f"there is no data file or folder {path}.")
    if (path / "labeled_anomalies.csv").is_file():
        return _nasa(_FolderReader(path))
    if (path / "test_label").is_dir():
        return list(_smd(path))
    archives = sorted(path.glob("*.npz"))
    if archives:
        return [_npz(archive) for archive in archives]
    if _sibling(path, "train") is not None:
        return [_folder(path)]
    raise UsageError(
        f"{path} holds no series: it needs .npz files, train/test/label as .csv or .npy, "
        f"or the folders of SMD, SMAP or MSL."
    )


def _entity(
    name: str,
    train: Series,
    test: Series | None,
    labels: npt.NDArray[np.generic] | None,
    interpretation: tuple[Interpretation, ...] = (),
) -> Entity:
    if test is not None and test.values.shape[1] != train.values.shape[1]:
        raise EdgekitError(
            f"{name}: the test part has {test.values.shape[1]} channels, the training part {train.values.shape[1]}."
        )
    if labels is None:
        return Entity(name, train, test)
    if test is None or labels.shape != (len(test.values),):
        rows = "no test part" if test is None else f"{len(test.values)} test rows"
        raise EdgekitError(f"{name}: labels of shape {labels.shape} do not fit {rows}.")
    if not np.isin(labels, (0, 1)).all():
        raise EdgekitError(f"{name}: labels must be 0 or 1.")
    return Entity(name, train, test, labels.astype(np.uint8), tuple(_labelled(s, labels) for s in interpretation))


def _labelled(segment: Interpretation, labels: npt.NDArray[np.generic]) -> Interpretation:
    """The segment with its last row included: SMD's files write the row after it, ASD's the row itself."""
    start, end = segment.start, segment.end
    beyond = end >= len(labels) or not labels[end]
    return replace(segment, end=end - 1) if beyond and end > start else segment


def _npz(path: Path) -> Entity:
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > MAX_SERIES_BYTES:
            raise EdgekitError(f"{path} unpacks to more than {MAX_SERIES_BYTES >> 30} GiB.")
        with np.load(path, allow_pickle=False) as arrays:
            parts = {name: arrays[name] for name in ("train", "test", "label") if name in arrays}
    except (zipfile.BadZipFile, ValueError, OSError, EOFError, MemoryError) as error:
        raise EdgekitError(f"{path} is not a numpy archive (or holds objects, or is cut short).") from error
    if "train" not in parts:
        raise EdgekitError(f"{path} has no array 'train'.")
    test = _series(parts["test"], f"{path}, test") if "test" in parts else None
    interpretation = path.with_name(f"{path.stem}.interpretation.txt")
    segments = _interpretation(interpretation) if interpretation.is_file() else ()
    return _entity(path.stem, _series(parts["train"], f"{path}, train"), test, parts.get("label"), segments)


def _series(values: npt.NDArray[np.generic], origin: str) -> Series:
    if values.ndim != 2 or values.dtype.kind not in "fiub":
        raise EdgekitError(f"{origin} is {values.dtype} {values.shape}: numbers of shape (rows, channels) are needed.")
    series = Series(np.ascontiguousarray(values, np.float32), default_names(values.shape[1]))
    check_values(series, origin)
    return series


def _sibling(folder: Path, name: str) -> Path | None:
    return next((path for suffix in SERIES_SUFFIXES if (path := folder / f"{name}{suffix}").is_file()), None)


def _folder(folder: Path) -> Entity:
    train, test = _sibling(folder, "train"), _sibling(folder, "test")
    label = _sibling(folder, "label") or _sibling(folder, "labels")
    assert train is not None
    return _entity(
        folder.name,
        read_series(train),
        read_series(test) if test else None,
        read_series(label, channels=1).values[:, 0] if label else None,
    )


def _smd(folder: Path) -> Iterator[Entity]:
    for train in sorted((folder / "train").glob("*.txt")):
        segments = folder / "interpretation_label" / train.name
        yield _entity(
            train.stem,
            read_series(train),
            read_series(folder / "test" / train.name),
            read_series(folder / "test_label" / train.name, channels=1).values[:, 0],
            _interpretation(segments) if segments.is_file() else (),
        )


_SEGMENT = re.compile(r"\s*(\d+)\s*-\s*(\d+)\s*:\s*(\d+(?:\s*,\s*\d+)*)\s*,?\s*")


def _interpretation(path: Path) -> tuple[Interpretation, ...]:
    """Lines "start-end:d1,d2" with 0-based rows and 1-based channels."""
    segments = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        match = _SEGMENT.fullmatch(line)
        if match is None:
            raise EdgekitError(f"{path}, line {number}: 'start-end:channel,channel' is needed, not {line[:40]!r}.")
        channels = tuple(int(channel) - 1 for channel in match[3].split(","))
        segments.append(Interpretation(int(match[1]), int(match[2]), channels))
    return tuple(segments)


class _FolderReader:
    """Files of SMAP and MSL in a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def text(self, name: str) -> str:
        return (self.path / name).read_text(encoding="utf-8")

    def array(self, name: str) -> npt.NDArray[np.generic]:
        return read_npy(self.path / name)


class _TarReader:
    """The same files in a tar archive, read in memory: nothing is unpacked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.members: dict[str, bytes] = {}
        size = 0
        try:
            with tarfile.open(path) as archive:
                for member in archive:
                    if not member.isfile() or not member.name.endswith((".npy", "labeled_anomalies.csv")):
                        continue
                    size += member.size
                    if size > MAX_SERIES_BYTES:
                        raise EdgekitError(f"{path} unpacks to more than {MAX_SERIES_BYTES >> 30} GiB.")
                    file = archive.extractfile(member)
                    self.members["/" + member.name] = file.read() if file else b""
        except (tarfile.TarError, OSError, EOFError) as error:
            raise EdgekitError(f"{path} is not a tar archive, or is cut short.") from error

    def _bytes(self, name: str) -> bytes:
        for member, content in self.members.items():
            if member.endswith(f"/{name}"):
                return content
        raise EdgekitError(f"{self.path} has no {name}.")

    def text(self, name: str) -> str:
        return self._bytes(name).decode("utf-8")

    def array(self, name: str) -> npt.NDArray[np.generic]:
        try:
            loaded: npt.NDArray[np.generic] = np.load(io.BytesIO(self._bytes(name)), allow_pickle=False)
            return loaded
        except (ValueError, EOFError, MemoryError) as error:
            raise EdgekitError(f"{self.path}, {name} is not a numpy array (or holds objects).") from error


def _nasa(reader: _FolderReader | _TarReader) -> list[Entity]:
    """SMAP and MSL: one npy per telemetry channel; labels are segments with both ends included."""
    entities: dict[str, Entity] = {}
    for row in csv.DictReader(io.StringIO(reader.text("labeled_anomalies.csv"))):
        name = f"{row['spacecraft']}-{row['chan_id']}"
        if name in entities:  # P-2 is listed twice
            continue
        train = _series(reader.array(f"train/{row['chan_id']}.npy"), f"{name}, train")
        test = _series(reader.array(f"test/{row['chan_id']}.npy"), f"{name}, test")
        labels = np.zeros(len(test.values), np.uint8)
        try:
            segments = [(int(start), int(end)) for start, end in ast.literal_eval(row["anomaly_sequences"])]
        except (ValueError, SyntaxError, TypeError) as error:
            raise EdgekitError(
                f"labeled_anomalies.csv, {name}: {row['anomaly_sequences'][:40]!r} is no list of segments."
            ) from error
        for start, end in segments:
            labels[start : end + 1] = 1
        entities[name] = _entity(name, train, test, labels)
    return [entities[name] for name in sorted(entities)]
