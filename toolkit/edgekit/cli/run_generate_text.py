"""`edgekit run` for text generation: a prompt in, the text that follows out, as it comes."""

from __future__ import annotations

import sys

from edgekit.bundle import Bundle
from edgekit.cli import run_explain
from edgekit.cli.run import RunRequest
from edgekit.errors import UsageError
from edgekit.files import read_text
from edgekit.report import bytes_text, print_json
from edgekit.sessions import open_session
from edgekit_runtime.generate import Generation, TextGenerator

#: Bytes of one weight of the linear layers, by the recipe's name for them.
WEIGHT_BYTES = {"float32": 4.0, "int8": 1.0, "int4": 0.5}
MAX_TOKENS = 100


def run(bundle: Bundle, request: RunRequest) -> None:
    """Streams the text; then prints its explanation, where it was asked for, speed and memory."""
    request.take(
        *("inputs", "prompt", "max_tokens", "temperature", "seed", "attention", "layer", "head"),
        *("explain", "steer", "picture", "output"),
    )
    run_explain.check(request)
    if request.attention is None and (request.layer or request.head):
        raise UsageError("--layer and --head choose what --attention draws: give it a FILE.png.")
    if request.attention is not None:
        _check_maps(bundle, request)
    prompt = _prompt(request)
    generator = TextGenerator(open_session(bundle))
    run_explain.prepare(generator, request)
    went = Generation()
    pieces = generator.generate(
        prompt, request.max_tokens or MAX_TOKENS, request.temperature or 0.0, request.seed or 0, went
    )
    try:
        if not request.as_json:
            sys.stdout.write(prompt)
        for piece in pieces:
            if not request.as_json:
                sys.stdout.write(piece)
                sys.stdout.flush()
    finally:
        # Also where it is interrupted: the next line is not the text's.
        if not request.as_json:
            print(flush=True)
    explanation = run_explain.explained(generator) if request.explain else None
    if explanation is not None:
        run_explain.write(bundle, request, prompt, went, explanation)
    if request.attention is not None:
        _draw(generator, generator.encode(prompt), went.tokens, request)
    if request.as_json:
        more = {} if explanation is None else {"explanation": explanation}
        print_json({"prompt": prompt, "text": went.text, "reason": went.reason, **measures(bundle, went), **more})
        return
    if explanation is not None:
        run_explain.print_explanation(explanation, went.prompt_tokens)
    if not request.quiet:
        print()
        if generator.steered:
            print(run_explain.steering_text(generator))
        print(_summary(bundle, went))
        for path in (request.picture, request.output, request.attention):
            if path is not None:
                print(f"Written: {path}")
        print(f"Next: {_next(bundle, request)}")


def _next(bundle: Bundle, request: RunRequest) -> str:
    if request.output is not None:
        return f"edgekit report {request.output} -o report.html"
    if request.explain:
        return f"edgekit explain show {bundle.path}"
    return f"edgekit evaluate {bundle.path} --data TEXT.txt"


def _prompt(request: RunRequest) -> str:
    if request.prompt is not None and request.inputs:
        raise UsageError("--prompt and --input were both given, and this bundle goes on with one text: leave one out.")
    if len(request.inputs) > 1:
        raise UsageError(f"{len(request.inputs)} files were given with --input: this bundle goes on with one text.")
    if request.prompt is not None:
        return request.prompt
    if not request.inputs:
        raise UsageError("this bundle goes on with a text: give it with --prompt TEXT, or one --input FILE.txt.")
    path = request.inputs[0]
    if not path.is_file():
        raise UsageError(f"there is no file {path}: give the prompt in a .txt file, or with --prompt.")
    return read_text(path, "this bundle takes a prompt, with --prompt TEXT or from a .txt file in UTF-8")


def measures(bundle: Bundle, went: Generation) -> dict[str, int | float | None]:
    """Tokens, tokens per second (None where none came), bytes of weights read per second, and the peak of memory."""
    # The first token comes with the prompt.
    steps = went.generated_tokens - 1
    weights = weight_bytes(bundle)
    speed = steps / went.generated_seconds if steps > 0 else None
    return {
        "prompt_tokens": went.prompt_tokens,
        "generated_tokens": went.generated_tokens,
        "prompt_tokens_per_s": went.prompt_tokens / went.prompt_seconds if went.prompt_seconds else None,
        "generated_tokens_per_s": speed,
        "weight_bytes_per_token": weights,
        "weight_gb_per_s": None if speed is None or weights is None else 1e-9 * weights * speed,
        "peak_memory_bytes": peak_memory(),
    }


def weight_bytes(bundle: Bundle) -> int | None:
    """Bytes of the weights that one token is multiplied by, by the manifest's count of multiplications; None where
    there is no count."""
    from edgekit.export.recipes import find_recipe

    program = bundle.manifest["programs"][0]
    if "delegation" not in program:
        return None
    macs = program["delegation"]["extend"]["delegated_macs"]
    rows = bundle.manifest["pipeline"]["chunk"]
    return int(macs / rows * WEIGHT_BYTES[find_recipe(str(bundle.manifest["recipe"])).weights])


def peak_memory() -> int | None:
    """The process's peak resident memory in bytes; None where the system does not tell."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _summary(bundle: Bundle, went: Generation) -> str:
    found = measures(bundle, went)
    reasons = {"end": "the text ended", "length": "as many as asked for", "context": "the context is full"}
    parts = [f"prompt: {found['prompt_tokens']} tokens, {found['prompt_tokens_per_s']:.0f} tokens/s"]
    generated = f"generated: {found['generated_tokens']} tokens ({reasons[went.reason]})"
    if found["generated_tokens_per_s"] is not None:
        generated += f", {found['generated_tokens_per_s']:.0f} tokens/s"
        parts.append(generated)
        if found["weight_gb_per_s"] is not None:
            parts.append(f"weights read: {found['weight_gb_per_s']:.2f} GB/s")
    else:
        parts.append(generated)
    if found["peak_memory_bytes"] is not None:
        parts.append(f"peak memory of this process: {bytes_text(int(found['peak_memory_bytes']))}")
    return "; ".join(parts) + "."


def _check_maps(bundle: Bundle, request: RunRequest) -> None:
    from edgekit.pipelines.attention_maps import find_method

    assert request.attention is not None
    if request.attention.suffix.lower() != ".png":
        raise UsageError(f"{request.attention} is not the name of a picture: let it end in .png.")
    layers, heads = find_method(bundle).outputs[0].shape[1:3]
    for name, value, most in (("layer", request.layer or 1, layers), ("head", request.head or 1, heads)):
        if value > most:
            raise UsageError(f"--{name} {value}: the model has {most} {name}s.")


def _draw(generator: TextGenerator, prompt: list[int], generated: list[int], request: RunRequest) -> None:
    from edgekit.attention_pictures import draw_attention
    from edgekit.pipelines.attention_maps import attention_map

    assert request.attention is not None
    layer, head = request.layer or 1, request.head or 1
    tokens = prompt + generated
    found = attention_map(generator, tokens, layer - 1, head - 1)
    words = [generator.tokenizer.name(token) for token in tokens]
    title = f"{generator.session.path.name}, layer {layer}, head {head}"
    draw_attention(found, words, len(prompt), request.attention, title)
