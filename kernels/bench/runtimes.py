"""The same computation in other runtimes: ExecuTorch programs and ONNX Runtime sessions as functions of one tensor."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from edgekit.native_log import captured_stderr


def executorch_program(module: nn.Module, x: Tensor, xnnpack: bool = False) -> Callable[[Tensor], Any]:
    """A module as an ExecuTorch program.

    Args:
        module: takes one tensor.
        x: an example of it.
        xnnpack: lowered to XNNPACK; otherwise ExecuTorch's own kernels and edgekit's run.
    """
    with captured_stderr():
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower
        from executorch.runtime import Runtime

        from edgekit.kernels.native import load_executorch_binding

        exported = torch.export.export(module.eval(), (x,))
        partitioners = [XnnpackPartitioner()] if xnnpack else []
        buffer = to_edge_transform_and_lower(exported, partitioner=partitioners).to_executorch().buffer
        runtime = Runtime.get()
        load_executorch_binding()
        program = runtime.load_program(buffer)
        method = program.load_method("forward")
    # A method does not keep its program alive.
    return lambda x, program=program: method.execute([x])  # type: ignore[misc]


def first_output(found: Any) -> Tensor:
    """The first tensor of what a function of this module gives, or the tensor itself."""
    return found if isinstance(found, Tensor) else torch.as_tensor(found[0])


def load_llama_operators() -> None:
    """Registers ExecuTorch's operators of language models as `torch.ops.llama.*`."""
    with captured_stderr():
        import executorch.extension.llm.custom_ops.custom_ops  # noqa: F401


class Node(NamedTuple):
    """One operator of an ONNX graph: its name, what it reads and writes, its attributes."""

    operator: str
    inputs: Sequence[str]
    outputs: Sequence[str]
    attributes: Mapping[str, Any] = {}


def onnx_session(
    nodes: Sequence[Node], constants: Mapping[str, Tensor], outputs: Mapping[str, torch.dtype], x: Tensor
) -> Callable[[Tensor], Any] | None:
    """A graph in ONNX Runtime, with as many threads as torch has.

    Args:
        nodes: in order; the graph's input is "x".
        constants: what else the nodes read, by name.
        outputs: names and dtypes of the graph's results.
        x: an example of the input.

    Returns:
        None where onnxruntime or onnx is not installed; a note on stderr says so once.
    """
    if not _onnx_installed():
        return None
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    types = {torch.float32: TensorProto.FLOAT, torch.int64: TensorProto.INT64}
    graph = helper.make_graph(
        [helper.make_node(node.operator, node.inputs, node.outputs, **node.attributes) for node in nodes],
        "benchmark",
        [helper.make_tensor_value_info("x", types[x.dtype], list(x.shape))],
        [helper.make_tensor_value_info(name, types[dtype], None) for name, dtype in outputs.items()],
        [numpy_helper.from_array(tensor.numpy(), name) for name, tensor in constants.items()],
    )
    # The oldest versions that have these operators: onnx may be newer than onnxruntime.
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # Its idle threads would take the cores of the contender whose turn is next.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda x: session.run(None, {"x": x.numpy()})


@functools.cache
def _onnx_installed() -> bool:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError as error:
        print(f"ONNX Runtime is left out ({error}): pip install '.[bench]' in the checkout.", file=sys.stderr)
        return False
    return True
