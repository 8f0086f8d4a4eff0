"""Low-rankness and sparsity on maps whose measures are known, and the pictures of stages."""

from __future__ import annotations

import numpy as np
import pytest

from edgekit.errors import EdgekitError
from edgekit.pipelines.segment_stages import energy_share, measure_stages, singular_values, sparsity
from edgekit.stage_pictures import GAP, HEADING, heatmap, stage_sheet

RANK_ONE = np.outer(np.arange(1, 13), np.arange(1, 17)).astype(np.float32)
RANK_TWO = np.diag([3.0, 4.0] + [0.0] * 10).astype(np.float32)
TARGET = np.where(np.arange(192).reshape(12, 16) < 6, 2.0, -1.0).astype(np.float32)


def test_singular_values():
    norm = np.linalg.norm(RANK_ONE.astype(np.float64))
    np.testing.assert_allclose(singular_values(RANK_ONE), [norm] + [0] * 11, atol=1e-9 * norm)
    np.testing.assert_allclose(singular_values(RANK_TWO)[:3], [4, 3, 0], atol=1e-12)
    # Only what is above 0 counts.
    np.testing.assert_allclose(singular_values(-RANK_ONE), 0, atol=0)


def test_energy_share():
    assert energy_share(singular_values(RANK_ONE)) == pytest.approx(1)
    assert energy_share(singular_values(RANK_TWO)) == pytest.approx(16 / 25)
    assert energy_share(np.zeros(3)) == 1.0


def test_sparsity():
    assert sparsity(TARGET) == 6 / 192
    assert sparsity(np.zeros((3, 3), np.float32)) == 0


def test_stages_over_frames():
    square = RANK_TWO[:12, :12]
    frames = [[(square, TARGET), (square, TARGET)], [(3 * square, TARGET), (square, -TARGET)]]
    first, second = measure_stages(frames)
    assert (first.stage, second.stage) == (1, 2)
    assert len(first.singular_values) == 10
    assert first.singular_values[:2] == pytest.approx((8, 6))
    assert first.singular_spread[:2] == pytest.approx((4, 3))  # over the frames, population
    assert second.singular_spread[:2] == pytest.approx((0, 0))
    assert first.energy_share == pytest.approx(16 / 25)
    assert second.sparsity == pytest.approx(0.5)
    assert second.sparsity_spread == pytest.approx(np.std([6 / 192, 186 / 192], ddof=1))
    assert measure_stages(frames[:1])[0].sparsity_spread == 0


def test_frames_that_do_not_fit():
    with pytest.raises(EdgekitError, match="no frames"):
        measure_stages([])
    with pytest.raises(EdgekitError, match="differ in size"):
        measure_stages([[(RANK_ONE, TARGET)], [(RANK_ONE[:5], TARGET[:5])]])


def test_heatmap():
    colours = heatmap(np.array([[-3.0, 0.0, 1.0, 2.0, 3.0, 4.0]], np.float32))[0].tolist()
    assert colours[0] == colours[1] == [0, 0, 128]
    assert colours[3] == [128, 255, 128]
    assert colours[5] == [128, 0, 0]
    assert (heatmap(np.zeros((2, 2), np.float32)) == [0, 0, 128]).all()


def test_stage_sheet():
    sheet = stage_sheet([[RANK_ONE, TARGET, RANK_ONE], [TARGET, TARGET, TARGET]])
    assert sheet.shape == (HEADING + 2 * 12 + GAP, 3 * 16 + 2 * GAP, 3)
    np.testing.assert_array_equal(sheet[HEADING : HEADING + 12, 16 + GAP : 32 + GAP], heatmap(TARGET))
    assert (sheet[HEADING + 12 : HEADING + 12 + GAP] == 255).all()
    assert (sheet[:HEADING] < 255).any()  # names of the columns
