"""`edgekit export rpcanet`: sizes become methods, settings are the model's, and what does not fit is refused."""

from __future__ import annotations

import json

import pytest
import torch

from edgekit.bundle import Bundle
from edgekit.models.rpcanet.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from edgekit.models.rpcanet.config import VARIANTS
from edgekit.models.rpcanet.module import RPCANet
from edgekit_runtime import Session

from .refusals import refuse


@pytest.fixture(autouse=True)
def generated_data(monkeypatch):
    monkeypatch.delenv("EDGEKIT_DATA", raising=False)


def test_stage_outputs_are_the_eager_models(plus_bundle, plus_checkpoint):
    session = Session(plus_bundle)
    (method,) = session.methods
    image = torch.rand(1, 1, 48, 64, generator=torch.Generator().manual_seed(0))
    answers = dict(zip((spec.name for spec in method.outputs), session.run(image.numpy()), strict=True))
    with torch.no_grad():
        stages = load_checkpoint(plus_checkpoint).module.decompose(image)
    answers["target_2"] = answers.pop("logits")
    assert len(answers) == 6
    for index, stage in enumerate(stages, 1):
        for kind, wanted in stage._asdict().items():
            got = torch.from_numpy(answers[f"{kind}_{index}"])
            assert (got - wanted).abs().max() <= 1e-5 * wanted.abs().max(), (kind, index)


def test_what_the_manifest_says(plus_bundle, local_bundle):
    plus, local = Bundle.open(plus_bundle), Bundle.open(local_bundle)
    assert plus.manifest["pipeline"] == {"name": "segment", "threshold": 0.0, "halo": None}
    assert local.manifest["pipeline"] == {"name": "segment", "threshold": 0.0, "halo": 13}
    assert [method.name for method in local.program.methods] == [
        f"forward_{size}_b{batch}" for size in ("40x48", "64x56") for batch in (1, 3)
    ]
    for bundle in (plus, local):
        assert bundle.manifest["model"]["trained_on"] == "nothing"
        counts = bundle.manifest["programs"][0]["delegation"].values()
        assert all(count["undelegated_macs"] == {} for count in counts)
        # Each weight once, whatever the number of methods: no kernel is derived from another at run time.
        count = 4 * bundle.manifest["model"]["parameters"]
        assert bundle.manifest["memory"]["weights"] < 1.3 * count


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--set", "stage_output=true"), "unknown setting 'stage_output': did you mean 'stage_outputs'?"),
        (("--set", "stage_outputs=maybe"), "'maybe' is not true or false"),
        (("--size", "8x8"), "rpcanet takes no frames of 8x8"),
        (("--size", "90000x90000"), "rpcanet takes no frames of 90000x90000"),
        (("--size", "48x64", "--size", "48x64"), "given twice"),
        (("--variant", "s4"), "unknown variant of rpcanet 's4'"),
        (("--variant", "s6"), "no checkpoint of rpcanet s6 ships"),
    ],
)
def test_requests_that_do_not_fit(cli, tmp_path, options, says: str):
    result = cli("export", "rpcanet", "--device", "linux-x86_64", "-o", tmp_path / "out", *options)
    refuse(result, 2, says)
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_of_another_variant(cli, local_checkpoint, tmp_path):
    request = ("export", "rpcanet", "--device", "linux-x86_64", "-o", tmp_path / "out", "--dry-run")
    refuse(cli(*request, "--variant", "v1", "--checkpoint", local_checkpoint), 1, "not variant 'v1'")
    plan = json.loads(cli(*request, "--checkpoint", local_checkpoint, "--size", "48x64", "--json").out)["planned"]
    assert plan[0]["methods"] == ["forward_48x64"]
    assert plan[0]["path"].endswith("rpcanet-local-linux-x86_64-fp32")


def test_the_shipped_checkpoint(cli, tmp_path):
    """It is found, whole, and of the default variant; nothing of random weights is ever taken."""
    result = cli("export", "rpcanet", "--device", "linux-x86_64", "-o", tmp_path, "--dry-run", "--json")
    assert json.loads(result.out)["planned"][0]["path"].endswith("rpcanet-s1-linux-x86_64-fp32")


@pytest.mark.slow
def test_three_stages_are_all_delegated_and_no_larger_than_their_weights(cli, tmp_path):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = RPCANet(VARIANTS["s3"]).eval().requires_grad_(False)
    save_checkpoint(Checkpoint(module, "s3", {}), tmp_path / "s3.safetensors")
    options = ("--checkpoint", tmp_path / "s3.safetensors", "--size", "32x32", "-o", tmp_path / "out", "-q", "--json")
    result = cli("export", "rpcanet", "--variant", "s3", "--device", "linux-x86_64", "--recipe", "fp32", *options)
    assert result.code == 0
    (row,) = json.loads(result.out)["bundles"]
    bundle = Bundle.open(row["path"])
    (count,) = bundle.manifest["programs"][0]["delegation"].values()
    assert row["fast_share"] == 1.0
    assert not any("conv" in name for name in count["undelegated_operators"])
    assert count["macs"] == VARIANTS["s3"].macs(32, 32)
    assert (bundle.path / "program.pte").stat().st_size <= 1.05 * 4 * VARIANTS["s3"].parameters()
