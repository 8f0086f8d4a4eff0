"""The solver against `scipy.optimize.nnls`, which is given the whole activations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from edgekit.models.features import explain_graph
from edgekit.models.features.dictionary import unit_atoms
from edgekit.models.features.explain_graph import Explain

from .made import made_atoms, made_dictionary, taps_of

nnls = pytest.importorskip("scipy.optimize").nnls

DA, K = 80, 12


def best(activations: Tensor, atoms: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients (T, k) with the least squared errors (T,)."""
    found = [nnls(atoms.double().numpy(), row.double().numpy()) for row in activations]
    return np.stack([y for y, _ in found]), np.array([error**2 for _, error in found])


def dense(features: Tensor, values: Tensor, count: int) -> np.ndarray:
    """Coefficients (T, k) of the first layer."""
    return torch.zeros(len(values), count).scatter_add_(1, features[:, 0], values[:, 0]).numpy()


@pytest.fixture
def planted() -> tuple[Tensor, Tensor, Tensor]:
    """Atoms (da, k), coefficients (T, k) with three active, and activations (T, da) with a twentieth of noise."""
    generator = torch.Generator().manual_seed(1)
    atoms = made_dictionary({1: made_atoms(DA, K)}).layers[0].atoms
    y = torch.zeros(40, K)
    for row in y:
        row[torch.randperm(K, generator=generator)[:3]] = 0.5 + torch.rand(3, generator=generator)
    noise = torch.randn(40, DA, generator=generator)
    clean = y @ atoms.T
    return atoms, y, clean + 0.05 * noise * clean.norm(dim=1, keepdim=True) / noise.norm(dim=1, keepdim=True)


def test_all_features_and_many_steps_are_the_optimum(planted, monkeypatch) -> None:
    atoms, _, activations = planted
    monkeypatch.setattr(explain_graph, "STEPS", 300)
    features, values, unexplained = Explain(made_dictionary({1: atoms}), K)(taps_of(activations, atoms))
    wanted, errors = best(activations, atoms)
    np.testing.assert_allclose(dense(features, values, K), wanted, atol=1e-3)
    energy = activations.square().sum(1).numpy()
    np.testing.assert_allclose(unexplained[:, 0].numpy(), errors / energy, atol=1e-4)


def test_planted_features_are_found(planted) -> None:
    atoms, y, _ = planted
    features, values, unexplained = Explain(made_dictionary({1: atoms}), 3)(taps_of(y @ atoms.T, atoms))
    found = dense(features, values, K)
    assert ((found > 0) == (y > 0).numpy()).all()
    np.testing.assert_allclose(found, y, atol=0.02)
    assert unexplained.max() < 1e-3
    assert (values[:, 0, :-1] >= values[:, 0, 1:]).all()


def test_what_is_shown_is_fitted_again(planted) -> None:
    atoms, _, activations = planted
    features, values, unexplained = Explain(made_dictionary({1: atoms}), 2)(taps_of(activations, atoms))
    for row, (chosen, value, share) in enumerate(zip(features[:, 0], values[:, 0], unexplained[:, 0], strict=True)):
        y, (error,) = best(activations[row : row + 1], atoms[:, chosen])
        np.testing.assert_allclose(value.numpy(), y[0], atol=0.02)
        assert error <= share * activations[row].square().sum() * (1 + 1e-5)
        np.testing.assert_allclose(share, error / activations[row].square().sum(), atol=0.005)


def test_a_token_may_have_fewer_features_than_are_shown(planted) -> None:
    atoms, _, _ = planted
    features, values, _ = Explain(made_dictionary({1: atoms}), 5)(taps_of(2 * atoms[:, 7:8].T, atoms))
    assert features[0, 0, 0] == 7
    assert values[0, 0, 0] == pytest.approx(2, abs=0.02)
    assert not features[0, 0][values[0, 0] == 0].any()
    # Nothing of it points where a feature does.
    away = -torch.linalg.pinv(atoms).sum(0, keepdim=True)
    features, values, unexplained = Explain(made_dictionary({1: atoms}), 5)(taps_of(away, atoms))
    assert not features.any()
    assert not values.any()
    assert unexplained.item() == pytest.approx(1)


def test_nothing_is_not_a_number() -> None:
    atoms = made_atoms(DA, K)
    rows = torch.stack([torch.zeros(K + 1), torch.full((K + 1,), 1e-30), torch.full((K + 1,), 1e6)])[:, None]
    for part in Explain(made_dictionary({1: atoms}), 5)(rows):
        assert part.isfinite().all()
    _, values, unexplained = Explain(made_dictionary({1: atoms}), 5)(torch.zeros(1, 1, K + 1))
    assert not values.any()
    assert not unexplained.any()


def test_the_unexplained_is_a_share() -> None:
    generator = torch.Generator().manual_seed(2)
    atoms = made_atoms(DA, K)
    activations = torch.randn(300, DA, generator=generator).relu() * torch.rand(300, 1, generator=generator) * 10
    for shown in (1, 5, K):
        *_, unexplained = Explain(made_dictionary({1: atoms}), shown)(taps_of(activations, atoms))
        assert ((unexplained >= 0) & (unexplained <= 1)).all()


def test_every_layer_has_its_own_atoms(planted) -> None:
    atoms, _, activations = planted
    others = made_atoms(DA, K, seed=3)
    both = Explain(made_dictionary({2: atoms, 5: others}), 3)
    taps = torch.cat((taps_of(activations, atoms), taps_of(activations, others)), 1)
    found = both(taps)
    for place, single in enumerate((atoms, others)):
        alone = Explain(made_dictionary({1: single}), 3)(taps[:, place : place + 1])
        for got, wanted in zip(found, alone, strict=True):
            assert torch.equal(got[:, place], wanted[:, 0])


def test_the_other_forms_give_the_same(planted) -> None:
    atoms, _, activations = planted
    taps = taps_of(activations, atoms)
    dictionary = made_dictionary({1: atoms})
    for row in taps:
        wanted = Explain(dictionary, 3)(row[None])
        for form in ("tensors", "standard"):
            for got, expected in zip(Explain(dictionary, 3, form)(row[None]), wanted, strict=True):
                torch.testing.assert_close(got, expected, atol=1e-6, rtol=0)


def test_clear_and_unclear_choices(planted) -> None:
    atoms, y, _ = planted
    clear = Explain(made_dictionary({1: atoms}), 3).clearness(taps_of(y @ atoms.T, atoms))
    assert clear.shape == (40,)
    same = Explain(made_dictionary({1: atoms}), 1).clearness(taps_of((atoms[:, :1] + atoms[:, 1:2]).T, atoms))
    assert same.item() < 0.01 < clear.max()


def test_sixteen_steps_are_near_the_optimum_of_the_shipped_model(monkeypatch) -> None:
    """Each token's squared error within 0.5 % of the least: of 40 tokens, by 100 features of a middle layer."""
    from edgekit.models.sea_opt.checkpoint import load_checkpoint
    from edgekit.models.shipped import shipped_or

    with shipped_or(None, "sea_opt", "base") as path:
        checkpoint = load_checkpoint(path)
    assert checkpoint.tokenizer is not None
    text = Path(__file__).parents[3].joinpath("README.md").read_text()
    tokens = torch.tensor(checkpoint.tokenizer.encode(text))[:540]
    seen: list[Tensor] = []
    linear = checkpoint.module.second_linears()[4]
    handle = linear.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0][0]))
    with torch.no_grad():
        checkpoint.module(tokens[None])
    handle.remove()
    # Atoms as a fit gives them: a twentieth of the neurons, which several features share.
    others, activations = seen[0][:500:5], seen[0][500:]
    atoms = others.T * (others.topk(len(others.T) // 20).values[:, -1] <= others.T)
    dictionary = made_dictionary({4: unit_atoms(atoms)[0]})
    atoms = dictionary.layers[0].atoms
    assert explain_graph.STEPS == 16
    monkeypatch.setattr(explain_graph, "REFIT_STEPS", 0)
    features, values, _ = Explain(dictionary, 100)(taps_of(activations, atoms))
    found = torch.from_numpy(dense(features, values, 100)).double()
    errors = (activations.double() - found @ atoms.double().T).square().sum(1).numpy()
    _, least = best(activations, atoms)
    assert (errors / least).max() < 1.005
