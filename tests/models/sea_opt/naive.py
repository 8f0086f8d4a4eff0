"""SEA's estimator and attention row by row, as the published description has them: slow, and no code of the module."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def estimate(weights: dict[str, Tensor], q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Scores (H, T, K), gates (H, T, 2) and v_mean (H, T, d) of q, k and v (H, T, d), by the authors' names."""
    heads, rows, size = q.shape
    projection, table = weights["performer.projection_matrix"], weights["v_eye_learned_causal"][0, 0]

    def features(x: Tensor) -> Tensor:
        return functional.relu((x * size**-0.25) @ projection.T) + 1e-3

    codes = torch.empty(heads, rows, 2 * size)
    for row in range(rows):
        phi_q, phi_k = features(q[:, row]), features(k[:, : row + 1])
        values = torch.cat([table[: row + 1].expand(heads, -1, -1), v[:, : row + 1]], dim=2)
        weighted = torch.einsum("hm,hsm,hsd->hd", phi_q, phi_k, values)
        context = weighted / (phi_q * (phi_k.sum(1) + 1e-6)).sum(1, keepdim=True)
        code = _linear(weights, "attention_predictor_enc.0", torch.cat([context, v[:, row]], dim=1))
        codes[:, row] = functional.gelu(_norm(weights, "attention_predictor_enc.1", code))
    gates = _linear(weights, "attention_predictor_dec_scaler.0", codes).sigmoid()
    decoded = _linear(weights, "attention_predictor_dec_row.0", codes)
    width = decoded.shape[-1] // 2
    image = torch.stack([part for head in decoded for part in (head[:, :width], head[:, width:])])
    image = _norm(weights, "attention_predictor_cnn.0.module", image)
    net = "attention_predictor_cnn.1.module.net"
    for place in "02":
        # Five taps of time, the two that see the future masked, and as many zeros before as after.
        weight = functional.pad(weights[f"{net}.{place}.module.weight"], (0, 0, 0, 2))
        bias = weights[f"{net}.{place}.module.bias"]
        image = functional.conv2d(image[None], weight, bias, dilation=2, padding=(4, 2))[0].relu()
    image = image.repeat_interleave(4, dim=-1)
    image = functional.conv2d(
        image[None], weights[f"{net}.5.module.weight"], weights[f"{net}.5.module.bias"], padding=(0, 1)
    )
    image = functional.interpolate(image, (rows, 4 * width), mode="area")[0]
    scores = _norm(weights, "attention_predictor_cnn.2.module", image)
    means = torch.stack([v[:, : row + 1].mean(1) for row in range(rows)], dim=1)
    return scores, gates, means


def alive(scores: Tensor, k_budget: int) -> Tensor:
    """The tokens (H, T, T) that rows attend to."""
    heads, rows, cells = scores.shape
    tokens = torch.zeros(heads, rows, rows, dtype=torch.bool)
    for row in range(rows):
        seen = row + 1
        count = min(heads * cells, max(1, round(heads * (k_budget * cells / seen))))
        order = scores[:, row].softmax(-1).flatten().sort(descending=True, stable=True).indices
        chosen = torch.zeros(heads * cells, dtype=torch.bool)
        chosen[order[:count]] = True
        cell = (((torch.arange(seen).double() + 0.5) / seen * cells - 1e-4).floor().long()).clamp(0, cells - 1)
        tokens[:, row, :seen] = chosen.view(heads, cells)[:, cell]
    return tokens


def attention(q: Tensor, k: Tensor, v: Tensor, scores: Tensor, gates: Tensor, means: Tensor, k_budget: int) -> Tensor:
    """Contexts (H, T, d)."""
    mask = alive(scores, k_budget)
    lowest = torch.finfo(torch.float32).min / 2
    probabilities = torch.where(mask, q @ k.transpose(1, 2), lowest).softmax(-1) * mask
    g0, g1 = gates[..., :1], gates[..., 1:]
    return g1 * ((g0 * probabilities) @ v) + (1 - g1) * means


def _linear(weights: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def _norm(weights: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    scaled = centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
    return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]
