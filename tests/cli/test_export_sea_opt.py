"""`edgekit export`, `run`, `verify` and `evaluate` of a language model."""

from __future__ import annotations

import json
import math

import pytest
import torch
from PIL import Image

from edgekit.bundle import Bundle
from edgekit.models.sea_opt.checkpoint import load_checkpoint
from edgekit.models.sea_opt.perplexity import likelihood
from edgekit.report import FILE_WIDTH, bytes_text, print_bundles

from .refusals import refuse

PROMPT = "the red cat sees"


@pytest.fixture(autouse=True)
def no_data(monkeypatch):
    monkeypatch.delenv("EDGEKIT_DATA", raising=False)


def test_what_the_manifest_says(text_bundle):
    manifest = Bundle.open(text_bundle).manifest
    settings = {"context": 96, "chunk": 16, "vocabulary": 300, "end": 0, "k_budget": 8, "begin": None, "longest": 96}
    assert manifest["pipeline"] == {"name": "generate_text", **settings}
    assert [method["name"] for method in manifest["programs"][0]["methods"]] == ["extend", "reset", "attention_maps"]
    assert set(manifest["files"]) == {
        *("program.pte", "samples.safetensors", "tokenizer.json", "sbom.cdx.json", "LICENSES.txt")
    }
    accuracy = manifest["accuracy"]
    assert all(output["max_abs"] < 1e-3 for output in accuracy["outputs"])
    assert accuracy["metric"]["program"] == pytest.approx(accuracy["metric"]["eager"], rel=1e-5)
    assert (accuracy["metric"]["name"], accuracy["metric"]["better"]) == ("perplexity", "lower")
    assert (accuracy["metric"]["data"], accuracy["metric"]["samples"]) == ("text that the eager model wrote", 96)
    assert all(count["undelegated_macs"] == {} for count in manifest["programs"][0]["delegation"].values())
    # Two caches of (4, 96, 16), and the estimator's state: 4 heads, 5 features, sums of 32, 8 channels 4 wide.
    state = 4 * (2 * 4 * 96 * 16 + 4 * 5 * 32 + 4 * 5 + 4 * 16 + 2 * 4 * 8 * 4)
    assert manifest["memory"]["state"] == 2 * state
    # Its zeros are one cache's at a time, not all of the state.
    assert manifest["memory"]["by_method"]["reset"]["planned_arena"] < state


def test_the_table_shows_the_state_and_breaks_no_path(text_bundle, capsys):
    print_bundles([Bundle.open(text_bundle)])
    table, _, below = capsys.readouterr().out.partition("sea-opt, task metrics: ")
    assert "state" in table
    assert bytes_text(Bundle.open(text_bundle).manifest["memory"]["state"]) in table
    assert max(map(len, table.splitlines())) <= FILE_WIDTH
    assert f"sea-opt, bundle: {text_bundle}\n" in below


def test_weights_are_stored_once(text_bundle):
    manifest = Bundle.open(text_bundle).manifest
    # Once for all methods, and the word embedding is the head: a second one would add a fifth.
    assert manifest["memory"]["weights"] < 1.1 * 4 * manifest["model"]["parameters"]


def test_run(cli, text_bundle, tmp_path):
    result = cli("run", text_bundle, "--prompt", PROMPT, "--max-tokens", 8)
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith(PROMPT)
    for part in (
        "prompt: ",
        "tokens/s",
        "generated: 8 tokens (as many as asked for)",
        "GB/s",
        "peak memory",
        "Next: edgekit evaluate ",
    ):
        assert part in result.out
    (tmp_path / "prompt.txt").write_text(PROMPT, encoding="utf-8-sig")  # Windows' editors put a mark first
    values = json.loads(cli("run", text_bundle, "--input", tmp_path / "prompt.txt", "--max-tokens", 8, "--json").out)
    assert result.out.startswith(PROMPT + values["text"])
    assert (values["generated_tokens"], values["reason"]) == (8, "length")
    assert values["peak_memory_bytes"] > 1 << 20
    assert values["weight_gb_per_s"] == pytest.approx(
        1e-9 * values["weight_bytes_per_token"] * values["generated_tokens_per_s"]
    )
    # Linear layers of 2 blocks, and the head.
    assert values["weight_bytes_per_token"] == 4 * (2 * (4 * 64 * 64 + 2 * 64 * 80) + 300 * 64)


def test_attention_picture(cli, text_bundle, tmp_path):
    path = tmp_path / "map.png"
    result = cli("run", text_bundle, "--prompt", PROMPT, "--max-tokens", 8, "--attention", path, "--layer", 2, "-q")
    assert (result.code, result.err) == (0, "")
    with Image.open(path) as picture:
        assert picture.width > 1000
        assert len(set(picture.convert("RGB").resize((150, 70)).getdata())) > 50
    refuse(cli("run", text_bundle, "--prompt", PROMPT, "--attention", path), 2, f"{path} exists")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ((), "give it with --prompt TEXT, or one --input FILE.txt"),
        (("--prompt", ""), "the prompt is empty"),
        (("--prompt", "cat " * 100), "shorten it"),
        (("--prompt", "a", "--input", "b.txt"), "--prompt and --input were both given"),
        (("--input", "a.txt", "--input", "b.txt"), "2 files were given with --input"),
        (("--input", "b.txt"), "there is no file b.txt"),
        (("--prompt", "a", "--threshold", "3"), "--threshold does not belong to this bundle's task"),
        (("--prompt", "a", "--max-tokens", "0"), "0 is not in the range"),
        (("--prompt", "a", "--layer", "1"), "--layer and --head choose what --attention draws"),
        (("--prompt", "a", "--attention", "x.png", "--layer", "3"), "--layer 3: the model has 2 layers"),
        (("--prompt", "a", "--attention", "x.jpg"), "let it end in .png"),
        (("--prompt", "a", "--attention", "absent/x.png"), "the folder absent does not exist"),
    ],
)
def test_runs_that_make_no_sense(cli, text_bundle, options, says):
    refuse(cli("run", text_bundle, *options), 2, says)


def test_a_photo_is_no_prompt(cli, text_bundle, tmp_path):
    Image.new("L", (8, 8)).save(tmp_path / "photo.png")
    refuse(cli("run", text_bundle, "--input", tmp_path / "photo.png"), 1, "takes a prompt, with --prompt TEXT")


def test_other_tasks_take_no_prompt(cli, fp32_bundle):
    refuse(cli("run", fp32_bundle, "--prompt", "a"), 2, "--prompt does not belong to this bundle's task")
    refuse(cli("run", fp32_bundle), 2, "give it with --input FILE")


def test_verify(cli, text_bundle):
    result = cli("verify", text_bundle)
    assert (result.code, result.err) == (0, "")
    for name in ("extend", "reset", "attention_maps"):
        assert name in result.out
    assert json.loads(cli("verify", text_bundle, "--json").out)["passed"] is True


def test_perplexity_is_the_eager_models(cli, text_bundle, text_checkpoints, tmp_path):
    text = "the old house sees a red dog, the tree likes the tall cat. " * 20
    (tmp_path / "text.txt").write_text(text)
    values = json.loads(cli("evaluate", text_bundle, "--data", tmp_path / "text.txt", "--json", "-q").out)
    (row,) = values["metrics"]
    assert f"the text has {len(text.split())} words, too little" in values["notes"][-1]
    checkpoint = load_checkpoint(text_checkpoints / "sea.safetensors")
    tokens = torch.tensor(checkpoint.tokenizer.encode(text))
    expected = likelihood(checkpoint.module, tokens, 96)
    assert row["tokens"] == expected.tokens > 2 * 96
    assert row["perplexity"] == pytest.approx(expected.perplexity, rel=1e-4)
    (tmp_path / "long.txt").write_text(text * 5)
    shown = cli("evaluate", text_bundle, "--data", tmp_path / "long.txt", "-q").out
    assert "too little" not in shown
    assert f'Next: edgekit run {text_bundle} --prompt "TEXT"' in shown
    assert math.log(row["word_perplexity"]) == pytest.approx(expected.nll / len(text.split()), rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("checkpoint", "recipe", "kv"),
    [("sea", "int8-dynamic", "fp16"), ("sea", "int4", "int8"), ("sea", "fp32", "int8"), ("dense", "fp32", "fp32")],
)
def test_other_recipes_and_dense_attention(cli, text_checkpoints, tmp_path, checkpoint, recipe, kv):
    path = text_checkpoints / f"{checkpoint}.safetensors"
    command = ["export", "sea-opt", "--checkpoint", path, "--device", "linux-x86_64", "--set", "chunk=16", "-q"]
    command += ["--recipe", recipe, "-o", tmp_path, *(["--kv", kv] if kv == "int8" else [])]
    if checkpoint == "dense":  # its operator is in ExecuTorch's Python package only
        refuse(cli(*command), 1, "no library for linux-x86_64 has llama::sdpa_with_kv_cache.out")
        command.append("--no-native")
    if recipe == "int4":  # random weights this small lose more than a trained model may
        command.append("--allow-drop")
    result = cli(*command)
    assert result.code == 0
    assert result.err == "" or recipe == "int4"
    (folder,) = tmp_path.iterdir()
    manifest = Bundle.open(folder).manifest
    assert folder.name.endswith(f"{recipe}-kv-int8" if kv == "int8" else recipe)
    assert (manifest["recipe"], manifest["kv"]) == (recipe, kv)
    shown = cli("inspect", folder).out
    assert f"as {recipe}, KV cache {kv}, for linux-x86_64" in shown
    # Of two layers' caches of (4, 96, 16), with a scale for each row of a head in int8.
    cache = 2 * 2 * 4 * 96 * {"fp32": 4 * 16, "fp16": 2 * 16, "int8": 16 + 4}[kv]
    estimator = 2 * 4 * (4 * 5 * 32 + 4 * 5 + 4 * 16 + 2 * 4 * 8 * 4)
    assert manifest["memory"]["state"] == cache + (estimator if checkpoint == "sea" else 0)
    operators = manifest["programs"][0]["operators"]
    assert ("llama::sdpa_with_kv_cache.out" in operators) == (checkpoint == "dense")
    assert ("edgekit::sea_estimate.out" in operators) == (checkpoint == "sea")
    assert ("quantized_decomposed::embedding_byte.out" in operators) == (recipe != "fp32")
    assert manifest["accuracy"]["metric"]["program"] == pytest.approx(manifest["accuracy"]["metric"]["eager"], rel=0.06)
    # The estimators and positions stay in fp32.
    kept = 4 * 2 * (96 * 16 + 12_000 if checkpoint == "sea" else 0) + 4 * 98 * 64
    rounded = {"fp32": 4.0, "int8-dynamic": 1.0, "int4": 0.5}[recipe] * 2 * (4 * 64 * 64 + 2 * 64 * 80)
    words = 300 * 64 * {"fp32": 4.0, "int8-dynamic": 1.0, "int4": 0.5}[recipe]
    assert manifest["memory"]["weights"] < 1.35 * (kept + rounded + words)
    text = json.loads(cli("run", folder, "--prompt", PROMPT, "--max-tokens", 4, "--json").out)
    assert text["generated_tokens"] == 4


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--set", "context=97"), "the model was trained for 1 to 96 tokens"),
        (("--set", "context=0"), "the model was trained for 1 to 96 tokens"),
        (("--set", "chunk=1"), "give 2 or more"),
        (("--set", "contxt=50"), "did you mean 'context'"),
        (("--size", "8x8"), "takes no --size"),
        (("--batch", "2"), "no --batch"),
        (
            ("--recipe", "int8"),
            "sea-opt refuses int8: ranges found on some text do not hold for another; choose one of fp32,",
        ),
        (("--variant", "125m"), "the checkpoint is of variant 'sea'"),
        (("--kv", "int4"), "is not one of 'fp32', 'fp16', 'int8'"),
    ],
)
def test_exports_that_make_no_sense(cli, text_checkpoints, tmp_path, options, says):
    path = text_checkpoints / "sea.safetensors"
    command = ["export", "sea-opt", "--checkpoint", path, "--device", "linux-x86_64", "-o", tmp_path / "out"]
    refuse(cli(*command, *options), 2, says)
    assert not (tmp_path / "out").exists()


def test_what_dense_attention_does_not_take(cli, text_checkpoints, tmp_path):
    path = text_checkpoints / "dense.safetensors"
    command = ["export", "sea-opt", "--checkpoint", path, "--device", "linux-x86_64", "-o", tmp_path / "out"]
    refuse(cli(*command, "--set", "attention_maps=true"), 2, "has dense attention, which has no maps to draw")
    refuse(cli(*command, "--kv", "int8"), 2, "sea-opt takes a KV cache of fp32, not int8")


def test_models_without_a_cache(cli, tmp_path):
    command = ["export", "stackvae-g", "--device", "linux-x86_64", "-o", tmp_path / "out"]
    refuse(cli(*command, "--kv", "int8"), 2, "stackvae-g has no KV cache: leave --kv out")
    refuse(cli("export", "--device", "linux-x86_64", "--kv", "int8"), 2, "--kv belongs to one model")
