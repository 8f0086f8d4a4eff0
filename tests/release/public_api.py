"""What the public interface is, as text, and how it differs from a release's.

    python -m tests.release.public_api                 # the difference to the last release
    python -m tests.release.public_api --keep          # at a release: keeps the interface of this version

Public are the names in `edgekit.__all__` and `edgekit_runtime.__all__`, the C and C++ headers, the flags of `edgekit`
and `edgekit-run`, and the manifest's fields. A snapshot maps each part to its items, and an item to what it looks like.
"""

from __future__ import annotations

import argparse
import inspect
import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import click
from packaging.version import Version

import edgekit
import edgekit_runtime
from edgekit import manifest
from edgekit.cli.main import cli

HEADERS = Path(__file__).parents[2] / "kernels" / "include" / "edgekit"
KEPT = Path(__file__).parent / "api"

Interface = dict[str, dict[str, str]]


@dataclass(frozen=True)
class Difference:
    """Items by "part: name"; of those that changed, what they were and are."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: dict[str, tuple[str, str]]

    def __str__(self) -> str:
        lines = [f"+ {item}" for item in self.added] + [f"- {item}" for item in self.removed]
        lines += [f"~ {item}\n    was {was}\n    is  {now}" for item, (was, now) in self.changed.items()]
        return "\n".join(lines) or "no difference"


def difference(before: Interface, now: Interface) -> Difference:
    """How an interface differs from an earlier one."""
    old, new = flat(before), flat(now)
    changed = {item: (old[item], new[item]) for item in old if item in new and old[item] != new[item]}
    return Difference(tuple(sorted(new.keys() - old)), tuple(sorted(old.keys() - new)), changed)


def flat(interface: Interface) -> dict[str, str]:
    return {f"{part}: {name}": text for part, items in interface.items() for name, text in items.items()}


def last_release() -> tuple[Version, Interface]:
    """The newest release that was kept, and its interface."""
    newest = max(KEPT.glob("*.json"), key=lambda path: Version(path.stem))
    found: Interface = json.loads(newest.read_text())
    return Version(newest.stem), found


def interface() -> Interface:
    """The interface of what is installed and checked out here."""
    parts: Interface = {module.__name__: dict(names(module)) for module in (edgekit, edgekit_runtime)}
    parts |= {f"edgekit/{path.name}": dict(declarations(path.read_text())) for path in sorted(HEADERS.glob("*.h"))}
    parts["edgekit (command)"] = dict(commands(cli, "edgekit"))
    parts["edgekit-run"] = dict(runner_flags())
    kinds = {name: kind if isinstance(kind, tuple) else (kind,) for name, kind in manifest.FIELDS.items()}
    parts["manifest.json"] = {name: " or ".join(kind.__name__ for kind in among) for name, among in kinds.items()}
    parts["manifest.json"]["SCHEMA"] = str(manifest.SCHEMA)
    return parts


def names(module: ModuleType) -> Iterator[tuple[str, str]]:
    """The module's public names, and of classes their public members, with signatures."""
    for name in module.__all__:
        value = getattr(module, name)
        if isinstance(value, str):
            yield name, "str"
            continue
        yield name, signature(value)
        if inspect.isclass(value):
            for member in sorted(set(dir(value)) - set(dir(Exception))):
                if not member.startswith("_"):
                    yield f"{name}.{member}", signature(inspect.getattr_static(value, member))


def signature(value: Any) -> str:
    if isinstance(value, (classmethod, staticmethod)):
        return f"{type(value).__name__} {signature(value.__func__)}"
    if isinstance(value, property):
        return f"property {signature(value.fget)}"
    if not callable(value):
        return type(value).__name__
    try:
        # Defaults that are objects would show their addresses.
        return re.sub(r" at 0x[0-9a-f]+", "", str(inspect.signature(value)))
    except (TypeError, ValueError):  # a class without a constructor of its own; native functions begin with theirs
        return "class" if inspect.isclass(value) else (inspect.getdoc(value) or "native").partition("\n")[0]


def declarations(header: str) -> Iterator[tuple[str, str]]:
    """The declarations of a header, by where they stand: namespaces, classes, structs and enums around them.

    What overloads share is one item; what is private is left out.
    """
    code = re.sub(r"/\*.*?\*/|//[^\n]*", " ", header, flags=re.DOTALL)
    found: dict[str, list[str]] = {}
    for define in re.findall(r"^#define (\w+ +\S.*)$", code, re.MULTILINE):
        name, _, value = define.partition(" ")
        found.setdefault(name, []).append(value.strip())
    # Preprocessor lines, continued ones too.
    code = re.sub(r"^\s*#(?:[^\n]*\\\n)*[^\n]*", " ", code, flags=re.MULTILINE)
    code = re.sub(r"(?<=\w)\{(\w*)\}", r"(\1)", code)  # a value
    around: list[str] = []
    private: list[bool] = []
    for piece in re.findall(r"[^{};]*[{};]", code):
        text, end = " ".join(piece[:-1].split()), piece[-1]
        while (access := re.match(r"(public|private|protected):\s*", text)) is not None:
            private[-1] = access[1] != "public"
            text = text[access.end() :]
        hidden = any(private)
        if end == "{":
            # What stands inside a function is no declaration.
            function = "(" in text and not text.startswith(("extern", "template"))
            if function and not hidden:
                found.setdefault(path(around, declared(text)), []).append(text)
            private.append(function)
            around.append(text)
            continue
        if end == "}":
            opened = around.pop()
            private.pop()
            if opened.startswith(("enum", "typedef enum")) and text and not any(private):
                for enumerator in text.split(","):
                    if enumerator.strip():
                        name, _, value = enumerator.partition("=")
                        found.setdefault(path([*around, opened], name.strip()), []).append(value.strip())
            continue
        if text and not hidden:
            found.setdefault(path(around, declared(text)), []).append(text)
    for name, texts in found.items():
        yield name, " | ".join(texts)


def declared(text: str) -> str:
    """The name that a declaration declares: before its arguments, or the last word before a value."""
    if (pointer := re.search(r"\(\*(\w+)\)", text)) is not None:
        return pointer[1]
    head = re.split(r"[=(\[]", text)[0] if "operator" not in text else text.partition("(")[0]
    words = re.findall(r"~?\w+", head)
    return words[-1] if words else text


def path(around: list[str], name: str) -> str:
    opened = [re.sub(r"\b(typedef|class|struct|enum|union|namespace|EDGEKIT_\w+_API)\b", "", text) for text in around]
    inside = [re.split(r"[:(]", text)[0].split() for text in opened if 'extern "C"' not in text]
    return "::".join([*(words[-1] for words in inside if words), name])


def commands(command: click.Command, called: str) -> Iterator[tuple[str, str]]:
    """Arguments and options of a command and of those below it."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from commands(below, f"{called} {name}")
    for parameter in command.params:
        traits = [type_name(parameter.type)]
        traits += [word for word in ("required", "multiple", "is_flag") if getattr(parameter, word, False)]
        traits += [f"nargs {parameter.nargs}"] if parameter.nargs != 1 else []
        if isinstance(parameter, click.Option):
            yield f"{called} {max(parameter.opts, key=len)}", ", ".join([*parameter.opts, *traits])
        else:
            yield f"{called} {parameter.human_readable_name}", ", ".join(traits)


def type_name(kind: click.ParamType) -> str:
    return "|".join(map(str, kind.choices)) if isinstance(kind, click.Choice) else kind.name


def runner_flags() -> Iterator[tuple[str, str]]:
    """The flags that the runner's help shows, with what they take."""
    (runner,) = (path for folder in edgekit_runtime.__path__ for path in Path(folder).glob("bin/edgekit-run"))
    said = subprocess.run([runner, "--help"], capture_output=True, text=True, check=True).stdout
    for flag, takes in re.findall(r"^  (?:-\w, )?(--[\w-]+)(.*?)(?:  |$)", said, re.MULTILINE):
        yield flag, takes.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description="How the public interface differs from the last release's.")
    parser.add_argument("--keep", action="store_true", help="keep this version's interface as a release's")
    now = interface()
    if parser.parse_args().keep:
        kept = KEPT / f"{edgekit.__version__}.json"
        kept.write_text(json.dumps(now, indent=1, sort_keys=True) + "\n")
        print(f"kept {kept.name}")
        return
    version, before = last_release()
    print(f"{version} -> {edgekit.__version__}")
    print(difference(before, now))


if __name__ == "__main__":
    main()
