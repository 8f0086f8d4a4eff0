"""SEA-OPT as it ships, in a C++ program on this machine and on an emulated arm64 one, against the eager model."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgekit.models.sea_opt.checkpoint import SHIPPED, load_checkpoint
from edgekit.models.shipped import shipped_or

pytestmark = pytest.mark.slow

PROMPT = " The city was founded in the year"
STEPS = 16
#: Below this gap between the two largest logits, another token may be as right.
LEAST_GAP = 1e-3


@pytest.mark.parametrize("name", ["host", "arm64"])
def test_greedy_tokens(shipped_text_bundle, built, name, capsys):
    with shipped_or(None, *SHIPPED) as path:
        checkpoint = load_checkpoint(path)
    tokenizer, eager = checkpoint.tokenizer, checkpoint.module
    tokens = tokenizer.encode(PROMPT)
    answers = built(name).text(shipped_text_bundle / "program.pte", np.array(tokens), STEPS, tokenizer.size)
    assert len(answers) == STEPS
    same, smallest = 0, np.inf
    for logits in answers:
        with torch.no_grad():
            wanted = eager(torch.tensor([tokens]))[0, -1].numpy()
        np.testing.assert_allclose(logits, wanted, atol=1e-3)
        gap = np.diff(np.sort(wanted[: tokenizer.size])[-2:]).item()
        smallest = min(smallest, gap)
        found, expected = (int(values[: tokenizer.size].argmax()) for values in (logits, wanted))
        if gap < LEAST_GAP:
            break
        assert found == expected
        same += 1
        tokens.append(expected)
    with capsys.disabled():
        print(f"\n{name}: {same} of {STEPS} greedy tokens are the eager model's; smallest gap {smallest:.3g}")
    assert same > 0
