"""Capture: a module and sample inputs to graphs, one per method, sharing their weights."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import torch
from torch import nn
from torch.export import Dim, ExportedProgram
from torch.fx import Node

from edgekit.errors import EdgekitError
from edgekit.models.model import Method, is_inside

#: Captured graphs by method name.
Graphs = Mapping[str, ExportedProgram]


def capture(module: nn.Module, methods: list[Method]) -> dict[str, ExportedProgram]:
    """`torch.export` of each method; shapes are static but where a method's inputs are dynamic.

    Raises:
        EdgekitError: the module cannot be captured, or does not run on the samples.
    """
    graphs: dict[str, ExportedProgram] = {}
    for method in methods:
        try:
            with torch.no_grad(), warnings.catch_warnings():
                # ExecuTorch's own operators still call it; nobody here can change that.
                warnings.filterwarnings("ignore", "_check_is_size will be removed", FutureWarning)
                graphs[method.spec.name] = export_graph(method.module or module, method)
        except Exception as error:  # torch.export raises whatever the module raises
            shapes = ", ".join("x".join(map(str, sample.shape)) for sample in method.samples)
            raise EdgekitError(
                f"{type(module).__name__} cannot be captured for inputs {shapes}: {_first_line(error)} "
                f"(torch.export needs static control flow; see its message with -v)."
            ) from error
    return graphs


def export_graph(module: nn.Module, method: Method) -> ExportedProgram:
    """`torch.export` of one module for a method's inputs."""
    shapes = tuple(
        {0: Dim(f"{spec.name}_rows", min=1, max=spec.shape[0])} if spec.dynamic else None for spec in method.spec.inputs
    )
    dynamic = any(spec.dynamic for spec in method.spec.inputs)
    # By position, whatever the module calls them.
    inputs = (*method.samples, *state_zeros(method))
    return torch.export.export(module, inputs, dynamic_shapes=shapes if dynamic else None)


def state_zeros(method: Method) -> tuple[torch.Tensor, ...]:
    """The first states of a method whose graph takes them in."""
    return tuple(torch.zeros(spec.shape, dtype=getattr(torch, spec.dtype)) for spec in method.states)


def check_stateless(graphs: Graphs, format_name: str) -> None:
    """Refuses graphs that change a buffer or an input, for formats whose programs remember nothing from call to call.

    Raises:
        EdgekitError: names the method and what it changes.
    """
    for method, graph in graphs.items():
        schemas = [getattr(node.target, "_schema", None) for node in graph.graph.nodes]
        if not any(schema is not None and schema.is_mutable for schema in schemas):
            continue
        signature = graph.run_decompositions({}).graph_signature
        for kind, names in (("buffer", signature.buffers_to_mutate), ("input", signature.user_inputs_to_mutate)):
            for name in names.values():
                raise EdgekitError(
                    f"method {method!r} changes its {kind} '{name}', which a .{format_name} program forgets after each "
                    f"call: take it in and give it out as tensors."
                )


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else type(error).__name__


def inside(node: Node, modules: Sequence[str]) -> bool:
    """Whether a graph node was made by one of these submodules."""
    paths = [path for path, _ in node.meta.get("nn_module_stack", {}).values()]
    return any(is_inside(path, modules) for path in paths)
