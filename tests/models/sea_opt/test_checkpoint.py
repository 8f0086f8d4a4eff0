"""Checkpoints: ours read back as written, the authors' names, and one clear sentence for each that does not fit."""

import json
import sys
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from edgekit.errors import EdgekitError, UsageError
from edgekit.models.sea_opt import huggingface
from edgekit.models.sea_opt.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from edgekit.models.sea_opt.weights import ESTIMATOR
from edgekit.tokenizer import Tokenizer

from .conftest import SMALL

LAYER = "model.decoder.layers.0"


@pytest.fixture
def folder(build, tmp_path):
    """Writes a folder as transformers does: `folder(tensors)`; without tensors those of a small dense OPT."""

    def write(tensors=None, module=None):
        module = module or build(sea=None)
        path = tmp_path / "opt"
        path.mkdir()
        (path / "config.json").write_text(json.dumps({"model_type": "opt"} | module.config.to_dict()))
        torch.save(tensors or module.state_dict(), path / "pytorch_model.bin")
        return path

    return write


def refused(path, *words, kind=EdgekitError):
    with pytest.raises(kind) as caught:
        load_checkpoint(path)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message


@pytest.mark.parametrize("sea", [True, False])
def test_our_file(build, tmp_path, sea):
    config = replace(SMALL, vocab_size=300)
    module = build(config) if sea else build(config, None)
    tokenizer = Tokenizer.train(["to be or not to be"], 300)
    path = tmp_path / "model.safetensors"
    save_checkpoint(Checkpoint(module, tokenizer, {"data": "words", "steps": 7}), path)
    again = load_checkpoint(path)
    assert (again.module.config, again.module.sea) == (module.config, module.sea)
    assert again.training == {"data": "words", "steps": 7}
    assert again.tokenizer.decode(again.tokenizer.encode("not to be")) == "not to be"
    assert not again.module.training
    for name, value in again.module.state_dict().items():
        assert torch.equal(value, module.state_dict()[name].half().float())
    tokens = torch.arange(90)[None]
    torch.testing.assert_close(again.module(tokens), module(tokens), atol=0.2, rtol=0.1)
    first = path.read_bytes()
    save_checkpoint(again, path)
    assert path.read_bytes() == first


def as_the_authors_save(module):
    """The state dict of the authors' class: further places, masked taps, parameters that nobody uses."""
    tensors = {}
    for name, value in module.state_dict().items():
        name = name.replace("predictor_enc.1.", "predictor_enc.3.").replace("predictor_enc.0.", "predictor_enc.1.")
        if name.endswith(("net.0.module.weight", "net.2.module.weight")):
            value = torch.cat([value, torch.full_like(value[:, :, :2], 7.0)], dim=2)
            tensors[name.replace("weight", "weight_mask")] = torch.ones(1)
        tensors[name] = value
    for layer in range(module.config.num_hidden_layers):
        own = f"model.decoder.layers.{layer}{ESTIMATOR}"
        for unused in ("norm.weight", "norm_performer.bias", "v_eye_learned", "attention_predictor_enc_head_embd"):
            tensors[own + unused] = torch.ones(3)
        tensors[f"{own}query_lora.lora_a"] = torch.ones(3)
        tensors[f"model.decoder.layers.{layer}.self_attn.perlin_out_lora.lora_a"] = torch.ones(3)
    return tensors | {"lm_head.weight": tensors["model.decoder.embed_tokens.weight"]}


def test_the_authors_checkpoint(build, folder):
    module = build()
    loaded = load_checkpoint(folder(as_the_authors_save(module), module)).module
    assert loaded.sea.to_dict() == module.sea.to_dict() | {"k_budget": 64}
    loaded.set_k_budget(module.sea.k_budget)
    tokens = torch.arange(90)[None]
    assert torch.equal(loaded(tokens), module(tokens))


def test_names_of_the_bare_decoder_and_half_precision(build, folder):
    module = build(sea=None)
    tensors = {name.removeprefix("model."): value.half() for name, value in module.state_dict().items()}
    loaded = load_checkpoint(folder(tensors)).module
    assert {value.dtype for value in loaded.state_dict().values()} == {torch.float32}


def without(tensors, name):
    return {other: value for other, value in tensors.items() if other != name}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: without(t, f"{LAYER}.fc1.bias"), ("lacks", f"{LAYER}.fc1.bias")),
        (lambda t: without(t, f"{LAYER}{ESTIMATOR}attention_predictor_cnn.0.module.bias"), ("lacks", "cnn.0.module")),
        (lambda t: without(t, f"{LAYER}{ESTIMATOR}v_eye_learned_causal"), ("lacks", "v_eye_learned_causal")),
        (lambda t: t | {f"{LAYER}.fc3.bias": torch.ones(3)}, ("unknown", f"{LAYER}.fc3.bias")),
        (lambda t: t | {f"{LAYER}{ESTIMATOR}gate.weight": torch.ones(3)}, ("unknown", "gate.weight")),
        (lambda t: t | {f"{LAYER}.fc1.bias": torch.ones(3)}, (f"{LAYER}.fc1.bias", "(3,)", "(80,)")),
        (lambda t: t | {f"{LAYER}.fc1.bias": torch.ones(80).long()}, (f"{LAYER}.fc1.bias", "int64")),
        (
            lambda t: t | {f"{LAYER}.fc1.bias": torch.full((80,), torch.nan)},
            (f"{LAYER}.fc1.bias", "take an earlier"),
        ),
        (lambda t: t | {"lm_head.weight": torch.zeros(97, 48)}, ("lm_head.weight", "word embedding")),
        (lambda t: {"config": "words"}, ("holds no state dict",)),
    ],
)
def test_tensors_that_do_not_fit(build, folder, change, words):
    module = build()
    path = folder(change(module.state_dict()), module)
    refused(path, str(path), *words)


def test_files_that_do_not_fit(build, folder, tmp_path, monkeypatch):
    path = folder()
    weights = path / "pytorch_model.bin"
    kept = weights.read_bytes()
    weights.write_bytes(kept[: len(kept) // 2])
    refused(path, "pytorch_model.bin", "cut short")
    weights.unlink()
    refused(path, "has no weights")
    index = path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "part-1.safetensors"}}))
    refused(path, "part-1.safetensors", "copy all files")
    index.write_text(json.dumps({"weight_map": {"a": "../../part-1.safetensors"}}))
    refused(path, "no weight_map")
    (path / "config.json").write_text('{\n"hidden_size": ,}')
    refused(path, "config.json is no JSON (line 2, column 16: Expecting value)")
    (path / "config.json").write_text('{"model_type": "gpt2"}')
    refused(path, f"{path / 'config.json'}: OPT: model_type is 'gpt2'")
    (path / "config.json").write_text("[]")
    refused(path, "config.json holds no JSON object")
    (path / "config.json").write_bytes(b"\xff{")
    refused(path, "config.json cannot be read")
    (path / "config.json").unlink()
    refused(path, "has no config.json")
    refused(tmp_path / "absent", "there is no checkpoint", kind=UsageError)
    other = tmp_path / "other.safetensors"
    save_file({"a": torch.ones(2)}, other)
    refused(other, "not a SEA-OPT checkpoint")
    other.write_bytes(b"abc")
    refused(other, "not a safetensors file")


def test_a_hub_that_cannot_be_reached(monkeypatch):
    hub = pytest.importorskip("huggingface_hub", reason="the error of a hub without the package is another")

    def fail(*arguments, **keywords):
        raise OSError("no network")

    monkeypatch.setattr(hub, "snapshot_download", fail)
    with pytest.raises(EdgekitError, match="facebook/opt-125m is no folder here and could not be fetched"):
        huggingface.download("facebook/opt-125m")


def test_a_hub_without_its_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UsageError, match="pip install huggingface_hub"):
        huggingface.download("facebook/opt-125m")


def test_a_module_without_a_table_long_enough(build):
    from edgekit.models.sea_opt.config import SEAConfig

    with pytest.raises(EdgekitError, match="50 positions, OPT 96"):
        build(sea=SEAConfig(16, 8, 5, 50))
    with pytest.raises(EdgekitError, match="power of two"):
        SEAConfig(cells=96)
