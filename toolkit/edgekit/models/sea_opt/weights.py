"""From the tensors of a file to an `OPT`: names of others' files, shapes, and every tensor that does not fit named.

The authors' SEA checkpoints hold more than the causal estimator uses; those parameters are known by name and left out.
Their `Sequential`s count layers without parameters as well, in places that nobody states: the places of
`attention_predictor_enc`, `_dec_row` and `_dec_scaler` are taken in their order. Their dilated convolutions hold five
taps of time, of which the last two see the future and are masked. What the tensors do not tell is the budget k, and
whether LoRA or one encoder for all heads was in use: the published recipe has neither, edgekit takes neither.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor

from edgekit.errors import EdgekitError
from edgekit.kernels.sea import upsampling_matrix

from .attention import SEAAttention
from .config import CONV_TAPS, OPTConfig, SEAConfig
from .opt import OPT

ESTIMATOR = ".self_attn.perlin_self_attention.attention."
#: Parameters of the authors' class that its causal form does not use.
_UNUSED = (
    r"lora",
    re.escape(ESTIMATOR) + r"norm(_performer|_partial|_random)?\.",
    re.escape(ESTIMATOR) + r"v_eye_learned$",
    re.escape(ESTIMATOR) + r"attention_predictor_enc_\w+",
    r"\.weight_mask$",
    r"^model\.decoder\.version$",
)
_SEQUENCES = re.compile(r"(.*\.attention_predictor_(?:enc|dec_row|dec_scaler)\.)(\d+)(\..*)")
_DILATED = re.compile(r".*\.attention_predictor_cnn\.1\.module\.net\.[02]\.module\.weight")


def standard_names(tensors: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
    """Tensors by our names, as float32, without the authors' unused ones."""
    found: dict[str, Tensor] = {}
    for name, tensor in tensors:
        # Files of the bare decoder lack the outer name.
        name = f"model.{name}" if name.startswith("decoder.") else name
        if any(re.search(pattern, name) for pattern in _UNUSED):
            continue
        if _DILATED.fullmatch(name) and tensor.dim() == 4 and tensor.shape[2] == 2 * CONV_TAPS - 1:
            tensor = tensor[:, :, :CONV_TAPS]
        found[name] = tensor.float().contiguous() if tensor.is_floating_point() else tensor
    places: dict[str, set[int]] = defaultdict(set)
    for name in found:
        if match := _SEQUENCES.fullmatch(name):
            places[match[1]].add(int(match[2]))
    return {_in_order(name, places): tensor for name, tensor in found.items()}


def _in_order(name: str, places: dict[str, set[int]]) -> str:
    match = _SEQUENCES.fullmatch(name)
    return f"{match[1]}{sorted(places[match[1]]).index(int(match[2]))}{match[3]}" if match else name


def find_sea(tensors: dict[str, Tensor], where: str) -> SEAConfig | None:
    """SEA's shape by the tensors, with the default budget; None if they are of a dense OPT.

    Raises:
        EdgekitError: the first layer's estimator lacks a tensor that tells it.
    """
    if not any(ESTIMATOR in name for name in tensors):
        return None
    sizes = {}
    for field, name, axis in (
        ("cells", "attention_predictor_cnn.2.module.weight", 0),
        ("features", "performer.projection_matrix", 0),
        ("positions", "v_eye_learned_causal", 2),
    ):
        full = f"model.decoder.layers.0{ESTIMATOR}{name}"
        if full not in tensors or tensors[full].dim() <= axis:
            raise EdgekitError(f"{where} lacks tensor {full!r}, or its shape is another: it is damaged.")
        sizes[field] = tensors[full].shape[axis]
    return SEAConfig(**sizes)


def build(config: OPTConfig, sea: SEAConfig | None, tensors: dict[str, Tensor], where: str) -> OPT:
    """The module with these tensors, which it takes over: eval mode, no gradients.

    Args:
        config, sea: the shapes.
        tensors: by our names, float32.
        where: begins the sentence of an error.

    Raises:
        EdgekitError: a tensor is missing, unknown, of another shape, or not finite; or the head is not the embedding.
    """
    with torch.device("meta"):
        module = OPT(config, sea).eval().requires_grad_(False)
    expected = module.state_dict()
    head = tensors.pop("lm_head.weight", None)
    for name in expected:
        if name not in tensors:
            raise EdgekitError(f"{where} lacks tensor {name!r}: it is damaged, or of another model.")
    for name, tensor in tensors.items():
        if name not in expected:
            raise EdgekitError(f"{where} has the unknown tensor {name!r}: it is of another model or version.")
        if tensor.shape != expected[name].shape or tensor.dtype != torch.float32:
            raise EdgekitError(
                f"{where}: {name!r} is {tensor.dtype} {tuple(tensor.shape)}, a float of "
                f"{tuple(expected[name].shape)} is needed for its configuration."
            )
        if not torch.isfinite(tensor).all():
            raise EdgekitError(
                f"{where}: {name!r} has values that are not finite: its training diverged, or it is damaged; take an "
                f"earlier checkpoint, or copy it again."
            )
    if head is not None and not torch.equal(head, tensors["model.decoder.embed_tokens.weight"]):
        raise EdgekitError(f"{where}: 'lm_head.weight' is not the word embedding, as it is in every OPT.")
    module.load_state_dict(tensors, strict=True, assign=True)
    for layer in module.decoder.layers:
        if isinstance(layer.self_attn, SEAAttention):
            estimator = layer.self_attn.estimator
            estimator.fold = upsampling_matrix(estimator.config.width, estimator.config.cells).T
    return module
