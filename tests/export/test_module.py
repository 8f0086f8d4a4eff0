"""A user's own module through `edgekit.export_module`: a three-layer convolution net, two image sizes."""

import numpy as np
import pytest
import torch
from torch import nn

import edgekit
from edgekit.errors import EdgekitError, GateError, UsageError
from edgekit.report import bundle_row

SIZES = ((32, 48), (64, 64))


class ConvNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 8, 3, padding=1)
        self.second = nn.Conv2d(8, 8, 5, padding=2, stride=2)
        self.last = nn.Conv2d(8, 2, 3, padding=1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.last(torch.relu(self.second(torch.relu(self.first(image)))))


def images(count: int, seed: int = 0) -> list[tuple[torch.Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    return [(torch.rand(1, 1, *size, generator=generator),) for size in SIZES for _ in range(count)]


@pytest.fixture(scope="module")
def net() -> ConvNet:
    torch.manual_seed(0)
    return ConvNet().eval()


@pytest.fixture(scope="module", params=["fp32", "int8"])
def exported(request, net, tmp_path_factory):
    samples = [(torch.rand(1, 1, *size),) for size in SIZES]
    bundle = edgekit.export_module(
        net,
        samples,
        device="raspberry-pi-5",
        recipe=request.param,
        output_dir=tmp_path_factory.mktemp("own"),
        calibration=images(8),
    )
    return request.param, bundle


@pytest.mark.slow
def test_answers_match_the_eager_module(exported, net):
    recipe, bundle = exported
    session = edgekit.Session(bundle)
    for (image,) in images(2, seed=1):
        with torch.no_grad():
            expected = net(image).numpy()
        (answer,) = session.run(image.numpy())
        noise, signal = np.square(answer - expected).sum(), np.square(expected).sum()
        if recipe == "fp32":
            assert np.abs(answer - expected).max() < 1e-5
        else:
            assert 0 < noise < signal * 10 ** (-2.5)


@pytest.mark.slow
def test_bundle_says_which_shapes_exist(exported):
    _, bundle = exported
    session = edgekit.Session(bundle)
    assert [method.inputs[0].shape for method in session.methods] == [(1, 1, *size) for size in SIZES]
    assert [method.outputs[0].shape for method in session.methods] == [(1, 2, h // 2, w // 2) for h, w in SIZES]
    assert session.methods[0].inputs[0].name == "image"
    with pytest.raises(UsageError, match="1x1x32x48; 1x1x64x64"):
        session.run(np.zeros((1, 1, 33, 48), np.float32))


@pytest.mark.slow
def test_weights_are_stored_once(exported, net):
    recipe, bundle = exported
    parameters = sum(parameter.numel() for parameter in net.parameters())
    weights = bundle.manifest["memory"]["weights"]
    if recipe == "fp32":
        assert weights == 4 * parameters
    else:  # int8 weights, float biases, and their scales; two copies would be more
        assert parameters < weights < 1.6 * parameters


@pytest.mark.slow
def test_bundle_verifies(exported):
    from edgekit.export.recipes import find_recipe
    from edgekit.export.verify import verify_bundle

    recipe, bundle = exported
    errors, failures = verify_bundle(edgekit.Session(bundle.path), find_recipe(recipe))
    assert not failures
    assert len(errors) == len(SIZES)


@pytest.mark.slow
def test_int8_that_ruins_the_answers_is_refused(tmp_path):
    class Distance(nn.Module):
        """A head that says 5 and a little: the little is smaller than one step of int8."""

        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(16, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 0.01 * self.head(x) + 5.0

    torch.manual_seed(0)
    request = {"device": "linux-x86_64", "recipe": "int8", "output_dir": tmp_path, "native": False}
    module, sample = Distance().eval(), (torch.randn(1, 16),)
    calibration = [(torch.randn(1, 16),) for _ in range(20)]
    with pytest.raises(GateError, match=r"signal-to-noise.*--allow-drop"):
        edgekit.export_module(module, sample, calibration=calibration, **request)
    assert not list(tmp_path.iterdir())
    with pytest.warns(UserWarning, match="misses its accuracy gate: .*signal-to-noise"):
        bundle = edgekit.export_module(module, sample, calibration=calibration, allow_drop=True, **request)
    gate = bundle.manifest["accuracy"]["gate"]
    assert (gate["passed"], len(gate["failures"])) == (False, 1)


def test_training_mode_is_refused(net, tmp_path):
    with pytest.raises(UsageError, match="eval"):
        edgekit.export_module(ConvNet(), images(1)[0], device="jetson", output_dir=tmp_path)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (torch.rand(1, 1, 8, 8), "tuple"),
        ([], "empty"),
        ([(torch.rand(1, 1, 8, 8),), (torch.rand(1, 1, 8, 8),)], "same shapes"),
        ((torch.rand(1, 3, 8, 8),), "does not run"),
        ([(1.0,)], "tuples of tensors"),
        ((torch.rand(0, 1, 8, 8),), "non-empty"),
    ],
)
def test_samples_that_do_not_fit(net, tmp_path, samples, message):
    with pytest.raises(UsageError, match=message):
        edgekit.export_module(net, samples, device="jetson", output_dir=tmp_path)
    assert not list(tmp_path.iterdir())


def test_calibration_without_a_shape_is_refused(net, tmp_path):
    samples = [(torch.rand(1, 1, *size),) for size in SIZES]
    with pytest.raises(UsageError, match="64x64"):
        edgekit.export_module(
            net, samples, device="jetson", recipe="int8", output_dir=tmp_path, calibration=images(1)[:1]
        )


def test_uncapturable_module_is_one_sentence(tmp_path):
    class Branching(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + 1 if float(x.sum()) > 0 else x - 1

    with pytest.raises(EdgekitError, match="Branching cannot be captured for inputs 2x2"):
        edgekit.export_module(Branching().eval(), (torch.ones(2, 2),), device="jetson", output_dir=tmp_path)


class Plain(nn.Module):
    """Every output is a tensor of its own."""

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, ...]:
        total = x + y
        return total.view(2, 2).abs().cumsum(0), torch.topk(total, 2)[1]


class Aliased(nn.Module):
    """No output is."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("table", torch.arange(4.0))

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, ...]:
        total = x + y
        best = torch.topk(total.abs(), 2)[0]
        return x, total, total, self.table, y.view(2, 2), total.view(4), best, best.view(2, 1)


@pytest.mark.parametrize(("kind", "inside"), [(Plain, False), (Aliased, True)])
def test_inputs_and_outputs_are_the_callers_memory(kind, inside, tmp_path):
    module = kind().eval()
    bundle = edgekit.export_module(
        module, [(torch.rand(1, 4), torch.rand(1, 4))], device="linux-x86_64", recipe="fp32", output_dir=tmp_path
    )
    assert (bundle.manifest["memory"]["inputs_outputs_in_arena"] > 0) is inside
    session, generator = edgekit.Session(bundle), np.random.default_rng(0)
    first = [generator.random((1, 4), np.float32) for _ in range(2)]
    for inputs in (first, first[::-1], [generator.random((1, 4), np.float32) for _ in range(2)]):
        kept = [array.copy() for array in inputs]
        answers = session.run(*inputs)
        for answer, wanted in zip(answers, module(*map(torch.from_numpy, kept)), strict=True):
            np.testing.assert_allclose(answer, wanted.numpy(), rtol=1e-6)
        np.testing.assert_array_equal(inputs, kept)


def test_a_module_that_changes_its_input(tmp_path):
    class InPlace(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mul_(2) + 1

    with pytest.raises(EdgekitError, match=r"changes its input 'x' in place: have it work on x\.clone\(\)"):
        edgekit.export_module(InPlace().eval(), [(torch.rand(4),)], device="linux-x86_64", output_dir=tmp_path)
    assert not any(tmp_path.iterdir())


@pytest.mark.slow
def test_undelegated_multiplications_are_counted_and_named(tmp_path):
    class Mixed(nn.Module):
        """A Linear that XNNPACK takes, then one in double precision, which it leaves to the portable kernels."""

        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(8, 5)
            self.exact = nn.Linear(5, 3, dtype=torch.float64)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.exact(self.head(x).double())

    bundle = edgekit.export_module(Mixed().eval(), (torch.rand(4, 8),), device="linux-x86_64", output_dir=tmp_path)
    count = bundle.manifest["programs"][0]["delegation"]["forward"]
    assert count["delegated_macs"] == 4 * 8 * 5
    assert sum(count["undelegated_macs"].values()) == 4 * 5 * 3
    assert count["macs"] == 4 * 8 * 5 + 4 * 5 * 3
    assert set(count["undelegated_macs"]) <= set(count["undelegated_operators"])
    assert bundle_row(bundle)["fast_share"] == pytest.approx(160 / 220)


@pytest.mark.slow
def test_program_that_cannot_run_is_said_at_export(tmp_path):
    """ExecuTorch has a kernel named convolution, but not for three dimensions: the export must find out."""
    module = nn.Conv3d(1, 4, 3, padding=1).eval()
    with pytest.raises(EdgekitError, match=r"method 'forward' failed: .*aten::convolution"):
        edgekit.export_module(module, (torch.rand(1, 1, 4, 4, 8),), device="linux-x86_64", output_dir=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_module_that_calls_our_operators(cli, tmp_path):
    import edgekit.kernels

    class Sparse(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scores = nn.Linear(16, 64)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            values, _ = torch.ops.edgekit.sparse_topk(self.scores(x), 5, False)
            return torch.softmax(values, dim=-1)

    module = Sparse().eval()
    bundle = edgekit.export_module(module, (torch.randn(8, 16),), device="linux-x86_64", output_dir=tmp_path)
    assert "edgekit::sparse_topk.out" in bundle.program.operators
    inputs = torch.randn(8, 16)
    (found,) = edgekit.Session(bundle).run(inputs.numpy())
    np.testing.assert_allclose(found, module(inputs).detach().numpy(), atol=1e-6)
    text = cli("inspect", bundle.path).out
    assert "edgekit's operators: edgekit::sparse_topk\n" in text
    assert "Left to portable kernels: nothing\n" in text


@pytest.mark.slow
def test_a_memory_budget_chooses_the_recipe(tmp_path):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(512, 1024), nn.ReLU(), nn.Linear(1024, 64)).eval()
    inputs = (torch.randn(8, 512),)

    def export(name: str, **limits):
        return edgekit.export_module(
            net, inputs, device="linux-x86_64", output_dir=tmp_path, name=name, native=False, allow_drop=True, **limits
        )

    whole = export("whole", recipe="fp32").manifest["memory"]["peak"]
    assert export("roomy", memory_budget=whole).manifest["recipe"] == "fp32"
    tight = export("tight", memory_budget=whole - 500_000).manifest
    assert tight["recipe"] != "fp32"
    assert tight["memory"]["peak"] <= whole - 500_000
    with pytest.raises(edgekit.GateError, match=r"nothing of tiny fits 1\.0 MB: the smallest tried"):
        export("tiny", memory_budget=1_000_000)
    assert sorted(path.name.split("-")[0] for path in tmp_path.iterdir()) == ["roomy", "tight", "whole"]
