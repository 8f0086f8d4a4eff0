"""The methods of a program, with and without features: their inputs, outputs and modules."""

from __future__ import annotations

import torch

from edgekit.models.features.explain_graph import Explain
from edgekit.models.kv import KV
from edgekit.models.model import Method, StateForm
from edgekit_runtime.tensors import MethodSpec, TensorSpec

from .explained import Explained
from .opt import OPT
from .program import AttentionMaps, DeviceOPT, ExplainedExtend, Extend, Reset
from .stateless import NextToken
from .whole import WholeExplained, WholeMaps, WholeSequence


def program_methods(
    trained: OPT,
    reference: OPT,
    form: StateForm,
    context: int,
    chunk: int,
    kv: KV = "fp32",
    attention_maps: bool = False,
    explained: Explained | None = None,
) -> list[Method]:
    """What to export of a model.

    Args:
        trained: as it was loaded.
        reference: what answers are compared with: the same, steered for good where `explained` says so.
        form: where the state is; with a state in tensors there is no `reset`: zeros are the first state.
        context: tokens that there is room for.
        chunk: most tokens a call; 1 where the state is in tensors.
        kv: how the KV cache is stored.
        attention_maps: whether there is a method for them.
        explained: features to find and to steer by.
    """
    extend, samples = _extend(reference, form, chunk, explained)
    features = () if explained is None else (explained.dictionary, explained.constant)
    whole = WholeSequence(reference) if explained is None else WholeExplained(reference, explained.dictionary)
    explain = [] if explained is None else [_explain(form, chunk, explained)]
    if form != "buffers":
        step = NextToken(trained, context, kv, form, *features)
        states = tuple(
            TensorSpec(name, tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))
            for name, tensor in step.states.items()
        )
        return [Method(extend, samples, step, whole, states), *explain]
    device = DeviceOPT(trained, context, kv, *features)
    length = TensorSpec("length", (), "int64", "tokens")
    methods = [
        Method(extend, samples, (Extend if explained is None else ExplainedExtend)(device), whole),
        Method(MethodSpec("reset", (), (length,)), (), Reset(device), Reset(device)),
        *explain,
    ]
    if attention_maps and reference.sea is not None:
        methods.append(_attention_maps(device, reference, chunk, extend, samples))
    return methods


def _extend(
    reference: OPT, form: StateForm, chunk: int, explained: Explained | None
) -> tuple[MethodSpec, tuple[torch.Tensor, ...]]:
    words, several = reference.config.vocab_size, form == "buffers"
    tokens = TensorSpec("tokens", (chunk,), "int64", "token ids", dynamic=several)
    position = TensorSpec("position", (), "int64", "tokens before these")
    rows = TensorSpec("rows", (chunk,), "int64", "of tokens after which the next is asked for", dynamic=several)
    logits = TensorSpec("logits", (chunk, words), "float32", "logits", dynamic=several)
    samples = torch.arange(chunk) % words, torch.tensor(0), torch.arange(chunk)
    if explained is None:
        return MethodSpec("extend", (tokens, position, rows), (logits,)), samples
    shape = len(explained.dictionary.layers), explained.dictionary.count
    steering = TensorSpec("steering", shape, "float32", "what is added of each layer's features")
    spec = MethodSpec("extend", (tokens, position, rows, steering), (logits, _taps(form, chunk, explained)))
    return spec, (*samples, torch.zeros(shape))


def _taps(form: StateForm, chunk: int, explained: Explained) -> TensorSpec:
    shape = chunk, len(explained.dictionary.layers), explained.dictionary.count + 1
    return TensorSpec("taps", shape, "float32", "by token and layer", dynamic=form == "buffers")


def _explain(form: StateForm, chunk: int, explained: Explained) -> Method:
    taps = _taps(form, chunk, explained)
    shape = *taps.shape[:2], explained.shown
    outputs = (
        TensorSpec("features", shape, "int64", "the strongest first", dynamic=taps.dynamic),
        TensorSpec("values", shape, "float32", "coefficients; 0 where there is no feature", dynamic=taps.dynamic),
        TensorSpec("unexplained", shape[:2], "float32", "share of the activations' energy", dynamic=taps.dynamic),
    )
    dictionary, shown = explained.dictionary, explained.shown
    spec = MethodSpec("explain", (taps,), outputs)
    return Method(spec, (torch.ones(taps.shape),), Explain(dictionary, shown, form), Explain(dictionary, shown))


def _attention_maps(
    device: DeviceOPT, reference: OPT, chunk: int, extend: MethodSpec, samples: tuple[torch.Tensor, ...]
) -> Method:
    opt, sea = reference.config, reference.sea
    assert sea is not None
    outputs = [
        TensorSpec(
            name,
            (chunk, opt.num_hidden_layers, opt.num_attention_heads, size),
            "float32",
            "by token, layer and head",
            dynamic=True,
        )
        for name, size in (("scores", sea.cells), ("q", opt.head_size), ("k", opt.head_size))
    ]
    spec = MethodSpec("attention_maps", extend.inputs[:2], tuple(outputs))
    return Method(spec, samples[:2], AttentionMaps(device), WholeMaps(reference))
