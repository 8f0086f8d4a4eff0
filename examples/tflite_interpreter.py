"""A language model's .tflite in the stock LiteRT interpreter, with edgekit's operators as a delegate.

    edgekit export sea-opt --device linux-x86_64 --format tflite --recipe fp32
    python examples/tflite_interpreter.py bundles/sea-opt-linux-x86_64-fp32-tflite "The history of"

Needs ai-edge-litert and tokenizers alone: the bundle brings libedgekit_litert.so. The state (KV caches, the estimator's
sums) goes in and comes out as tensors, so the program keeps it from step to step.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter, load_delegate
from tokenizers import Tokenizer


def generate(bundle: Path, prompt: str, count: int) -> str:
    """The prompt and `count` tokens after it, each the most likely one."""
    program = json.loads((bundle / "manifest.json").read_text())["programs"][0]
    delegate = load_delegate(str(bundle / "lib" / "libedgekit_litert.so"), {"threads": "2"})
    interpreter = Interpreter(str(bundle / program["file"]), experimental_delegates=[delegate], num_threads=2)
    extend = interpreter.get_signature_runner("extend")

    # Inputs are token, position, row; then the states, which the outputs give back after the logits.
    states = [np.zeros(state["shape"], state["dtype"]) for state in program["states"]]
    tokenizer = Tokenizer.from_file(str(bundle / "tokenizer.json"))
    tokens = tokenizer.encode(prompt).ids
    for position in range(len(tokens) + count - 1):
        inputs = [np.array([tokens[position]], np.int32), np.array(position, np.int32), np.array([0], np.int32)]
        outputs = extend(**{f"args_{place}": value for place, value in enumerate([*inputs, *states])})
        states = [outputs[f"output_{1 + place}"] for place in range(len(states))]
        if position == len(tokens) - 1:
            # There may be more logits than tokens.
            tokens.append(int(outputs["output_0"][0, : tokenizer.get_vocab_size()].argmax()))
    return str(tokenizer.decode(tokens))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(f"usage: {sys.argv[0]} BUNDLE PROMPT")
    print(generate(Path(sys.argv[1]), sys.argv[2], 24))
