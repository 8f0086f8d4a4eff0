"""Checkpoints: read back as written, and one clear sentence for each that does not fit."""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from edgekit.errors import EdgekitError, UsageError
from edgekit.models.rpcanet.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from edgekit.models.rpcanet.config import VARIANTS, RPCANetConfig
from edgekit.models.rpcanet.module import RPCANet


@pytest.fixture(scope="module")
def states() -> dict[str, dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    return {variant: RPCANet(VARIANTS[variant]).state_dict() for variant in ("s1", "s2", "v1")}


def refused(path: Path, *words: str, variant: str | None = None, kind: type[EdgekitError] = EdgekitError) -> None:
    with pytest.raises(kind) as caught:
        load_checkpoint(path, variant)
    message = str(caught.value)
    assert "\n" not in message
    for word in (path.name, *words):
        assert word in message


@pytest.mark.parametrize("suffix", [".pkl", ".pth", ".safetensors"])
@pytest.mark.parametrize("variant", [None, "s1"])
def test_authors_files(tmp_path, states, suffix: str, variant: str | None):
    path = tmp_path / f"official{suffix}"
    if suffix == ".safetensors":
        save_file(states["s1"], path)
    else:
        torch.save(OrderedDict(states["s1"]), path)
    checkpoint = load_checkpoint(path, variant)
    assert checkpoint.variant == "s1"
    assert checkpoint.training == {}
    assert not checkpoint.module.training
    for name, value in checkpoint.module.state_dict().items():
        assert torch.equal(value, states["s1"][name])


def test_our_files(tmp_path, build):
    for config, variant in ((VARIANTS["s2"], "s2"), (RPCANetConfig(1, True, 8, 5), "custom")):
        module = build(config)
        path = tmp_path / f"{variant}.safetensors"
        save_checkpoint(Checkpoint(module, variant, {"data": "SIRST", "epoch": 7}), path)
        again = load_checkpoint(path)
        assert again.variant == variant
        assert again.module.config == config
        assert again.training == {"data": "SIRST", "epoch": 7}
        image = torch.rand(1, 1, 16, 16)
        assert torch.equal(again.module(image), module(image))
        first = path.read_bytes()
        save_checkpoint(again, path)
        assert path.read_bytes() == first


def test_half_precision_is_read_as_float32(tmp_path, states):
    halved = {name: value.half() if value.is_floating_point() else value for name, value in states["s1"].items()}
    torch.save(halved, tmp_path / "half.pth")
    module = load_checkpoint(tmp_path / "half.pth").module
    assert {value.dtype for value in module.state_dict().values()} == {torch.float32, torch.int64}


@pytest.mark.parametrize(
    ("held", "asked", "tensor"),
    [
        ("v1", "s2", "decos.0.lowrank.conv1_C.0.weight"),
        ("s2", "v1", "decos.0.lowrank.convs.0.weight"),
        ("s2", "s1", "decos.1."),
        ("s1", "s2", "decos.1."),
    ],
)
def test_another_variant(tmp_path, states, held: str, asked: str, tensor: str):
    torch.save(states[held], tmp_path / "other.pkl")
    refused(tmp_path / "other.pkl", tensor, f"(variant '{held}')", variant=asked)


def test_another_variant_of_ours(tmp_path, build):
    save_checkpoint(Checkpoint(build(VARIANTS["s1"]), "s1", {}), tmp_path / "s1.safetensors")
    refused(tmp_path / "s1.safetensors", "(variant 's1')", "not variant 's2'", variant="s2")


def test_number_of_stages_without_a_name(tmp_path, states):
    more = dict(states["s2"])
    more |= {name.replace("decos.1.", f"decos.{stage}."): value for name, value in more.items() for stage in (2, 3)}
    torch.save(more, tmp_path / "s4.pth")
    refused(tmp_path / "s4.pth", "RPCANet++ with 4 stages", "s1, s2, s3, s6, s9, v1")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: state.pop("decos.0.sparse.epsilon"), ("lacks", "'decos.0.sparse.epsilon'")),
        (lambda state: state.update({"decos.0.x": torch.zeros(1)}), ("unknown", "'decos.0.x'")),
        (
            lambda state: state.update({"decos.0.sparse.epsilon": torch.zeros(2)}),
            ("'decos.0.sparse.epsilon'", "(2,)", "(1,)"),
        ),
        (
            lambda state: state.update({"decos.0.sparse.epsilon": torch.zeros(1, dtype=torch.int32)}),
            ("int32", "float32"),
        ),
        (
            lambda state: state.update({"decos.0.sparse.epsilon": torch.tensor([float("nan")])}),
            ("'decos.0.sparse.epsilon'", "not finite"),
        ),
    ],
)
def test_tensors_that_do_not_fit(tmp_path, states, change, words: tuple[str, ...]):
    state = dict(states["s1"])
    change(state)
    torch.save(state, tmp_path / "odd.pkl")
    refused(tmp_path / "odd.pkl", *words)
    save_file(state, tmp_path / "odd.safetensors")
    refused(tmp_path / "odd.safetensors", *words)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_cut_short(tmp_path, states, share: float):
    for suffix in (".pkl", ".safetensors"):
        path = tmp_path / f"cut{suffix}"
        torch.save(states["s1"], path) if suffix == ".pkl" else save_file(states["s1"], path)
        path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
        refused(path, "cut short")


def test_code_is_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"decos.0.x": Evil()}, tmp_path / "evil.pkl")
    refused(tmp_path / "evil.pkl", "more than tensors")
    assert not (tmp_path / "ran").exists()


def test_other_contents(tmp_path):
    torch.save([torch.zeros(1)], tmp_path / "list.pkl")
    refused(tmp_path / "list.pkl", "state dict")
    torch.save({"state_dict": {"a": torch.zeros(1)}}, tmp_path / "nested.pkl")
    refused(tmp_path / "nested.pkl", "state dict")
    torch.save({"fc.weight": torch.zeros(1)}, tmp_path / "mlp.pkl")
    refused(tmp_path / "mlp.pkl", "not an RPCANet's", "'fc.weight'")
    torch.save({}, tmp_path / "nothing.pkl")
    refused(tmp_path / "nothing.pkl", "not an RPCANet's")
    refused(tmp_path / "absent.pkl", "there is no checkpoint", kind=UsageError)
    (tmp_path / "weights.onnx").touch()
    refused(tmp_path / "weights.onnx", ".safetensors", kind=UsageError)


@pytest.mark.parametrize(
    "header",
    ["{}", "[]", "no", '{"format": "edgekit stackvae-g 1", "training": {}}', '{"format": "edgekit rpcanet 1"}'],
)
def test_headers_of_others(tmp_path, states, header: str):
    save_file(states["s1"], tmp_path / "other.safetensors", metadata={"edgekit": header})
    refused(tmp_path / "other.safetensors", "not an RPCANet checkpoint of this version")


@pytest.mark.parametrize("config", [None, {}, {"stages": 1}, VARIANTS["s1"].to_dict() | {"stages": 10**9}])
def test_headers_with_odd_shapes(tmp_path, states, config: object):
    header = {"format": "edgekit rpcanet 1", "training": {}, "config": config}
    save_file(states["s1"], tmp_path / "odd.safetensors", metadata={"edgekit": json.dumps(header)})
    with pytest.raises(EdgekitError, match=re.compile("configuration|stages")):
        load_checkpoint(tmp_path / "odd.safetensors")
