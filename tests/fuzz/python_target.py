"""One Python parser under Atheris: `python -m tests.fuzz.python_target NAME [libFuzzer's flags] [CORPUS...]`.

A target takes bytes. Whatever they are, it gives an answer or raises EdgekitError with one sentence; anything else ends
the program, which the fuzzer reports.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["edgekit"]):
    from edgekit import manifest
    from edgekit.devices import results
    from edgekit.devices.profile import parse_profile
    from edgekit.errors import EdgekitError
    from edgekit.models.features.dictionary import load_dictionary
    from edgekit.models.rpcanet import checkpoint as rpcanet
    from edgekit.models.sea_opt import checkpoint as sea_opt
    from edgekit.models.stackvae_g import checkpoint as stackvae_g
    from edgekit.models.stackvae_g import data as stackvae_g_data
    from edgekit.tokenizer import Tokenizer

FOLDER = Path(tempfile.mkdtemp())


def _file(name: str, data: bytes) -> Path:
    path = FOLDER / name
    path.write_bytes(data)
    return path


def python_manifest(data: bytes) -> None:
    """Sealed anew where it is JSON, so that what lies behind the hash is reached."""
    try:
        fields = json.loads(data)
        data = manifest.dump(fields) if isinstance(fields, dict) else data
    except (ValueError, RecursionError):
        pass
    manifest.load(_file("manifest.json", data).parent)


def python_profile(data: bytes) -> None:
    parse_profile(data.decode(errors="replace"), "profile.toml")


def python_results(data: bytes) -> None:
    results.read_results([_file("results.jsonl", data)], explained=True)


def python_checkpoint(data: bytes) -> None:
    path = _file("a.safetensors", data)
    for load in (rpcanet.load_checkpoint, stackvae_g.load_checkpoint, sea_opt.load_checkpoint):
        try:
            load(path)
        except EdgekitError as error:
            _check(error)


def python_dictionary(data: bytes) -> None:
    load_dictionary(_file("dictionary.safetensors", data))


def python_pickled(data: bytes) -> None:
    rpcanet.load_checkpoint(_file("a.pth", data))


def python_archive(data: bytes) -> None:
    stackvae_g_data.load_entities(_file("a.npz", data))


def python_tokenizer(data: bytes) -> None:
    folder = FOLDER / "tokenizer"
    folder.mkdir(exist_ok=True)
    (folder / "tokenizer.json").write_bytes(data)
    tokenizer = Tokenizer.from_folder(folder)
    if tokenizer is not None:
        tokenizer.decode(tokenizer.encode("the red cat's </s>  42"))


TARGETS: dict[str, Callable[[bytes], None]] = {
    one.__name__: one
    for one in (
        python_manifest,
        python_profile,
        python_results,
        python_checkpoint,
        python_dictionary,
        python_pickled,
        python_archive,
        python_tokenizer,
    )
}


def _check(error: EdgekitError) -> None:
    if not str(error).endswith("."):
        raise AssertionError(f"no sentence: {error!s}") from error


def main(name: str, flags: list[str]) -> None:
    target = TARGETS[name]

    def one(data: bytes) -> None:
        try:
            target(data)
        except EdgekitError as error:
            _check(error)

    atheris.Setup([sys.argv[0], *flags], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
