"""The device profiles: what ships is valid, and what is wrong in a user's file is said in one sentence."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest

from edgekit.devices.profile import DeviceProfile, GpuProfile, list_profiles, load_profile, parse_profile
from edgekit.devices.tensorrt import known_versions, load_tensorrt
from edgekit.errors import EdgekitError, UsageError

BOARD = """\
name = "my-board"
title = "My board"
architecture = "aarch64"
operating_system = "linux"
glibc = "2.31"
formats = ["pte"]
kernels = ["neon", "scalar"]
default_recipe = "int8"

[cpu]
model = "Arm Cortex-A72"
cores = 4
clock_ghz = 1.8
isa = ["neon"]

[memory]
total_mb = 2048
bandwidth_gb_per_s = "unknown"
"""
GPU = '[gpu]\nname = "RTX 2000"\ncompute_capability = "8.9"\ncuda = "12.6"\n'


def complaint(old: str, new: str, board: str = BOARD) -> str:
    """What parse_profile says once `old` is replaced by `new`; checks that it is one sentence that names the file."""
    assert board.count(old) == 1
    with pytest.raises(EdgekitError) as caught:
        parse_profile(board.replace(old, new), "board.toml")
    message = str(caught.value)
    assert message.startswith("board.toml")
    assert "\n" not in message
    assert message.endswith((".", "?"))
    return message


def test_every_shipped_profile_parses_and_names_its_file() -> None:
    folder = files("edgekit.devices").joinpath("profiles")
    entries = [entry for entry in folder.iterdir() if entry.name.endswith(".toml")]
    names = {parse_profile(entry.read_text(encoding="utf-8"), entry.name).name for entry in entries}
    assert names == {entry.name.removesuffix(".toml") for entry in entries}
    assert [profile.name for profile in list_profiles()] == sorted(names)
    assert names >= {
        "android-arm64",
        "jetson-agx-orin",
        "jetson-orin-nano",
        "linux-x86_64",
        "raspberry-pi-5",
        "raspberry-pi-zero-2w",
    }


def test_no_two_shipped_profiles_share_a_name_or_alias() -> None:
    words = [word for profile in list_profiles() for word in (profile.name, *profile.aliases)]
    assert len(words) == len(set(words))


@pytest.mark.parametrize("profile", list_profiles(), ids=lambda profile: profile.name)
def test_shipped_profile_is_plausible(profile: DeviceProfile) -> None:
    assert profile.formats[0] == "pte"
    assert profile.kernels[-1] == "scalar"  # every operator has a scalar kernel, so it is the last resort
    assert profile.default_recipe == ("fp32" if profile.name == "linux-x86_64" else "int8")
    assert (profile.glibc is None) == (profile.operating_system == "android") == (profile.android_api is not None)
    assert (profile.gpu is not None) == profile.name.startswith("jetson")
    assert profile.cpu.clock_ghz is None or 0.5 < profile.cpu.clock_ghz < 6  # a clock in MHz would not pass
    assert profile.memory.total_mb is None or profile.memory.total_mb % 512 == 0  # nor would GB or bytes
    assert load_profile(profile.name) is profile


def test_jetson_is_the_orin_nano() -> None:
    profile = load_profile("jetson")
    assert profile is load_profile("jetson-orin-nano")
    assert profile.gpu is not None
    assert profile.gpu.compute_capability == "8.7"
    assert profile.glibc == "2.35"
    assert profile.cpu.isa == ("neon", "dotprod", "fp16")


def test_a_misspelt_name_gets_a_suggestion() -> None:
    with pytest.raises(UsageError, match=r"unknown device 'jetsno': did you mean 'jetson'\?.*`edgekit list devices`"):
        load_profile("jetsno")


def test_a_path_loads_the_users_own_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my-board.toml").write_text(BOARD, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    for path in ("./my-board.toml", "my-board.toml", str(tmp_path / "my-board.toml")):
        profile = load_profile(path)
        assert (profile.name, profile.cpu.cores, profile.cpu.clock_ghz) == ("my-board", 4, 1.8)
        assert profile.memory.bandwidth_gb_per_s is None
        assert (profile.aliases, profile.gpu, profile.android_api) == ((), None, None)
    assert profile not in list_profiles()


def test_a_path_without_a_file_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match=r"there is no device profile .*no-board\.toml: give the path"):
        load_profile("./no-board.toml")


def test_errors_in_a_users_file_name_the_path(tmp_path: Path) -> None:
    path = tmp_path / "board.toml"
    path.write_text(BOARD.replace("cores = 4", "cores = 0"), encoding="utf-8")
    with pytest.raises(EdgekitError) as caught:
        load_profile(str(path))
    assert str(caught.value).startswith(f"{path}: key 'cpu.cores' is 0")
    path.write_bytes(b'name = "\xff"')
    with pytest.raises(EdgekitError, match="is not UTF-8 text"):
        load_profile(str(path))


def test_text_that_is_not_toml() -> None:
    assert "is not valid TOML" in complaint("cores = 4", "cores =")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("cores = 4", "cores = 4\ncorse = 4", "key 'cpu.corse' is unknown: did you mean 'cpu.cores'?"),
        ("glibc =", "glibcs =", "key 'glibcs' is unknown: did you mean 'glibc'?"),
        ("total_mb", "zzz = 1\ntotal_mb", "key 'memory.zzz' is unknown: the keys are total_mb, bandwidth_gb_per_s."),
    ],
)
def test_unknown_key(old: str, new: str, said: str) -> None:
    assert complaint(old, new).endswith(said)


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ('name = "my-board"', "name"),
        ("cores = 4", "cpu.cores"),
        ('bandwidth_gb_per_s = "unknown"', "memory.bandwidth_gb_per_s"),
        ('default_recipe = "int8"', "default_recipe"),
        ('glibc = "2.31"', "glibc"),
    ],
)
def test_missing_key(line: str, key: str) -> None:
    assert f"key '{key}' is missing: " in complaint(f"{line}\n", "")


def test_missing_table() -> None:
    assert "key 'cpu' is missing: add it." in complaint(BOARD[BOARD.index("[cpu]") : BOARD.index("[memory]")], "")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("cores = 4", 'cores = "four"', "key 'cpu.cores' is 'four': make it a whole number above 0, or 'unknown'."),
        ("cores = 4", "cores = 4.0", "key 'cpu.cores' is 4.0"),
        ("cores = 4", "cores = true", "key 'cpu.cores' is True"),
        ("clock_ghz = 1.8", "clock_ghz = nan", "key 'cpu.clock_ghz' is nan"),
        ("clock_ghz = 1.8", "clock_ghz = inf", "key 'cpu.clock_ghz' is inf"),
        ("clock_ghz = 1.8", "clock_ghz = -1.8", "key 'cpu.clock_ghz' is -1.8: make it a number above 0"),
        # 2.30 as a number would be read as 2.3, another version
        ('glibc = "2.31"', "glibc = 2.30", "key 'glibc' is 2.3: make it a version in quotes"),
        (
            'formats = ["pte"]',
            'formats = "pte"',
            "'formats' is 'pte': make it a list of some of pte, tflite, onnx.",
        ),
        ('formats = ["pte"]', "formats = []", "key 'formats' is []"),
        ('formats = ["pte"]', 'formats = ["ptx"]', "key 'formats' is ['ptx']"),
        (
            'default_recipe = "int8"',
            'default_recipe = "int8"\nopset = "18"',
            "key 'opset' is '18': make it a whole number",
        ),
        ('isa = ["neon"]', 'isa = ["neon", "avx2"]', "key 'cpu.isa' is ['neon', 'avx2']: make it a list"),
        ('isa = ["neon"]', 'isa = ["neon", 1]', "key 'cpu.isa' is ['neon', 1]"),
        ('isa = ["neon"]', "isa = []", "key 'kernels' has 'neon', which cpu.isa lacks"),
        ('architecture = "aarch64"', 'architecture = "armv7"', "key 'architecture' is 'armv7': make it one of"),
        ('operating_system = "linux"', 'operating_system = "android"', "key 'android_api' is missing"),
        ('glibc = "2.31"', 'glibc = "2.31"\nandroid_api = 26', "key 'android_api' does not fit"),
        ('name = "my-board"', 'name = "../my board"', "key 'name' is '../my board'"),
        ('title = "My board"', 'title = " "', "key 'title' is ' ': make it a text in quotes."),
        ('title = "My board"', 'title = "My board"\naliases = "board"', "key 'aliases' is 'board': make it a list"),
        ('title = "My board"', 'title = "My board"\ngpu = "RTX 2000"', "key 'gpu' is 'RTX 2000': make it a table"),
    ],
)
def test_wrong_value(old: str, new: str, said: str) -> None:
    assert said in complaint(old, new)


def test_gpu_without_jetpack() -> None:
    gpu = parse_profile(BOARD + GPU, "board.toml").gpu
    assert gpu == GpuProfile(name="RTX 2000", compute_capability="8.9", cuda="12.6", jetpack=None)
    assert "key 'gpu.cuda' is 12.6" in complaint('cuda = "12.6"', "cuda = 12.6", BOARD + GPU)


def test_figures_of_a_gpu() -> None:
    board = BOARD + GPU + 'integrated = true\nmultiprocessors = "unknown"\nleast_work = "computed"\n'
    gpu = parse_profile(board, "board.toml").gpu
    assert gpu is not None
    assert (gpu.integrated, gpu.multiprocessors, gpu.clock_ghz, gpu.least_work) == (True, None, None, "computed")
    assert (gpu.capability, gpu.driver) == ((8, 9), (12, 6))
    table = board.replace('least_work = "computed"', "least_work = { sparse_topk = 65536 }")
    assert parse_profile(table, "board.toml").gpu == replace(gpu, least_work={"sparse_topk": 65536})
    assert hash(parse_profile(table, "board.toml")) is not None
    for old, new, said in (
        ("integrated = true", "integrated = 1", "key 'gpu.integrated' is 1: make it true or false."),
        ("integrated = true\n", "", "key 'gpu.least_work' is computed for integrated GPUs only: add integrated = true"),
        ('"8.9"', '"8"', "key 'gpu.compute_capability' is '8': make it a compute capability in quotes"),
        ('"unknown"\nleast', '"many"\nleast', "key 'gpu.multiprocessors' is 'many': make it a whole number above 0"),
        ('"computed"', '"guessed"', "key 'gpu.least_work' is 'guessed': make it 'computed' or a table"),
        ('"computed"', "{ conv2d = 1 }", "key 'gpu.least_work.conv2d' is unknown: the operators are sparse_topk"),
        ('"computed"', "{ csr_matmul = 0 }", "key 'gpu.least_work.csr_matmul' is 0: make it a whole number above 0."),
    ):
        assert said in complaint(old, new, board)


@pytest.mark.parametrize("profile", [one for one in list_profiles() if one.gpu], ids=lambda profile: profile.name)
def test_boards_with_a_gpu_leave_no_figure_out(profile: DeviceProfile) -> None:
    gpu = profile.gpu
    assert gpu is not None
    assert gpu.integrated
    assert gpu.multiprocessors is not None
    assert gpu.clock_ghz is not None
    # 128 cores each, a multiply-accumulate a cycle.
    assert gpu.fp32_gflops == pytest.approx(gpu.multiprocessors * 128 * gpu.clock_ghz * 2)
    assert f"{128 * gpu.multiprocessors} CUDA cores" in gpu.name
    assert gpu.shared_kb_per_block is not None
    assert gpu.shared_kb_per_multiprocessor == gpu.shared_kb_per_block + 1  # 1 KB of a block is the system's
    assert gpu.least_work == "computed"


def test_tensorrt_of_a_board() -> None:
    board = BOARD + GPU + 'tensorrt = "10.3"\n'
    gpu = parse_profile(board, "board.toml").gpu
    assert gpu is not None
    assert gpu.tensorrt == "10.3"
    assert "key 'gpu.tensorrt' is '5.1': make it one of 10.3." in complaint('"10.3"', '"5.1"', board)
    opset = board.replace('default_recipe = "int8"', 'default_recipe = "int8"\nopset = 18')
    assert parse_profile(opset, "board.toml").opset == 18
    assert "key 'opset' is 23: TensorRT 10.3 takes 9 to 19." in complaint("opset = 18", "opset = 23", opset)


def test_what_tensorrt_takes() -> None:
    for version in known_versions():
        limits = load_tensorrt(version)
        assert limits.version == version
        assert limits.oldest_opset < limits.newest_opset
        assert {"Conv", "MatMul", "TopK", "Where", "QuantizeLinear", "DequantizeLinear"} <= set(limits.elements)
        assert "DynamicQuantizeLinear" not in limits.elements
        assert set().union(*limits.elements.values()) == {
            *("float32", "float16", "bfloat16", "int64", "int32", "int8", "uint8", "bool")
        }
    assert load_profile("jetson").gpu == load_profile("jetson-orin-nano").gpu


def test_a_task_may_have_a_format_of_its_own() -> None:
    jetson = load_profile("jetson")
    assert (jetson.format_for("segment"), jetson.format_for("generate_text")) == ("onnx", "pte")
    board = (
        BOARD.replace('formats = ["pte"]', 'formats = ["pte", "tflite"]')
        + '\n[preferred_formats]\nsegment = "tflite"\n'
    )
    assert parse_profile(board, "board.toml").format_for("segment") == "tflite"
    assert "key 'preferred_formats' has 'tflite' for segment, which formats lacks" in complaint(
        '["pte", "tflite"]', '["pte"]', board
    )
    assert "make it a table, written [preferred_formats]" in complaint('segment = "tflite"', "segment = 1", board)


def test_whole_numbers_do_for_figures() -> None:
    clock = parse_profile(BOARD.replace("clock_ghz = 1.8", "clock_ghz = 2"), "board.toml").cpu.clock_ghz
    assert isinstance(clock, float)
    assert math.isclose(clock, 2.0)


def test_import_and_listing_need_no_torch_or_numpy() -> None:
    code = (
        "import sys; import edgekit.devices.profile as p; p.list_profiles(); "
        "print(sorted({'torch', 'numpy', 'executorch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
