"""What a feature's calibrated alpha costs on other prompts than the one that it was calibrated on.

    python -m tests.benchmarks.steering_spread DATA/wikitext2/test.txt

The shipped model and dictionary; every feature, with the alpha of a KL of 0.1, more and less of it, after the
beginnings of some lines of the text. KL(before || after) of the next token, in nats, over all of these.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from edgekit.models.features.dictionary import load_dictionary
from edgekit.models.sea_opt.checkpoint import SHIPPED, load_checkpoint
from edgekit.models.sea_opt.explained import SHIPPED_FILE
from edgekit.models.shipped import shipped_or
from edgekit.models.snmf.concept_steering import line_prompts
from edgekit.models.snmf.steering import SteeredPrompt, prompt_tokens

KL, PROMPTS = 0.1, 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path)
    prompts = line_prompts([parser.parse_args().text.read_text(encoding="utf-8")], PROMPTS)
    with shipped_or(None, *SHIPPED) as path:
        checkpoint = load_checkpoint(path)
    with shipped_or(None, "sea_opt", SHIPPED_FILE) as path:
        dictionary = load_dictionary(path)
    assert checkpoint.tokenizer is not None
    print("| layer | prompts | KL asked for | median | 10 % to 90 % | largest |")
    print("| --- | --: | --: | --: | --: | --: |")
    for layer in dictionary.layers:
        changes = torch.stack(
            [
                dict(feature.steering)[kl] * layer.atoms[:, number]
                for kl in (KL, -KL)
                for number, feature in enumerate(layer.features)
                if kl in dict(feature.steering)
            ]
        )
        found = []
        for text in prompts:
            prompt = SteeredPrompt(checkpoint.module, prompt_tokens(checkpoint.tokenizer, text), layer.layer)
            found.append(prompt.divergences(changes))
        costs = torch.cat(found)
        low, middle, high = costs.quantile(torch.tensor([0.1, 0.5, 0.9])).tolist()
        print(f"| {layer.layer} | {len(prompts)} | {KL} | {middle:.3f} | {low:.3f} to {high:.3f} | {costs.max():.2f} |")


if __name__ == "__main__":
    main()
