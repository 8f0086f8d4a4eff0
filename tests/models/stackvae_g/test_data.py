"""Loaders: every layout is written here and must come back the same."""

import io
import tarfile

import numpy as np
import pytest

from edgekit.errors import EdgekitError, UsageError
from edgekit.models.stackvae_g.data import load_entities
from edgekit.models.stackvae_g.metrics import Interpretation

RNG = np.random.default_rng(0)
TRAIN, TEST = RNG.random((40, 3), np.float32), RNG.random((30, 3), np.float32)
LABELS = np.zeros(30, np.uint8)
LABELS[10:15] = 1


def check(entity, name):
    assert entity.name == name
    np.testing.assert_allclose(entity.train.values, TRAIN, rtol=1e-5)
    np.testing.assert_allclose(entity.test.values, TEST, rtol=1e-5)
    np.testing.assert_array_equal(entity.labels, LABELS)


def test_npz_with_interpretation(tmp_path):
    np.savez(tmp_path / "m-1.npz", train=TRAIN, test=TEST, label=LABELS)
    (tmp_path / "m-1.interpretation.txt").write_text("10-14:1,3\n\n")
    (entity,) = load_entities(tmp_path)
    check(entity, "m-1")
    assert entity.interpretation == (Interpretation(10, 14, (0, 2)),)
    check(load_entities(tmp_path / "m-1.npz")[0], "m-1")


def test_smd_folders(tmp_path):
    for part, values in (("train", TRAIN), ("test", TEST), ("test_label", LABELS)):
        (tmp_path / part).mkdir()
        np.savetxt(tmp_path / part / "machine-1-1.txt", values, delimiter=",", fmt="%.7g")
    (tmp_path / "interpretation_label").mkdir()
    (tmp_path / "interpretation_label" / "machine-1-1.txt").write_text("10-14:2\n")
    (entity,) = load_entities(tmp_path)
    check(entity, "machine-1-1")
    assert entity.interpretation == (Interpretation(10, 14, (1,)),)


@pytest.mark.parametrize("suffix", ["csv", "npy"])
def test_plain_folder(tmp_path, suffix):
    for part, values in (("train", TRAIN), ("test", TEST), ("label", LABELS)):
        if suffix == "npy":
            np.save(tmp_path / f"{part}.npy", values)
        else:
            np.savetxt(tmp_path / f"{part}.csv", values, delimiter=",", fmt="%.7g")
    check(load_entities(tmp_path)[0], tmp_path.name)


NASA = (
    "chan_id,spacecraft,anomaly_sequences,class,num_values\n"
    'P-2,SMAP,"[[10, 12], [13, 14]]","[point, point]",30\n'
    'P-2,SMAP,"[[0, 1]]","[point]",30\n'
)


def test_nasa_folder_and_archive(tmp_path):
    folder = tmp_path / "SMAP"
    for part, values in (("train", TRAIN), ("test", TEST)):
        (folder / part).mkdir(parents=True)
        np.save(folder / part / "P-2.npy", values)
    (folder / "labeled_anomalies.csv").write_text(NASA)
    (entity,) = load_entities(folder)  # P-2 is listed twice: the first counts
    check(entity, "SMAP-P-2")
    with tarfile.open(tmp_path / "SMAP.tar.gz", "w:gz") as archive:
        archive.add(folder, "SMAP")
    check(load_entities(tmp_path / "SMAP.tar.gz")[0], "SMAP-P-2")


def test_hostile_segments_are_not_evaluated(tmp_path):
    folder = tmp_path / "MSL"
    for part, values in (("train", TRAIN), ("test", TEST)):
        (folder / part).mkdir(parents=True)
        np.save(folder / part / "X-1.npy", values)
    (folder / "labeled_anomalies.csv").write_text(
        "chan_id,spacecraft,anomaly_sequences,class,num_values\nX-1,MSL,\"__import__('os').getpid()\",x,30\n"
    )
    with pytest.raises(EdgekitError, match="no list of segments"):
        load_entities(folder)


def test_objects_in_arrays_are_refused(tmp_path):
    np.savez(tmp_path / "evil.npz", train=np.array([{"a": 1}], dtype=object))
    with pytest.raises(EdgekitError, match="objects"):
        load_entities(tmp_path / "evil.npz")
    with tarfile.open(tmp_path / "evil.tar", "w") as archive:
        for name, content in (("S/labeled_anomalies.csv", NASA.encode()), ("S/train/P-2.npy", b"\x93NUMPY junk")):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    with pytest.raises(EdgekitError, match="P-2"):
        load_entities(tmp_path / "evil.tar")


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"test": TEST}, "no array 'train'"),
        ({"train": TRAIN, "test": TEST[:, :2]}, "2 channels"),
        ({"train": TRAIN, "test": TEST, "label": LABELS[:5]}, "do not fit"),
        ({"train": TRAIN, "test": TEST, "label": LABELS + 3}, "0 or 1"),
        ({"train": np.where(TRAIN > 0.5, np.nan, TRAIN)}, "not finite"),
        ({"train": TRAIN[0]}, "shape"),
    ],
)
def test_arrays_that_do_not_fit(tmp_path, parts, message):
    np.savez(tmp_path / "m.npz", **parts)
    with pytest.raises(EdgekitError, match=message):
        load_entities(tmp_path / "m.npz")


def test_nothing_there(tmp_path):
    with pytest.raises(UsageError, match="no data file"):
        load_entities(tmp_path / "missing")
    with pytest.raises(UsageError, match="holds no series"):
        load_entities(tmp_path)


def test_real_data_sets(data_root):
    smd = load_entities(data_root / "smd")
    assert {entity.name for entity in smd} >= {"machine-2-1", "machine-1-6"}
    assert all(entity.interpretation and entity.labels.any() for entity in smd)
    asd = load_entities(data_root / "asd")
    for entity in [*smd, *asd]:  # the files say the end in two ways, the labels are one
        marked = np.zeros(len(entity.labels), np.uint8)
        for segment in entity.interpretation:
            marked[segment.start : segment.end + 1] = 1
        np.testing.assert_array_equal(marked, entity.labels)
    smap = load_entities(data_root / "smap_msl" / "SMAP.tar.gz")
    assert len(smap) == 81  # 82 lines, P-2 twice
