"""What the tests share: real data, bundles that are exported once, the command line in process.

Nothing here is made before a test asks for it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from . import machines
from .machines import EmulatedDevice, missing


def pytest_configure(config: pytest.Config) -> None:
    """torch.export traces to the debug log: thousands of lines, shown for every failed test."""
    config.option.log_level = config.option.log_level or "INFO"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked `gpu` are skipped where torch has no GPU; torch is imported only where there are some."""
    marked = [item for item in items if item.get_closest_marker("gpu") is not None]
    if not marked:
        return
    import torch

    if not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="needs an NVIDIA GPU and a build of torch for CUDA"))


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of the real data sets."""
    places = [Path(os.environ["EDGEKIT_DATA"])] if "EDGEKIT_DATA" in os.environ else []
    places.append(Path(__file__).parents[2] / "shared" / "data")
    for place in places:
        if place.is_dir():
            return place
    pytest.skip(f"no real data: set EDGEKIT_DATA to its folder (looked in {', '.join(map(str, places))})")


class Result(NamedTuple):
    """What a command line gave."""

    code: int
    out: str
    err: str


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Runs a command line in this process: `cli("export", "--device", "jetson")`."""
    from edgekit.cli.main import run

    def call(*arguments: object) -> Result:
        capfd.readouterr()
        code = run([str(argument) for argument in arguments])
        return Result(code, *capfd.readouterr())

    return call


def _run(*arguments: object) -> None:
    """A command that must succeed, without the real data: models then use their generators."""
    from edgekit.cli.main import run

    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("EDGEKIT_DATA", raising=False)
        assert run([str(argument) for argument in arguments]) == 0


def _export(folder: Path, *arguments: object, model: str = "stackvae-g", device: str = "linux-x86_64") -> Path:
    """A bundle; with the runner only where it is for another machine, as tests copy it there."""
    native = ("--no-native",) if device == "linux-x86_64" else ()
    _run("export", model, "--device", device, "-q", "-o", folder, *native, *arguments)
    (bundle,) = folder.iterdir()
    return bundle


@pytest.fixture(scope="session")
def fp32_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """StackVAE-G as it ships, fp32, for linux-x86_64."""
    return _export(tmp_path_factory.mktemp("fp32"), "--recipe", "fp32")


@pytest.fixture(scope="session")
def int8_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """StackVAE-G as it ships, int8, for linux-x86_64."""
    return _export(tmp_path_factory.mktemp("int8"), "--recipe", "int8")


@pytest.fixture(scope="session")
def pump_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labelled telemetry of a made-up pump, `pump.npz`: 600 rows to train on, 500 to test on, 5 channels."""
    from edgekit.models.stackvae_g.generator import default_statistics, generate_telemetry

    statistics = default_statistics(5, seed=3)
    test = generate_telemetry(statistics, 500, seed=2, faults=4)
    path = tmp_path_factory.mktemp("data") / "pump.npz"
    np.savez(path, train=generate_telemetry(statistics, 600, seed=1).values, test=test.values, label=test.labels)
    return path


@pytest.fixture(scope="session")
def pump_checkpoint(pump_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small StackVAE-G of the pump: 5 channels, windows of 16 rows."""
    path = tmp_path_factory.mktemp("checkpoint") / "pump.safetensors"
    sizes = [word for setting in ("window=16", "hidden=8", "latent=4") for word in ("--set", setting)]
    _run("train", "stackvae-g", "--data", pump_data, "-o", path, "--epochs", 100, "-q", *sizes)
    return path


@pytest.fixture(scope="session")
def pump_bundle(pump_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pump's checkpoint as an fp32 bundle, with methods for batches of 1 and 8."""
    batches = ("--batch", 1, "--batch", 8)
    return _export(tmp_path_factory.mktemp("pump"), "--recipe", "fp32", "--checkpoint", pump_checkpoint, *batches)


@pytest.fixture(scope="session")
def frames_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generated infrared frames in SIRST's layout, `frames`: 12 to train on and 4 to test on, of 64x48."""
    from edgekit.models.rpcanet.generator import generate_frames, write_dataset

    folder = tmp_path_factory.mktemp("frames") / "frames"
    frames = generate_frames(16, (64, 48), seed=3)
    write_dataset(folder, frames[:12], frames[12:])
    return folder


def _rpcanet(path: Path, shape: tuple[int, bool, int, int]) -> Path:
    """A small RPCANet with random weights whose logits cross the threshold, saved."""
    import torch

    from edgekit.models.rpcanet.checkpoint import Checkpoint, save_checkpoint
    from edgekit.models.rpcanet.config import RPCANetConfig
    from edgekit.models.rpcanet.generator import generate_frames
    from edgekit.models.rpcanet.module import Objects, RPCANet

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        module = RPCANet(RPCANetConfig(*shape)).eval().requires_grad_(False)
        for part in module.modules():
            if isinstance(part, torch.nn.BatchNorm2d):
                part.running_mean.normal_(0, 0.3)
                part.running_var.uniform_(0.5, 2)
            if isinstance(part, Objects):
                part.epsilon.fill_(0.3)
        # The last bias puts about a tenth of the pixels of a frame above 0.
        image = torch.from_numpy(generate_frames(1, (64, 48), seed=9)[0].image)[None, None]
        last = module.stage(-1).sparse
        last.convs[-1].bias += module(image).quantile(0.9) / last.epsilon
    save_checkpoint(Checkpoint(module, "custom", {"data": "nothing"}), path)
    return path


@pytest.fixture(scope="session")
def plus_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small RPCANet++ of 2 stages and 8 channels with random weights: it pools over the whole frame."""
    return _rpcanet(tmp_path_factory.mktemp("plus") / "plus.safetensors", (2, True, 8, 5))


@pytest.fixture(scope="session")
def local_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small RPCANet (v1) of 1 stage and 4 channels with random weights: a pixel depends on 13 around it."""
    return _rpcanet(tmp_path_factory.mktemp("local") / "local.safetensors", (1, False, 4, 17))


@pytest.fixture(scope="session")
def v1_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The authors' RPCANet (v1, 6 stages of 32 channels) with random weights; none ships."""
    return _rpcanet(tmp_path_factory.mktemp("v1") / "v1.safetensors", (6, False, 32, 17))


@pytest.fixture(scope="session")
def plus_bundle(plus_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`plus_checkpoint` in fp32 for frames of 48x64, with the outputs of every stage."""
    options = ("--recipe", "fp32", "--checkpoint", plus_checkpoint, "--set", "stage_outputs=true", "--size", "48x64")
    return _export(tmp_path_factory.mktemp("plus"), *options, model="rpcanet")


@pytest.fixture(scope="session")
def local_bundle(local_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`local_checkpoint` in fp32 for frames of 40x48 and 64x56, one at a time or three."""
    shapes = ("--size", "40x48", "--size", "64x56", "--batch", 1, "--batch", 3)
    options = ("--recipe", "fp32", "--checkpoint", local_checkpoint, *shapes)
    return _export(tmp_path_factory.mktemp("local"), *options, model="rpcanet")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with room for 256 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "edgekit-test", str(folder)]
    if shutil.which("mount") is None:
        pytest.skip("a full disk needs the command mount")
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"a full disk needs the right to mount a tmpfs: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def copy_of(tmp_path: Path) -> Callable[[Path], Path]:
    """Copies a bundle for a test that damages it."""

    def copy(bundle: Path) -> Path:
        return Path(shutil.copytree(bundle, tmp_path / "copies" / bundle.name))

    return copy


@pytest.fixture
def resealed(copy_of: Callable[[Path], Path]) -> Callable[..., Path]:
    """Copies a bundle, lets a function change its folder and its manifest's fields, and seals it again."""
    from edgekit import manifest
    from edgekit.bundle import seal

    def reseal(bundle: Path, change: Callable[[Path, dict[str, Any]], object]) -> Path:
        copy = copy_of(bundle)
        fields = manifest.load(copy)
        change(copy, fields)
        seal(copy, fields)
        return copy

    return reseal


@pytest.fixture(scope="session")
def text_checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two small language models of random weights: `sea.safetensors` and `dense.safetensors`.

    2 layers, 4 heads of 16, 300 tokens, a context of 96, k = 8.
    """
    import torch

    from edgekit.models.sea_opt.checkpoint import Checkpoint, save_checkpoint
    from edgekit.models.sea_opt.config import OPTConfig, SEAConfig
    from edgekit.models.sea_opt.opt import OPT
    from edgekit.tokenizer import Tokenizer

    folder = tmp_path_factory.mktemp("text")
    tokenizer = Tokenizer.train(["the red cat sees the old house, the tall dog likes a tree. " * 9], 300)
    config = OPTConfig(300, 64, 80, 2, 4, 96, 64)
    for name, sea in (("sea", SEAConfig(cells=16, k_budget=8, features=5, positions=96)), ("dense", None)):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            module = OPT(config, sea).eval().requires_grad_(False)
            for parameter in module.parameters():
                parameter += 0.1 * torch.randn_like(parameter)
        save_checkpoint(Checkpoint(module, tokenizer, {"data": "nothing"}), folder / f"{name}.safetensors")
    return folder


@pytest.fixture(scope="session")
def text_bundle(text_checkpoints: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small language model with SEA's attention as an fp32 bundle, chunks of 16 tokens, with attention maps."""
    settings = ("--set", "chunk=16", "--set", "attention_maps=true")
    folder, checkpoint = tmp_path_factory.mktemp("sea"), text_checkpoints / "sea.safetensors"
    return _export(folder, "--recipe", "fp32", "--checkpoint", checkpoint, *settings, model="sea-opt")


@pytest.fixture(scope="session")
def small_dictionary(text_checkpoints: Path) -> Path:
    """Of the small language model with SEA's attention: 12 made-up features of each of its two layers, in a file beside
    it; feature 7 of layer 2 was not calibrated."""
    from dataclasses import replace

    from edgekit.models.features.dictionary import fingerprint, save_dictionary, with_features
    from edgekit.models.sea_opt.checkpoint import load_checkpoint

    from .made_explanation import made_dictionary

    module = load_checkpoint(text_checkpoints / "sea.safetensors").module
    made = made_dictionary((1, 2), 12, module.config.ffn_dim)
    first, second = made.layers
    features = [replace(one, steering=() if place == 7 else one.steering) for place, one in enumerate(second.features)]
    path = text_checkpoints / "small.dictionary.safetensors"
    layers = (first, with_features(second, features))
    save_dictionary(replace(made, model_sha256=fingerprint(module), layers=layers), path)
    return path


@pytest.fixture(scope="session")
def explained_bundle(text_checkpoints: Path, small_dictionary: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model as `text_bundle` has, with a dictionary, of which three features are shown."""
    settings = ("--set", "chunk=16", "--set", f"dictionary={small_dictionary}", "--set", "shown=3")
    folder, checkpoint = tmp_path_factory.mktemp("explained"), text_checkpoints / "sea.safetensors"
    return _export(folder, "--recipe", "fp32", "--checkpoint", checkpoint, *settings, model="sea-opt")


@pytest.fixture(scope="session")
def shipped_text_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SEA-OPT as it ships, fp32, for a Jetson: the program is the same for every device."""
    folder = tmp_path_factory.mktemp("shipped")
    return _export(folder, "--recipe", "fp32", model="sea-opt", device="jetson-orin-nano")


@pytest.fixture(scope="session")
def wide_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two fp32 linear layers of 1024 by 1024, for 1 row and for 256: all of it is XNNPACK's."""
    import torch

    import edgekit

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = torch.nn.Sequential(torch.nn.Linear(1024, 1024), torch.nn.ReLU(), torch.nn.Linear(1024, 1024)).eval()
        shapes = [(torch.rand(1, 1024),), (torch.rand(256, 1024),)]
    folder = tmp_path_factory.mktemp("wide")
    return edgekit.export_module(
        module, shapes, device="linux-x86_64", recipe="fp32", output_dir=folder, native=False
    ).path


@pytest.fixture(scope="session")
def emulated_device(tmp_path_factory: pytest.TempPathFactory) -> EmulatedDevice:
    """An arm64 device in an emulator."""
    if reason := missing():
        pytest.skip(reason)
    return EmulatedDevice(tmp_path_factory.mktemp("device"))


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], machines.Machine]:
    """The native test programs on a machine of `machines.py`, by its name; each is built when it is first asked for."""
    known: dict[str, machines.Machine] = {}

    def find(name: str) -> machines.Machine:
        if name not in known:
            known[name] = getattr(machines, name)(tmp_path_factory.mktemp(name))
        return known[name]

    return find


@pytest.fixture(scope="session", params=["x86_64", pytest.param("aarch64", marks=pytest.mark.slow)])
def edgekit_run(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the runner from a folder with nothing but the native files."""
    from edgekit.export.native_files import native_files

    emulator: tuple[str, ...] = ()
    if request.param == "aarch64":
        emulator = request.getfixturevalue("emulated_device").emulator
    folder = tmp_path_factory.mktemp(request.param)
    for name, path in native_files(request.param).items():
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(path, folder / name)
    (folder / "edgekit-run").chmod(0o755)

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [*emulator, str(folder / "edgekit-run"), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env={})

    return run


@pytest.fixture(scope="session")
def native_bundle(fp32_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`fp32_bundle` with this machine's runner and libraries, as `native`."""
    import platform

    from edgekit import manifest
    from edgekit.bundle import seal
    from edgekit.export.native_files import native_files

    copy = Path(shutil.copytree(fp32_bundle, tmp_path_factory.mktemp("with-runner") / "native"))
    for name, path in native_files(platform.machine()).items():
        (copy / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(path, copy / name)
    seal(copy, manifest.load(copy))
    return copy
