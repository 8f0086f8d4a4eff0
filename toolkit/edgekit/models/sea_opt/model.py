"""SEA-OPT as the exporter sees it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edgekit.errors import EdgekitError, UsageError
from edgekit.files import sha256_of
from edgekit.models.features.bundle_file import FEATURES_FILE, features_json
from edgekit.models.features.explain_graph import Explain
from edgekit.models.kv import KV, KVS
from edgekit.models.metrics import Drop, Metric, Predict, TaskMetrics
from edgekit.models.model import RUN_PARTS, Method, Model, Request, StateForm, Variation, custom_variant
from edgekit.models.settings import Setting, describe_settings, read_settings, settable
from edgekit.models.shipped import shipped_or
from edgekit_runtime import generate
from edgekit_runtime.generate import TextSettings

from .agreement import cell_agreement
from .checkpoint import SHIPPED, Checkpoint, load_checkpoint
from .config import VARIANTS
from .data import load_corpus, token_stream
from .explained import load_explained
from .methods import program_methods
from .opt import OPT
from .perplexity import chunked_likelihood, likelihood, windows
from .program import ExplainedExtend, Extend
from .state import ModelState
from .whole import WholeExplained

#: What verification feeds: a whole chunk, a ragged one of so many tokens, and so many single ones.
RAGGED, SINGLE = 37, 6
#: How many of so many tokens' features verification compares.
CLEAR, CLEAR_FROM = 8, 64
#: Down to how many tokens a memory budget may take the context, and chunks that it may take.
LEAST_CONTEXT, SMALLER_CHUNKS = 256, (64, 32, 16)
#: Tokens that are predicted for the quick task metric at export; `evaluate` takes the whole test part.
METRIC_TOKENS = 256
#: By which share of the eager model's a recipe may raise perplexity, and a KV cache on top of that.
MAX_DROPS = {"fp32": 0.001, "fp16": 0.002, "int8-dynamic": 0.01, "int4": 0.03}
KV_DROPS: Mapping[KV, float] = {"fp32": 0.0, "fp16": 0.001, "int8": 0.005}


@dataclass(frozen=True)
class ExportSettings:
    """What `--set` changes at export.

    Attributes:
        context: tokens that the bundle has room for, T_max; None for the longest that the model was trained for.
        chunk: most tokens of a prompt that are taken at once.
        attention_maps: also export what `edgekit run --attention` draws from.
        dictionary: a file of `edgekit explain fit`, or "shipped": the bundle then says which features tokens have.
        shown: features that are given of a token and tapped layer, the strongest.
        steer: features that are added for good, LAYER:FEATURE=KL,..., with a KL below 0 taken away.
    """

    context: int | None = None
    chunk: int = 128
    attention_maps: bool = False
    dictionary: str | None = None
    shown: int = 5
    steer: str | None = None


def load(request: Request) -> SEAOPTModel:
    """The model for a request; without a checkpoint, the one that ships."""
    if request.sizes or request.batches != (1,):
        raise UsageError("sea-opt takes no --size and no --batch: it goes on with one text; see --set context=.")
    settings = ExportSettings(**read_settings(request.settings, settable(ExportSettings)))
    if request.checkpoint is None and request.variant not in (None, next(iter(VARIANTS))):
        raise UsageError(f"no checkpoint of sea-opt {request.variant} ships: give one with --checkpoint.")
    with shipped_or(request.checkpoint, *SHIPPED) as path:
        checkpoint = load_checkpoint(path)
        digest = sha256_of(path) if path.is_file() else None
    name = custom_variant(request.checkpoint, VARIANTS)
    model = SEAOPTModel(checkpoint, settings, _text(request), request.seed, digest, name)
    if request.variant is not None and request.variant not in (model.shape, model.variant):
        raise UsageError(f"the checkpoint is of variant {model.variant!r}, not {request.variant!r}: leave it out.")
    return model


def list_settings() -> list[Setting]:
    """What `--set` takes at export."""
    return describe_settings(ExportSettings)


def _text(request: Request) -> tuple[str, ...] | None:
    return None if request.data is None else load_corpus(request.data).test


class SEAOPTModel(Model):
    """One checkpoint, exported for one sequence at a time.

    Args:
        checkpoint: SEA's attention, or dense.
        settings: of the export.
        text: real text for verification and the metric; None for text that the model writes itself.
        seed: for what it writes.
        checkpoint_sha256: of the checkpoint's file.
        name_of_shape: what a shape without a name of its own is called.
    """

    name = "sea-opt"
    preferred_recipe = "int8-dynamic"
    refused_recipes: Mapping[str, str] = {"int8": "ranges found on some text do not hold for another"}
    quick_samples = METRIC_TOKENS
    has_kv = True
    form: StateForm = "buffers"

    def __init__(
        self,
        checkpoint: Checkpoint,
        settings: ExportSettings = ExportSettings(),
        text: Sequence[str] | None = None,
        seed: int = 0,
        checkpoint_sha256: str | None = None,
        name_of_shape: str = "custom",
    ) -> None:
        if checkpoint.tokenizer is None:
            raise UsageError(
                "the checkpoint has no tokenizer: put vocab.json and merges.txt, or tokenizer.json, into its folder."
            )
        self.checkpoint = checkpoint
        self.tokenizer = checkpoint.tokenizer
        self.settings = settings
        self.text = text
        self.seed = seed
        self.checkpoint_sha256 = checkpoint_sha256
        self.name_of_shape = name_of_shape
        self.explained = load_explained(settings.dictionary, settings.shown, settings.steer, checkpoint.module)
        self._reference = checkpoint.module if self.explained is None else self.explained.steered(checkpoint.module)
        self._written = torch.zeros(0, dtype=torch.int64)
        longest = self.reference.config.max_position_embeddings
        self.context = longest if settings.context is None else settings.context
        if not 1 <= self.context <= longest:
            raise UsageError(f"--set context={self.context}: the model was trained for 1 to {longest} tokens.")
        self.chunk = min(settings.chunk, self.context)
        if self.chunk < 2:
            raise UsageError(f"--set chunk={settings.chunk}: give 2 or more.")
        if settings.attention_maps and self.reference.sea is None:
            raise UsageError("--set attention_maps: the checkpoint has dense attention, which has no maps to draw.")

    @property
    def shape(self) -> str:
        """The variant's name without what was made of it."""
        opt = self.reference.config
        return next((name for name, known in VARIANTS.items() if known == opt), self.name_of_shape)

    @property
    def variant(self) -> str:
        name = self.shape if self.reference.sea is not None else f"{self.shape}-dense"
        return f"{name}-steered" if self.explained is not None and self.explained.steering else name

    @property
    def reference(self) -> OPT:
        return self._reference

    @property
    def keep_fp32(self) -> tuple[str, ...]:  # type: ignore[override]
        """What explains: the taps, and the solvers of `Explain`."""
        if self.explained is None:
            return ()
        return ("device.taps" if self.form == "buffers" else "taps", "solvers")

    @property
    def device_module(self) -> nn.Module:
        return self.reference  # every method has a module of its own

    @property
    def kv_types(self) -> tuple[KV, ...]:
        return KVS if self.reference.sea is not None and self.form != "standard" else ("fp32",)

    def in_form(self, form: StateForm) -> SEAOPTModel:
        """With its state in tensors it takes one token at a time, and has no `reset`: zeros are the first state."""
        if form == self.form:
            return self
        if self.settings.attention_maps:
            raise UsageError("--set attention_maps is for .pte bundles: leave it out, or export with --format pte.")
        other = copy.copy(self)
        other.form, other.chunk = form, 1
        return other

    def methods(self, kv: KV = "fp32") -> list[Method]:
        return program_methods(
            self.checkpoint.module,
            self.reference,
            self.form,
            self.context,
            self.chunk,
            kv,
            self.settings.attention_maps,
            self.explained,
        )

    def blocks(self) -> list[str]:
        """The words, the attention and the two linear layers of every decoder layer, and the head."""
        decoder, layers = "device.opt.model.decoder", range(self.reference.config.num_hidden_layers)
        parts = [f"{decoder}.layers.{index}.{part}" for index in layers for part in ("self_attn", "fc?")]
        return [f"{decoder}.embed_tokens", *parts, "device.head"]

    def calibration(self, method: Method, count: int) -> list[tuple[Tensor, ...]]:
        return []

    def verification(self, method: Method, count: int) -> list[tuple[Tensor, ...]]:
        raise NotImplementedError("the calls of a text depend on each other: see verification_calls")

    def verification_calls(
        self, methods: Sequence[Method], count: Callable[[Method], int]
    ) -> Iterator[tuple[Method, tuple[Tensor, ...]]]:
        by_name = {method.spec.name: method for method in methods}
        lengths = [self.chunk, min(RAGGED, self.chunk - 1), *[1] * SINGLE] if self.chunk > 1 else [1] * RAGGED
        tokens = self._tokens(min(sum(lengths), self.context))
        start, extend = 0, by_name["extend"]
        for length in lengths:
            part = tokens[start : start + length]
            if len(part) > 0:
                rows = torch.unique(torch.tensor([0, len(part) // 2, len(part) - 1]))
                yield extend, (part, torch.tensor(start), rows, *self._steering(0))
            start += length
        if "reset" in by_name:
            yield by_name["reset"], ()
        first = tokens[: min(5, self.chunk)]
        yield extend, (first, torch.tensor(0), torch.arange(len(first)), *self._steering(1))
        if "explain" in by_name:
            yield by_name["explain"], (self._clear_taps(tokens[:CLEAR_FROM], by_name["explain"].samples[0]),)
        if "attention_maps" in by_name:
            yield by_name["reset"], ()
            for start in range(0, min(2 * self.chunk, len(tokens)), self.chunk):
                part = tokens[start : start + self.chunk]
                yield by_name["attention_maps"], (part, torch.tensor(start))

    def task_metrics(self, predict: Predict | None, samples: int | None = None) -> TaskMetrics:
        """Perplexity per token, over windows of the context length that do not overlap."""
        tokens = self._tokens(None if samples is None else samples + 1)

        def logits(part: Tensor, start: int) -> Tensor:
            assert predict is not None
            steering = [tensor.numpy() for tensor in self._steering(0)]
            return torch.from_numpy(
                predict("extend", (part.numpy(), np.array(start), np.arange(len(part)), *steering))[0]
            )

        if predict is None:
            found = likelihood(self.reference, tokens, self.context)
        else:
            found = chunked_likelihood(windows(tokens, self.context), self.chunk, logits)
        perplexity = Metric("perplexity", found.perplexity, higher_is_better=False)
        return TaskMetrics((perplexity,), self._source, found.tokens, "tokens")

    def max_drop(self, recipe: str, kv: KV = "fp32") -> Drop:
        return Drop(MAX_DROPS[recipe] + KV_DROPS[kv], relative=True)

    def agreement(self, methods: Sequence[Method]) -> Metric | None:
        """Share of the cells that SEA's estimator chooses in the eager model, over rows that have a choice."""
        extend = methods[0].module
        tokens = self._tokens(min(METRIC_TOKENS, self.context))
        sea = self.reference.sea
        if sea is None or not isinstance(extend, (Extend, ExplainedExtend)) or len(tokens) <= sea.k_budget:
            return None
        return Metric("selected-cell agreement", cell_agreement(extend.device, self.reference, tokens).overlap)

    def variations(self) -> tuple[Variation, ...]:
        contexts = [self.context, *(2**power for power in range(20, 0, -1) if LEAST_CONTEXT <= 2**power < self.context)]
        chunks = [self.chunk, *(chunk for chunk in SMALLER_CHUNKS if chunk < self.chunk)]
        return (
            Variation("chunk", tuple(map(str, chunks)), RUN_PARTS, exact=True),
            Variation("context", tuple(map(str, contexts)), ("state", "operator_scratch")),
        )

    def pipeline(self) -> dict[str, Any]:
        opt, sea = self.reference.config, self.reference.sea
        settings = TextSettings(
            context=self.context,
            chunk=self.chunk,
            vocabulary=opt.vocab_size,
            end=self.tokenizer.end,
            k_budget=None if sea is None else sea.k_budget,
            begin=self.tokenizer.begin,
            longest=opt.max_position_embeddings,
        )
        explain = {} if self.explained is None else {"explain": self.explained.to_dict()}
        return {"name": generate.NAME, **settings.to_dict(), **explain}

    def files(self) -> Mapping[str, bytes]:
        files = {generate.TOKENIZER_FILE: self.tokenizer.to_json().encode()}
        return files if self.explained is None else files | {FEATURES_FILE: features_json(self.explained.dictionary)}

    def describe(self) -> dict[str, Any]:
        return super().describe() | {
            "checkpoint_sha256": self.checkpoint_sha256,
            "trained_on": self.checkpoint.training.get("data"),
        }

    def _steering(self, share: float) -> tuple[Tensor, ...]:
        """What `extend` takes beside tokens: of each layer's first feature a share of its mean; nothing without."""
        if self.explained is None:
            return ()
        dictionary = self.explained.dictionary
        steering = torch.zeros(len(dictionary.layers), dictionary.count)
        steering[:, 0] = torch.tensor([share * layer.features[0].mean for layer in dictionary.layers])
        return (steering,)

    def _clear_taps(self, tokens: Tensor, samples: Tensor) -> Tensor:
        """Taps of the eager model at the tokens where it is clearest which features they have: rounding may exchange
        others, as it may any order."""
        assert self.explained is not None
        dictionary, rows = self.explained.dictionary, torch.arange(0)
        with torch.no_grad():
            whole = WholeExplained(self.reference, dictionary)
            _, taps = whole(tokens, torch.tensor(0), rows, *self._steering(0))
            gaps = Explain(dictionary, self.explained.shown).clearness(taps)
        return taps[gaps.topk(min(CLEAR, len(samples), len(gaps))).indices]

    @property
    def _source(self) -> str:
        return "text that the eager model wrote" if self.text is None else "the data's text"

    def _write(self, count: int) -> Tensor:
        """So many tokens that the eager model writes; a longer text begins as a shorter one does."""
        if len(self._written) < count:
            generator = torch.Generator().manual_seed(self.seed)
            first = self.tokenizer.end if self.tokenizer.begin is None else self.tokenizer.begin
            tokens = torch.tensor([first or 0])
            # Not as it may be steered: what that costs shows on the text that it writes without.
            writer = self.checkpoint.module
            state: ModelState = writer.new_state(self.context)
            with torch.no_grad():
                while len(tokens) < count:
                    logits = writer.extend(tokens[-1:], state)[-1, : self.tokenizer.size]
                    tokens = torch.cat([tokens, torch.multinomial(logits.softmax(0), 1, generator=generator)])
            self._written = tokens
        return self._written[:count]

    def _tokens(self, count: int | None) -> Tensor:
        """At most so many tokens, None for all there are: of real text, or of one window that the eager model writes.

        Raises:
            EdgekitError: real text of fewer than two tokens.
        """
        if self.text is None:
            longest = self.context + 1  # the last is only predicted
            return self._write(longest if count is None else min(count, longest))
        tokens = token_stream(self.tokenizer, self.text)[:count]
        if len(tokens) < 2:
            raise EdgekitError("the data has fewer than two tokens: give more text.")
        return tokens
