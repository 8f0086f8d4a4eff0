"""OPT against transformers' own, on weights that transformers saved."""

import json
from dataclasses import replace

import pytest
import torch

from edgekit.errors import EdgekitError
from edgekit.models.sea_opt.checkpoint import load_checkpoint
from edgekit.models.sea_opt.config import VARIANTS, OPTConfig, sea_config
from edgekit.models.sea_opt.opt import OPT

from .conftest import SMALL, SMALL_SEA

#: Layer normalisation before and after, word embeddings of the layers' width and of another.
SHAPES = {
    "pre": {"word_embed_proj_dim": 48, "do_layer_norm_before": True},
    "post": {"word_embed_proj_dim": 32, "do_layer_norm_before": False},
}


@pytest.fixture(scope="module", params=SHAPES)
def theirs(request):
    """A small OPT of transformers with random weights of a size that matters."""
    transformers = pytest.importorskip("transformers", reason="compares with transformers, which is not installed")
    config = transformers.OPTConfig(
        vocab_size=97,
        hidden_size=48,
        ffn_dim=80,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=64,
        **SHAPES[request.param],
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = transformers.OPTForCausalLM(config).eval().requires_grad_(False)
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return model


@pytest.mark.parametrize("kind", ["safetensors", "sharded", "bin", "sharded bin"])
def test_logits_are_transformers_own(theirs, tmp_path, kind):
    if "bin" in kind:
        save_bin(theirs, tmp_path, shards=2 if "sharded" in kind else 1)
    else:
        theirs.save_pretrained(tmp_path, max_shard_size="30KB" if kind == "sharded" else "1GB")
    names = {path.name for path in tmp_path.iterdir()}
    assert ("model.safetensors" if kind == "safetensors" else f"{'pytorch_' * ('bin' in kind)}model") in " ".join(names)
    assert any(name.endswith(".index.json") for name in names) == ("sharded" in kind)
    module = load_checkpoint(tmp_path).module
    tokens = torch.randint(0, 97, (2, 64), generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(module(tokens), theirs(tokens).logits, atol=1e-4, rtol=0)


def test_a_folders_own_tokenizer_goes_into_the_bundle(theirs, tmp_path):
    import transformers

    from edgekit.models.sea_opt.data import token_stream
    from edgekit.models.sea_opt.model import SEAOPTModel
    from edgekit.tokenizer import Tokenizer

    words = ["</s>", *map(chr, range(33, 127)), "Ġ"]
    (tmp_path / "vocab.json").write_text(json.dumps({word: id for id, word in enumerate(words)}))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    config = {"tokenizer_class": "GPT2Tokenizer", "add_bos_token": True, "bos_token": "</s>"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    theirs.save_pretrained(tmp_path)
    model = SEAOPTModel(load_checkpoint(tmp_path))
    assert model.pipeline()["begin"] == 0
    wanted = transformers.AutoTokenizer.from_pretrained(tmp_path)("the red cat")["input_ids"]
    stored = Tokenizer.from_json(model.files()["tokenizer.json"].decode(), "here")
    assert token_stream(stored, ["the ", "red cat"]).tolist() == wanted
    assert wanted[0] == 0


def save_bin(model, folder, shards):
    """As older versions of transformers saved, with the head in it."""
    model.config.save_pretrained(folder)
    tensors = model.state_dict()
    assert "lm_head.weight" in tensors
    names = sorted(tensors)
    parts = [names[place::shards] for place in range(shards)]
    files = [f"pytorch_model-{place}.bin" if shards > 1 else "pytorch_model.bin" for place in range(shards)]
    for file, part in zip(files, parts, strict=True):
        torch.save({name: tensors[name] for name in part}, folder / file)
    if shards > 1:
        places = {name: file for file, part in zip(files, parts, strict=True) for name in part}
        (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": places}))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("sea", [None, SMALL_SEA])
def test_any_cut_gives_the_whole(build, sea, shape):
    module = build(replace(SMALL, **SHAPES[shape]), sea)
    tokens = torch.randint(0, 97, (96,), generator=torch.Generator().manual_seed(1))
    whole = module(tokens[None])[0]
    for cuts in ((96,), (1,) * 96, (50, 1, 1, 44)):
        state = module.new_state(96)
        logits = torch.cat([module.extend(part, state) for part in tokens.split(cuts)])
        assert state.length == 96
        torch.testing.assert_close(logits, whole, atol=2e-5, rtol=1e-5)


def test_more_tokens_than_there_is_room_for(build):
    module = build()
    state = module.new_state(10)
    module.extend(torch.zeros(8, dtype=torch.int64), state)
    for count in (0, 3):
        with pytest.raises(EdgekitError, match=f"{count} tokens after 8: give 1 or more, and at most 10 in all"):
            module.extend(torch.zeros(count, dtype=torch.int64), state)
    for wrong in (-1, 97):
        with pytest.raises(EdgekitError, match="the vocabulary has 0 to 96"):
            module.extend(torch.tensor([wrong]), state)
    assert state.length == 8
    with pytest.raises(EdgekitError, match="97 tokens, the model was trained for at most 96"):
        module(torch.zeros(1, 97, dtype=torch.int64))
    with pytest.raises(EdgekitError, match="capacity is 97"):
        module.new_state(97)


@pytest.mark.parametrize("variant", VARIANTS)
def test_parameters_of_every_variant(variant):
    config = VARIANTS[variant]
    sea = sea_config(config)
    with torch.device("meta"):
        dense, sparse = OPT(config), OPT(config, sea)
    assert sum(parameter.numel() for parameter in dense.parameters()) == config.parameters()
    added = config.num_hidden_layers * sea.parameters(config.num_attention_heads, config.head_size)
    assert sum(parameter.numel() for parameter in sparse.parameters()) == config.parameters() + added


def test_published_sizes():
    millions = {variant: round(VARIANTS[variant].parameters() / 1e6) for variant in VARIANTS if variant != "base"}
    assert millions == {"125m": 125, "350m": 331, "1.3b": 1316, "2.7b": 2652}
    assert sea_config(VARIANTS["125m"]).features == 33


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"model_type": "gpt2"}, "model_type is 'gpt2', only 'opt'"),
        ({"hidden_size": 50}, "multiple of the 4 heads"),
        ({"activation_function": "gelu"}, "activation_function is 'gelu'"),
        ({"num_hidden_layers": "two"}, "num_hidden_layers must be a whole number"),
        ({"ffn_dim": None}, "ffn_dim must be a whole number"),
    ],
)
def test_configurations_that_are_no_opt(change, says):
    values = {"model_type": "opt"} | OPTConfig().to_dict()
    assert OPTConfig.from_hf(values) == OPTConfig()
    with pytest.raises(EdgekitError, match=says):
        OPTConfig.from_hf(values | change)
    with pytest.raises(EdgekitError, match="lacks 'vocab_size'"):
        OPTConfig.from_hf({name: value for name, value in values.items() if name != "vocab_size"})
