"""The public interface against the last release's: a change raises the version, and stands in the changelog."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from packaging.version import Version

import edgekit
import edgekit_runtime

from .public_api import Difference, declarations, difference, interface, last_release

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def found() -> Difference:
    return difference(last_release()[1], interface())


def changelog() -> dict[str, dict[str, str]]:
    """Text by version, "Unreleased" among them, and heading."""
    releases = re.split(r"^## ", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)[1:]
    texts = {}
    for release in releases:
        name, _, text = release.partition("\n")
        parts = re.split(r"^### ", text, flags=re.MULTILINE)[1:]
        texts[name.split(" ")[0]] = {part.partition("\n")[0]: part.partition("\n")[2] for part in parts}
    return texts


def bare(item: str) -> str:
    """An item's own name: "edgekit/session.h: edgekit::Session::run" is run."""
    return re.split(r"[\s:.]+", item)[-1]


def test_the_version_says_what_changed(found):
    """SemVer; before 1.0.0 the second number is raised by what breaks, and by what is new."""
    last, now = last_release()[0], Version(edgekit.__version__)
    print(f"{last} -> {now}\n{found}")
    assert now >= last
    if found.removed or found.changed:
        raised = now.major > last.major or (last.major == 0 and now.minor > last.minor)
        assert raised, f"the interface changed since {last}, the version is {now}:\n{found}"
    elif found.added:
        assert (now.major, now.minor) > (last.major, last.minor), f"new since {last}, the version is {now}:\n{found}"


def test_the_changelog_says_what_changed(found):
    texts = changelog()
    told = "\n".join(texts["Unreleased"].get(heading, "") for heading in ("Changed", "Removed"))
    missing = [item for item in [*found.removed, *found.changed] if not re.search(rf"\b{bare(item)}\b", told)]
    assert not missing, f"CHANGELOG.md, Unreleased, says nothing (Changed, Removed) of: {missing}"


def test_what_is_removed_was_deprecated_in_a_release(found):
    deprecated = "\n".join(texts.get("Deprecated", "") for name, texts in changelog().items() if name != "Unreleased")
    missing = [item for item in found.removed if not re.search(rf"\b{bare(item)}\b", deprecated)]
    assert not missing, f"removed without a release in which it was deprecated: {missing}"


def test_every_release_is_in_the_changelog():
    texts = changelog()
    assert next(iter(texts)) == "Unreleased"
    assert str(last_release()[0]) in texts
    known = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert {heading for parts in texts.values() for heading in parts} <= known


def test_one_version_everywhere():
    projects = [ROOT / "pyproject.toml", ROOT / "kernels" / "runtime" / "python" / "pyproject.toml"]
    versions = [re.search(r'^version = "(.*)"$', path.read_text(), re.MULTILINE)[1] for path in projects]
    versions += re.findall(r'"edgekit-runtime==(.*)"', projects[0].read_text())
    versions += re.findall(r"^project\(edgekit VERSION (\S+)", (ROOT / "CMakeLists.txt").read_text(), re.MULTILINE)
    assert {*versions, edgekit.__version__, edgekit_runtime.__version__} == {edgekit.__version__}
    assert len(versions) == 4


HEADER = """
// A comment with code: int gone(void);
#define VERSION 3
#define LONG(x) \\
  (x)
extern "C" {
typedef enum status { OK = 0, BAD = 1 } status;
API int run(const char *name, /* int hidden, */ int count);
}
namespace n {
class C {
 public:
  int size() const noexcept;
  int size(int of) const noexcept;
  bool small() const { return size() < 2; }
 private:
  int secret_;
};
constexpr int kMost = int{1} << 4;
struct Taker { void (*take)(int) = nullptr; };
}
"""


def test_a_header_is_read():
    assert dict(declarations(HEADER)) == {
        "VERSION": "3",
        "status::OK": "0",
        "status::BAD": "1",
        "status": "status",
        "run": "API int run(const char *name, int count)",
        "n::C::size": "int size() const noexcept | int size(int of) const noexcept",
        "n::C::small": "bool small() const",
        "n::kMost": "constexpr int kMost = int(1) << 4",
        "n::Taker::take": "void (*take)(int) = nullptr",
    }


def test_differences_are_told_apart():
    before = {"edgekit/a.h": {"run": "int run(void)", "gone": "int gone(void)", "same": "int same(void)"}}
    now = {"edgekit/a.h": {"run": "int run(int)", "new": "int new(void)", "same": "int same(void)"}}
    found = difference(before, now)
    assert found.added == ("edgekit/a.h: new",)
    assert found.removed == ("edgekit/a.h: gone",)
    assert found.changed == {"edgekit/a.h: run": ("int run(void)", "int run(int)")}
