"""Makes what the fuzzers begin with: `bundles/`, three of the smallest that can be exported, and `corpus/`.

    python -m tests.fuzz.make_seeds

Everything is drawn or written out here; no data set is needed. What was found lies in `corpus/` beside the seeds.
"""

from __future__ import annotations

import io
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

HERE = Path(__file__).parent
CORPUS, BUNDLES = HERE / "corpus", HERE / "bundles"


def write(target: str, name: str, data: bytes) -> None:
    path = CORPUS / target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def run(*arguments: object) -> None:
    from edgekit.cli.main import run

    assert run([str(argument) for argument in arguments]) == 0


def make_bundles(folder: Path) -> None:
    """An anomaly detector of 3 channels, RPCANet of 4 channels for 32x32, and SEA-OPT of one layer."""
    from edgekit.models.sea_opt.checkpoint import Checkpoint, save_checkpoint
    from edgekit.models.sea_opt.config import OPTConfig, SEAConfig
    from edgekit.models.sea_opt.opt import OPT
    from edgekit.models.stackvae_g.generator import default_statistics, generate_telemetry
    from edgekit.tokenizer import Tokenizer
    from tests.conftest import _rpcanet

    statistics = default_statistics(3, seed=3)
    test = generate_telemetry(statistics, 200, seed=2, faults=2)
    train = generate_telemetry(statistics, 300, seed=1).values
    np.savez(folder / "pump.npz", train=train, test=test.values, label=test.labels)
    sizes = [word for setting in ("window=4", "hidden=4", "latent=2") for word in ("--set", setting)]
    pump = folder / "pump.safetensors"
    run("train", "stackvae-g", "--data", folder / "pump.npz", "-o", pump, "--epochs", 3, "-q", *sizes)
    export(folder, "anomalies", "stackvae-g", pump)

    export(folder, "segment", "rpcanet", _rpcanet(folder / "local.safetensors", (1, False, 4, 17)), "--size", "32x32")

    tokenizer = Tokenizer.train(["the red cat sees the old house. " * 9], 270)
    torch.manual_seed(0)
    module = OPT(OPTConfig(270, 16, 16, 1, 2, 32, 16), SEAConfig(cells=8, k_budget=4, features=3, positions=32))
    save_checkpoint(
        Checkpoint(module.eval().requires_grad_(False), tokenizer, {"data": "nothing"}), folder / "sea.safetensors"
    )
    export(folder, "text", "sea-opt", folder / "sea.safetensors", "--set", "chunk=4")


def export(folder: Path, name: str, model: str, checkpoint: Path, *options: object) -> None:
    """A bundle without samples, which are most of its bytes."""
    from edgekit import manifest
    from edgekit.bundle import seal

    common = ("--device", "linux-x86_64", "--recipe", "fp32", "-q", "--no-native", "--checkpoint", checkpoint)
    run("export", model, "-o", folder / name, *common, *options)
    (bundle,) = (folder / name).iterdir()
    (bundle / "samples.safetensors").unlink()
    seal(bundle, manifest.load(bundle))
    shutil.rmtree(BUNDLES / name, ignore_errors=True)
    shutil.copytree(bundle, BUNDLES / name)


def make_files() -> None:
    write("csv", "header.csv", b"a,b\n1,2\n3.5,-4e3\n")
    write("csv", "labels.csv", b'time,"a, 1",b\r\n2026-01-01 00:00,1,2\r\n"2026-01-01 ""1""",3,4\r\n')
    write("csv", "bare.csv", b"\xef\xbb\xbf1,True\r0,False\r\r")
    write("csv", "gaps.csv", b"a,,b,b\n1,2,nan,\n,x,1e999,0x1\n")
    for name, array in {
        "float32": np.arange(6, dtype=np.float32).reshape(3, 2),
        "float16": np.asfortranarray(np.arange(6, dtype=np.float16).reshape(2, 3)),
        "big": np.arange(4, dtype=">i8"),
        "truth": np.array([[True, False]]),
        "empty": np.zeros((0, 3)),
        "scalar": np.float64(2),
    }.items():
        file = io.BytesIO()
        np.save(file, array)
        write("npy", f"{name}.npy", file.getvalue())
    pixels = np.random.default_rng(0).integers(0, 256, (18, 17, 4)).astype(np.uint8)
    picture = Image.fromarray(pixels)
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        file = io.BytesIO()
        one = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257) if mode == "I;16" else picture.convert(mode)
        one.save(file, "png")
        write("image", f"{mode.lower().replace(';', '')}.png", file.getvalue())
    for name, mode, options in (
        ("gray", "L", {}),
        ("colour", "RGB", {"quality": 60}),
        ("progressive", "RGB", {"progressive": True, "subsampling": 2}),
    ):
        file = io.BytesIO()
        picture.convert(mode).save(file, "jpeg", **options)
        write("image", f"{name}.jpg", file.getvalue())
    for mode in ("L", "RGB"):
        file = io.BytesIO()
        picture.convert(mode).save(file, "bmp")
        write("image", f"{mode.lower()}.bmp", file.getvalue())
    steering = [[-0.5, -2.0], [0.1, 1.5]]
    layers = [
        {"layer": layer, "features": [{"label": "cats", "steering": steering}, {"label": "", "steering": []}]}
        for layer in (1, 2)
    ]
    write("features", "two.json", json.dumps({"schema": 1, "layers": layers, "other": [1, {"a": None}]}).encode())


def make_python_files(folder: Path) -> None:
    """What only Python reads: checkpoints, profiles, results."""
    for name in ("anomalies", "segment", "text"):
        write("manifest", f"{name}.json", (BUNDLES / name / "manifest.json").read_bytes())
    write("tokenizer", "small.json", (BUNDLES / "text" / "tokenizer.json").read_bytes())
    write("program_calls", "anomalies.pte", (BUNDLES / "anomalies" / "program.pte").read_bytes()[:2712])
    for name in ("pump", "local", "sea"):
        write("checkpoint", f"{name}.safetensors", (folder / f"{name}.safetensors").read_bytes())
    file = io.BytesIO()
    torch.save({"decos.0.weight": torch.ones(2, 2), "decos.0.bias": torch.zeros(2, dtype=torch.float16)}, file)
    write("pickled", "two.pth", file.getvalue())
    from edgekit.models.features.dictionary import save_dictionary
    from tests.made_explanation import made_dictionary

    save_dictionary(made_dictionary((1, 2), 3, 4), folder / "dictionary.safetensors")
    write("dictionary", "small.safetensors", (folder / "dictionary.safetensors").read_bytes())
    write("archive", "pump.npz", (folder / "pump.npz").read_bytes())
    profiles = HERE.parents[1] / "devices" / "profiles"
    for name in ("linux-x86_64", "android-arm64"):
        write("profile", f"{name}.toml", (profiles / f"{name}.toml").read_bytes())
    from tests.report.made_results import made_results

    write("results", "one.jsonl", json.dumps(made_results(1)[0]).encode() + b"\n")


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_bundles(folder)
        make_files()
        make_python_files(folder)


if __name__ == "__main__":
    main()
