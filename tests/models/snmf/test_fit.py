"""From a text to a dictionary: what is written, that it is repeatable and resumable, and what is refused."""

import json
from dataclasses import replace

import pytest
import torch

from edgekit.errors import EdgekitError, UsageError
from edgekit.models.features.dictionary import fingerprint, load_dictionary, unit_atoms
from edgekit.models.sea_opt.checkpoint import SHIPPED, load_checkpoint, save_checkpoint
from edgekit.models.shipped import shipped_or
from edgekit.models.snmf import fit as fit_module
from edgekit.models.snmf.activations import Vectors, gathered, make_windows
from edgekit.models.snmf.factorize import factorize
from edgekit.models.snmf.fit import FitRequest, fit_dictionary
from edgekit.models.snmf.hierarchy import build_levels
from edgekit.models.snmf.options import FitOptions
from edgekit.models.training import OtherRunError

TEXT = "the red cat sees the old house, the tall dog likes a tree. the old dog sees a red house. " * 40


class Quiet:
    """A progress display that remembers what was said."""

    def __init__(self):
        self.said = []

    def start(self, label, total, units="steps"):
        pass

    def step(self, note, advance=1):
        pass

    def done(self, note="done"):
        pass

    def say(self, text):
        self.said.append(text)


class Killed(Exception):  # noqa: N818
    pass


@pytest.fixture
def request_for(text_checkpoints, tmp_path):
    """A small fit of both layers of a small model: `request_for(name, **changes)` of request or options."""
    (tmp_path / "words.txt").write_text(TEXT)

    def make(name="d", checkpoint="sea", progress=None, **changes):
        given = {"features": 8, "p": 0.1, "tokens": 500, "iterations": 60, "context": 64, "levels": "4,2"}
        options = {key: changes.pop(key) for key in list(changes) if hasattr(FitOptions(), key)}
        request = FitRequest(
            checkpoint=text_checkpoints / f"{checkpoint}.safetensors",
            data=tmp_path / "words.txt",
            layers=(2, 1),
            options=FitOptions(**given | options),
            device="cpu",
            output=tmp_path / "out" / f"{name}.safetensors",
            force=False,
            command="edgekit explain fit ...",
            progress=progress or Quiet(),
        )
        request.output.parent.mkdir(exist_ok=True)
        return replace(request, **changes)

    return make


@pytest.mark.parametrize("checkpoint", ["sea", "dense"])
def test_a_dictionary_and_its_card(request_for, text_checkpoints, tmp_path, checkpoint):
    request = request_for(checkpoint=checkpoint)
    dictionary = fit_dictionary(request)
    assert {path.name for path in request.output.parent.iterdir()} == {"d.safetensors", "d.md"}
    assert load_dictionary(request.output).fit == dictionary.fit
    opened = load_checkpoint(request.checkpoint)
    dictionary.check_model(opened.module, "it")
    assert [layer.layer for layer in dictionary.layers] == [1, 2]
    assert (dictionary.count, dictionary.width) == (8, 80)

    windows = make_windows(opened.tokenizer, [TEXT], 64, 500)
    with gathered(opened.module, windows, [1, 2], tmp_path / "file") as found:
        for layer in dictionary.layers:
            factors = factorize(Vectors(found.values[layer.layer]), request.options)
            assert torch.equal(layer.atoms, unit_atoms(factors.atoms.half().float())[0])
            means = torch.tensor([feature.mean for feature in layer.features])
            assert torch.allclose(means, factors.coefficients.mean(0), rtol=1e-4)
            # What is above the features is made of the atoms as they are loaded, not of those before rounding.
            for level, expected in zip(layer.levels, build_levels(layer.atoms, request.options), strict=True):
                assert torch.equal(level, expected.weights)
            assert [tuple(level.shape) for level in layer.levels] == [(4, 8), (2, 4)]
            assert all(all(labels) for labels in layer.level_labels)
            assert all(feature.label and feature.tokens and feature.steering for feature in layer.features)

    card = request.output.with_suffix(".md").read_text()
    for words in (
        "`edgekit explain fit ...`",
        "words.txt: 500 tokens in windows of 64 tokens",
        "k = 8",
        "10 % of 80",
        "## Layer 2",
    ):
        assert words in card
    assert str(tmp_path) not in card
    assert str(tmp_path) not in str(dictionary.fit)


def test_the_same_request_gives_the_same_bytes_and_kills_do_not_matter(request_for, monkeypatch):
    whole = request_for("whole")
    fit_dictionary(whole)
    count = 0

    def kill(*arguments, **keywords):
        """Once in each layer, after its state was kept."""
        report = keywords["on_iteration"]

        def on_iteration(found):
            nonlocal count
            count += 1
            if count in (55, 70):
                raise Killed
            report(found)

        return factorize(*arguments, **keywords | {"on_iteration": on_iteration})

    monkeypatch.setattr(fit_module, "factorize", kill)
    progress = Quiet()
    killed = request_for("killed", progress=progress)
    for _ in range(2):
        with pytest.raises(Killed):
            fit_dictionary(killed)
        assert not killed.output.exists()
        assert {path.suffix for path in killed.output.parent.iterdir() if "killed" in path.name} <= {".state"}
    fit_dictionary(killed)
    assert any("Layer 1 goes on after iteration 50" in line for line in progress.said)
    assert killed.output.read_bytes() == whole.output.read_bytes()
    assert killed.output.with_suffix(".md").read_text() == whole.output.with_suffix(".md").read_text()
    assert len(list(killed.output.parent.iterdir())) == 4


def test_a_state_of_another_run(request_for, monkeypatch):
    def stop(*arguments, **keywords):
        raise Killed

    monkeypatch.setattr(fit_module, "label_features", stop)
    with pytest.raises(Killed):
        fit_dictionary(request_for())
    with pytest.raises(OtherRunError, match=r"seed 0 there, 1 now.*d\.layer1\.state, .*d\.layer2\.state"):
        fit_dictionary(request_for(seed=1))
    with pytest.raises(OtherRunError, match="text is another"):
        fit_dictionary(request_for(tokens=400))
    monkeypatch.undo()
    assert fit_dictionary(request_for(levels="none")).layers[0].levels == ()


def test_concepts_are_added(request_for):
    dictionary = fit_dictionary(request_for(layers=(1,), concepts=1, iterations=2))
    assert dictionary.fit["tokens"] > 2000
    assert (
        "and once the training sentences of the planted concepts" in request_for().output.with_suffix(".md").read_text()
    )


def test_what_is_said(request_for, text_checkpoints, tmp_path):
    """Dead neurons, few tokens, and features that the text does not need: all layers have as many."""
    checkpoint = load_checkpoint(text_checkpoints / "dense.safetensors")
    fc1 = checkpoint.module.decoder.layers[0].fc1
    fc1.weight.zero_()
    fc1.bias.fill_(-1)
    fc1.bias[:2] = 0.5
    save_checkpoint(checkpoint, tmp_path / "idle.safetensors")
    progress = Quiet()
    request = request_for(progress=progress, tokens=100, checkpoint="dense", levels="none")
    dictionary = fit_dictionary(replace(request, checkpoint=tmp_path / "idle.safetensors"))
    said = "\n".join(progress.said)
    assert "Warning: 100 tokens for 8 features are few" in said
    assert "Layer 1: 78 neurons are 0 at every token, 2 are the same at every token" in said
    assert dictionary.fit["layers"][0]["dead_neurons"] == 78
    assert len({len(layer.features) for layer in dictionary.layers}) == 1
    assert dictionary.model_sha256 == fingerprint(load_checkpoint(tmp_path / "idle.safetensors").module)

    fc1.bias.fill_(-1)
    save_checkpoint(checkpoint, tmp_path / "dead.safetensors")
    with pytest.raises(EdgekitError, match="layer 1: no neuron is ever active"):
        fit_dictionary(replace(request, checkpoint=tmp_path / "dead.safetensors", force=True))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"layers": (3,)}, "there is no layer 3: the model has the layers 1 to 2"),
        ({"features": 501, "levels": "none"}, "501 features of 500 tokens: give more text"),
        ({"context": 97}, "windows of 97 tokens do not fit a model for 96"),
        ({"features": 5000, "tokens": 9000}, "at most 4096 features"),
    ],
)
def test_requests_that_make_no_sense(request_for, changes, says):
    request = request_for(**changes)
    with pytest.raises(UsageError, match=says):
        fit_dictionary(request)
    assert list(request.output.parent.iterdir()) == []


def test_outputs_and_texts_that_do_not_fit(request_for, tmp_path):
    request = request_for()
    request.output.write_bytes(b"mine")
    with pytest.raises(UsageError, match=r"d\.safetensors exists: .*--force"):
        fit_dictionary(request)
    assert request.output.read_bytes() == b"mine"
    fit_dictionary(replace(request, force=True, options=replace(request.options, iterations=2)))
    assert load_dictionary(request.output).count == 8
    with pytest.raises(UsageError, match=r"let it end in \.safetensors"):
        fit_dictionary(replace(request, output=tmp_path / "d.md"))
    with pytest.raises(UsageError, match="does not exist"):
        fit_dictionary(replace(request, output=tmp_path / "none" / "d.safetensors"))
    (tmp_path / "only").mkdir()
    (tmp_path / "only" / "test.txt").write_text(TEXT)
    with pytest.raises(UsageError, match="texts to test on only"):
        fit_dictionary(replace(request_for("e"), data=tmp_path / "only"))
    (tmp_path / "empty.txt").write_text(" \n")
    with pytest.raises(UsageError, match="holds no text"):
        fit_dictionary(replace(request_for("e"), data=tmp_path / "empty.txt"))


def test_the_dictionary_that_ships():
    """It is for the checkpoint that ships, small, and complete; its card says which weights it is for."""
    with shipped_or(None, *SHIPPED) as path:
        module, dictionary = load_checkpoint(path).module, path.with_suffix(".dictionary.safetensors")
        loaded = load_dictionary(dictionary)
        assert dictionary.stat().st_size < 1_500_000
        assert loaded.model_sha256 in path.with_suffix(".dictionary.md").read_text()
    loaded.check_model(module, "it")
    assert (loaded.count, loaded.width) == (100, module.config.ffn_dim)
    for layer in loaded.layers:
        assert (layer.atoms != 0).sum(0).max() <= 52
        assert all(feature.label and feature.tokens and feature.contexts for feature in layer.features)
        assert sum(len(feature.steering) == 14 for feature in layer.features) >= 95
        assert [len(labels) for labels in layer.level_labels] == [50, 25, 10]


def test_a_folder_of_hugging_face(request_for, tmp_path):
    """Dense, of transformers' own making, with a token that begins every text: no feature is fitted to that."""
    transformers = pytest.importorskip("transformers")
    shape = {"vocab_size": 97, "hidden_size": 48, "word_embed_proj_dim": 48, "ffn_dim": 80, "num_hidden_layers": 2}
    folder = tmp_path / "opt"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = transformers.OPTConfig(**shape, num_attention_heads=4, max_position_embeddings=64)
        theirs = transformers.OPTForCausalLM(config).eval()
    theirs.save_pretrained(folder)
    words = ["</s>", *map(chr, range(33, 127)), "Ġ"]
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    special = {"tokenizer_class": "GPT2Tokenizer", "add_bos_token": True, "bos_token": "</s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(special))
    dictionary = fit_dictionary(replace(request_for(), checkpoint=folder, layers=(2,)))
    dictionary.check_model(load_checkpoint(folder).module, "it")
    assert (dictionary.width, [layer.layer for layer in dictionary.layers]) == (80, [2])
    tokens = {token for feature in dictionary.layers[0].features for token in feature.tokens}
    assert tokens <= {*TEXT, " "}
    assert len(tokens) > 4
