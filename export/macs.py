"""Multiply-accumulates of a graph, and the share of them that fast kernels take: a delegate's, or edgekit's own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from typing import Any

import torch
from executorch.exir.lowered_backend_module import LoweredBackendModule
from torch.fx import GraphModule, Node

from edgekit.export.operator_cost import sea_estimate_macs
from edgekit.kernels.sea import SeaWeights


@dataclass
class MacCount:
    """Multiply-accumulates of one method.

    Attributes:
        delegated: done by a delegate.
        ours: done by edgekit's operators, by their names.
        undelegated: done by ExecuTorch's own kernels, by operator name.
        delegated_operators: how often each operator occurs inside delegates.
        our_operators: how often each of edgekit's operators occurs.
        undelegated_operators: the same of all others outside delegates.
    """

    delegated: int = 0
    ours: Counter[str] = field(default_factory=Counter)
    undelegated: Counter[str] = field(default_factory=Counter)
    delegated_operators: Counter[str] = field(default_factory=Counter)
    our_operators: Counter[str] = field(default_factory=Counter)
    undelegated_operators: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        return self.fast + sum(self.undelegated.values())

    @property
    def fast(self) -> int:
        """What fast kernels do: a delegate's, or edgekit's own."""
        return self.delegated + sum(self.ours.values())

    @property
    def share(self) -> float:
        """Fast share in [0, 1]; 1 for a method without multiplications."""
        return self.fast / self.total if self.total else 1.0


def count_macs(graph: GraphModule) -> MacCount:
    """Counts a lowered graph, looking into its delegates."""
    count = MacCount()
    for node in graph.graph.nodes:
        if node.op == "get_attr":
            target = getattr(graph, str(node.target), None)
            if isinstance(target, LoweredBackendModule):
                for inner in target.original_module.graph_module.graph.nodes:
                    if (name := operator_name(inner)) is not None:
                        count.delegated += node_macs(inner)
                        count.delegated_operators[name] += 1
        elif (name := operator_name(node)) is not None:
            ours = name.startswith("edgekit::")
            (count.our_operators if ours else count.undelegated_operators)[name] += 1
            if macs := node_macs(node):
                (count.ours if ours else count.undelegated)[name] += macs
    return count


def operator_name(node: Node) -> str | None:
    """ "aten::linear" for a node that calls an operator, else None (the call of a delegate is none)."""
    schema = getattr(_operator(node), "_schema", None)
    if node.op != "call_function" or schema is None or "executorch_call_delegate" in str(node.target):
        return None
    return str(schema.name)


def _operator(node: Node) -> Any:
    """What a node calls; a call that changes its arguments is wrapped by torch, which then names them."""
    return node.args[0] if node.target in _WRAPPERS else node.target


def _arguments(node: Node) -> list[Any]:
    """A node's arguments in the order of the operator's schema, as far as they are given."""
    if node.target not in _WRAPPERS:
        return list(node.args)
    found = []
    for argument in _operator(node)._schema.arguments:
        base = node.kwargs.get(f"_{argument.name}_base_index")
        bases: Any = node.kwargs.get("_all_bases")
        found.append(node.kwargs.get(argument.name) if base is None else bases[base])
    return found


def node_macs(node: Node) -> int:
    """Multiply-accumulates of one node from the shapes of its operands; 0 for operators that have none."""
    formula = _FORMULAS.get((operator_name(node) or "").split("::")[-1])
    return formula(node) if formula is not None else 0


def _shape(argument: Any) -> tuple[int, ...]:
    """A dynamic size counts as large as in the sample, which is the largest."""
    return tuple(size if isinstance(size, int) else int(size.node.hint) for size in argument.meta["val"].shape)


def _output(node: Node) -> int:
    return prod(_shape(node))


def _product(node: Node) -> int:
    """mm and bmm: output elements times the contracted length."""
    return _output(node) * _shape(node.args[0])[-1]


def _add_product(node: Node) -> int:
    return _output(node) * _shape(node.args[1])[-1]


def _convolution(node: Node) -> int:
    """Elements of the output (of the input if transposed) times the weights that each one meets."""
    # Only the general operator has a seventh argument "transposed"; the others' seventh is their groups.
    transposed = operator_name(node) == "aten::convolution" and bool(node.args[6])
    return _transposed_convolution(node) if transposed else _output(node) * prod(_shape(node.args[1])[1:])


def _transposed_convolution(node: Node) -> int:
    return prod(_shape(node.args[0])) * prod(_shape(node.args[1])[1:])


def _attention(node: Node) -> int:
    """Scaled dot-product attention: queries times keys, weights times values."""
    query, key, value = (_shape(argument) for argument in node.args[:3])
    return prod(query[:-1]) * key[-2] * (query[-1] + value[-1])


def _cached_attention(node: Node) -> int:
    """Dense attention of (1, T, H, d) to all that the caches (1, T_max, H, d) have room for."""
    query, cache = (_shape(argument) for argument in (_arguments(node)[0], _arguments(node)[3]))
    return 2 * prod(query) * cache[1]


def _sparse_attention(node: Node) -> int:
    """Each head and row attends to k_budget tokens on average, and to no more than the cache holds."""
    query, cache, *_, budget = _arguments(node)[:8]
    query, cache = _shape(query), _shape(cache)
    return 2 * prod(query) * min(budget, cache[1])


def _estimate(node: Node) -> int:
    query, _, _, _, tensors = _arguments(node)[:5]
    heads, rows, size = _shape(query)
    return sea_estimate_macs(rows, heads, size, SeaWeights(*tensors), _shape)


_WRAPPERS = (torch.ops.higher_order.auto_functionalized, torch.ops.higher_order.auto_functionalized_v2)

_FORMULAS: dict[str, Callable[[Node], int]] = {
    "linear": _product,
    "mm": _product,
    "bmm": _product,
    "matmul": _product,
    "addmm": _add_product,
    "baddbmm": _add_product,
    "convolution": _convolution,
    "conv1d": _convolution,
    "conv2d": _convolution,
    "conv3d": _convolution,
    "conv_transpose1d": _transposed_convolution,
    "conv_transpose2d": _transposed_convolution,
    "conv_transpose3d": _transposed_convolution,
    "scaled_dot_product_attention": _attention,
    "sdpa_with_kv_cache": _cached_attention,
    "sparse_topk_attention": _sparse_attention,
    "sea_estimate": _estimate,
}


def graph_macs(graph: GraphModule) -> int:
    """Multiply-accumulates of a captured graph, before any delegate."""
    return sum(node_macs(node) for node in graph.graph.nodes)
