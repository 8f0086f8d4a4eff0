"""Recipes for `.tflite` programs, by ai-edge-quantizer; the same layers are rounded as in a `.pte`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from edgekit.errors import EdgekitError, UsageError
from edgekit.export.capture import Graphs, inside
from edgekit.export.quantize import calibration_inputs
from edgekit.export.recipes import Recipe
from edgekit.export.tflite import quiet
from edgekit.export.weights import GROUP
from edgekit.models.model import Method, Model

#: What computes in int8 by ranges at every call, or rounds back the rows that it looks up; and what only stores.
_LINEAR = ("FULLY_CONNECTED", "BATCH_MATMUL", "EMBEDDING_LOOKUP")
_STORED = ("CONV_2D", "DEPTHWISE_CONV_2D", "CONV_2D_TRANSPOSE")


def quantize(
    program: bytes, model: Model, graphs: Graphs, methods: Sequence[Method], recipe: Recipe, kept: Sequence[str]
) -> bytes:
    """An fp32 program in a recipe's numbers; inputs and outputs stay as they are.

    Args:
        program: of `tflite.convert`.
        model: gives the inputs that ranges are taken from.
        graphs: what was converted.
        methods: of the model.
        recipe: any.
        kept: names of the submodules that stay in fp32.

    Raises:
        UsageError: the recipe asks for what ai-edge-quantizer has not.
        EdgekitError: ai-edge-quantizer cannot round this program.
    """
    if recipe.observer not in (None, "extremes"):
        raise UsageError(
            f"--observer {recipe.observer} is not for .tflite, whose ranges are a moving average of extremes: leave it "
            f"out."
        )
    if recipe.weights == "float32":
        return program
    try:
        with quiet():
            from ai_edge_quantizer.quantizer import Quantizer

            quantizer = Quantizer(bytearray(program))
            for rule in _rules(recipe, program):
                rule(quantizer)
            for scope in _scopes(graphs, kept):
                _keep(quantizer, scope)
            found = None
            if recipe.calibrated:
                found = quantizer.calibrate(
                    {
                        method.spec.name: [
                            {f"args_{place}": tensor.numpy() for place, tensor in enumerate(inputs)}
                            for inputs in calibration_inputs(model, method, recipe)
                        ]
                        for method in methods
                    }
                )
            return bytes(quantizer.quantize(found, enable_progress_report=False).quantized_model)
    except (RuntimeError, ValueError, NotImplementedError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise EdgekitError(
            f"ai-edge-quantizer cannot make {recipe.name} of this program: {lines[0].rstrip('.') if lines else error}."
        ) from error


def _rules(recipe: Recipe, program: bytes) -> Iterable[Any]:
    """What is asked of the quantizer, in order: a later rule wins."""
    from ai_edge_quantizer.algorithm_manager import AlgorithmName
    from ai_edge_quantizer.qtyping import (
        ComputePrecision,
        OpQuantizationConfig,
        QuantGranularity,
        TensorDataType,
        TensorQuantizationConfig,
        TFLOperationName,
    )

    if recipe.weights == "float16":
        half = OpQuantizationConfig(
            weight_tensor_config=TensorQuantizationConfig(num_bits=16, dtype=TensorDataType.FLOAT),
            compute_precision=ComputePrecision.FLOAT,
        )
        yield lambda quantizer: quantizer.update_quantization_recipe(
            ".*", TFLOperationName.ALL_SUPPORTED, half, AlgorithmName.FLOAT_CASTING
        )
    elif recipe.activations == "int8":
        yield lambda quantizer: quantizer.add_static_config(".*", TFLOperationName.ALL_SUPPORTED, 8, 8)
        for end in (TFLOperationName.INPUT, TFLOperationName.OUTPUT):
            yield lambda quantizer, end=end: _leave(quantizer, ".*", end)
    else:
        for name in _STORED:
            yield lambda quantizer, name=name: quantizer.add_weight_only_config(".*", TFLOperationName(name), 8)
        for name in _LINEAR:
            yield lambda quantizer, name=name: quantizer.add_dynamic_config(".*", TFLOperationName(name), 8)
        if recipe.weights == "int4":
            for scope in _grouped(program):
                yield lambda quantizer, scope=scope: quantizer.add_dynamic_config(
                    scope, TFLOperationName.FULLY_CONNECTED, 4, QuantGranularity.BLOCKWISE_32
                )


def _grouped(program: bytes) -> list[str]:
    """Patterns of the fully connected operators whose weights have rows of whole groups, and which alone read them.

    The quantizer cannot share groups between a head and a word embedding: those stay int8.
    """
    from ai_edge_litert.schema_py_generated import BuiltinOperator
    from ai_edge_quantizer.utils.tfl_flatbuffer_utils import get_op_scope, read_model

    model = read_model(memoryview(program))
    found = []
    for graph in model.subgraphs:
        readers = Counter(graph.tensors[place].buffer for call in graph.operators for place in call.inputs)
        for operator in graph.operators:
            if model.operatorCodes[operator.opcodeIndex].builtinCode != BuiltinOperator.FULLY_CONNECTED:
                continue
            weights = graph.tensors[operator.inputs[1]]
            constant = weights.buffer > 0 and model.buffers[weights.buffer].data is not None
            if constant and readers[weights.buffer] == 1 and weights.shape[-1] % GROUP == 0:
                found.append(f"^{re.escape(get_op_scope(operator, graph.tensors))}$")
    if not found:
        raise EdgekitError(
            f"no linear layer of this program has rows of whole groups of {GROUP}, so there is nothing to store in "
            f"int4: choose --recipe int8-dynamic."
        )
    return found


def _scopes(graphs: Graphs, kept: Sequence[str]) -> list[str]:
    """Patterns of the operators that were made by these submodules.

    litert-torch names a tensor after the modules that made it: each module's class, and the last part of its name.
    """
    found: dict[str, None] = {}
    for graph in graphs.values():
        for node in graph.graph.nodes:
            if inside(node, kept):
                layers = node.meta["nn_module_stack"].values()
                parts = [f"{kind}_{path.rpartition('.')[2]}" if path else str(kind) for path, kind in layers]
                found[re.escape("/".join(parts) + ";")] = None
    return list(found)


def _keep(quantizer: Any, scope: str) -> None:
    from ai_edge_quantizer.qtyping import TFLOperationName

    _leave(quantizer, scope, TFLOperationName.ALL_SUPPORTED)


def _leave(quantizer: Any, scope: str, operation: Any) -> None:
    from ai_edge_quantizer.algorithm_manager import AlgorithmName

    quantizer.update_quantization_recipe(scope, operation, None, AlgorithmName.NO_QUANTIZE)
