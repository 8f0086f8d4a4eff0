"""The ROS 2 package: its node on stand-ins for ROS always, with ROS itself where that is installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

from edgekit_runtime import Session
from edgekit_runtime.segment import SegmentPipeline

from ..machines import runtime_for_cmake
from .test_camera_parts import NATIVE

PACKAGE = Path(__file__).parents[2] / "examples" / "ros2"


@pytest.fixture(scope="module")
def node(built_example) -> Path:
    return built_example(NATIVE) / "object_node"


@pytest.mark.slow
def test_the_node_publishes_what_the_pipeline_finds(node, local_bundle, tmp_path):
    pixels = np.random.default_rng(2).integers(0, 256, (40, 48), dtype=np.uint8)
    (tmp_path / "pixels").write_bytes(pixels.tobytes())
    command = [node, local_bundle, tmp_path / "pixels", "40", "48"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    damaged, unknown = done.stderr.splitlines()
    assert "too few for 41 rows of 48" in damaged
    assert unknown == "images of the encoding 'bayer_rggb8' are not taken: send mono8, mono16, bgr8 or rgb8."
    count, *lines = done.stdout.splitlines()
    assert count == "1 lens"
    wanted = SegmentPipeline(Session(local_bundle)).segment(pixels.astype(np.float32) / np.float32(255)).objects
    assert len(wanted) > 0
    for line, found in zip(lines, wanted, strict=True):
        top, left, bottom, right = found.box
        middle = [np.arange(left, right).mean(), np.arange(top, bottom).mean()]
        score = 1 / (1 + np.exp(-np.float64(found.peak)))
        numbers = [*middle, right - left, bottom - top, found.centroid[1], found.centroid[0], score]
        np.testing.assert_allclose([float(word) for word in line.split()], numbers, rtol=1e-12)


@pytest.mark.slow
def test_the_node_says_why_there_is_none(node, tmp_path):
    done = subprocess.run([node, tmp_path / "absent", "x", "1", "1"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "there is no bundle" in done.stderr


def test_the_package_names_what_it_needs():
    package = ElementTree.parse(PACKAGE / "package.xml").getroot()
    cmake = (PACKAGE / "CMakeLists.txt").read_text()
    assert re.search(r"project\((\w+)", cmake)[1] == package.findtext("name")
    found = set(re.findall(r"find_package\((\w+)", cmake)) - {"edgekit"}
    assert found == {element.text for element in package if element.tag in ("buildtool_depend", "depend")}


@pytest.mark.slow
def test_it_builds_with_ros(tmp_path):
    if "ROS_DISTRO" not in os.environ or shutil.which("cmake") is None:
        pytest.skip("needs ROS 2 (source its setup.bash first): the node was compiled and called on stand-ins only")
    options = [f"-Dedgekit_DIR={runtime_for_cmake()}", "-DCMAKE_CXX_FLAGS=-Wall -Wextra"]
    for step in (["-S", PACKAGE, "-B", tmp_path, *options], ["--build", tmp_path]):
        done = subprocess.run(["cmake", *map(str, step)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "object_node").is_file()
