"""What a program says and takes of the features of its tapped layers: taps come out, steering goes in.

A layer's activations a (da) are what its second linear layer, fc2, takes. Taps are c = D^T a and e = ||a||^2. Steering
adds D u to the activations of every token, which is S u, S = W D (d, k), behind fc2: W is its weight as the program has
it, rounded. Taps are of the activations before that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from edgekit.models.model import WeightOf

from .dictionary import Dictionary

#: fc2 and what it takes (T, da), to what comes in its place (T, d).
FeedForward = Callable[[nn.Module, Tensor], Tensor]


class Taps(nn.Module):
    """The tapped layers' atoms D^T, S, and what steers for good.

    Args:
        dictionary: of these layers.
        linears: fc2 of each tapped layer, by its number from 1; their biases are replaced where `constant` has them.
        constant: coefficients (k,) by layer that are always added.
    """

    def __init__(
        self, dictionary: Dictionary, linears: Mapping[int, nn.Linear], constant: Mapping[int, Tensor] | None = None
    ) -> None:
        super().__init__()
        self.places = {layer.layer: place for place, layer in enumerate(dictionary.layers)}
        self.constant = dict(constant or {})
        self.biases = {number: linears[number].bias.detach() for number in self.places}
        self.atoms, self.shifts = nn.ModuleList(), nn.ModuleList()
        for layer in dictionary.layers:
            self.atoms.append(_linear(layer.atoms.T))
            self.shifts.append(_linear(torch.zeros(linears[layer.layer].out_features, dictionary.count)))
            self.follow(layer.layer, linears[layer.layer], linears[layer.layer].weight)

    @torch.no_grad()
    def follow(self, number: int, linear: nn.Module, weight: Tensor) -> None:
        """Makes S, and what steers for good, of a layer's fc2 as it is now.

        Args:
            number: of the layer.
            linear: fc2; its bias is replaced where the layer is steered for good.
            weight: its numbers (d, da or more), float32.
        """
        place = self.places[number]
        atoms: Tensor = self.atoms[place].weight  # type: ignore[assignment]
        # Sums in float64, rounded once: the same bits for any number of threads.
        shift = weight[:, : atoms.shape[1]].double() @ atoms.double().T
        self.shifts[place] = _linear(shift.float())
        if number in self.constant:
            bias = self.biases[number].double() + shift @ self.constant[number].double()
            linear.bias = nn.Parameter(bias.float(), requires_grad=False)

    def follow_all(self, linears: Mapping[int, nn.Module], weight_of: WeightOf) -> None:
        """The same for all tapped layers."""
        for number in self.places:
            self.follow(number, linears[number], weight_of(linears[number]))

    def at(self, number: int, steering: Tensor, found: list[Tensor]) -> FeedForward | None:
        """What stands in for fc2 of a layer, counted from 1; None where it is not tapped.

        Args:
            number: of the layer.
            steering: (L, k) float32.
            found: gets taps (T, k + 1).
        """
        if number not in self.places:
            return None
        place = self.places[number]

        def forward(linear: nn.Module, inner: Tensor) -> Tensor:
            energy = (inner * inner).sum(-1, keepdim=True)
            found.append(torch.cat((self.atoms[place](inner), energy), -1))
            output: Tensor = linear(inner) + self.shifts[place](steering[place : place + 1])
            return output

        return forward


def _linear(weight: Tensor) -> nn.Linear:
    """Without a bias, of a weight (outputs, inputs)."""
    with torch.device("meta"):
        made = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    made.weight = nn.Parameter(weight.contiguous(), requires_grad=False)
    return made
