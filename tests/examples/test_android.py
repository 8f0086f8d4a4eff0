"""The Android project, as far as it can be checked without Android: an SDK, an NDK and Gradle are not at hand.

The native sources are compiled against Android's jni.h, the activity against stand-ins for what it uses of Android, and
what copies a bundle out of the assets runs on this machine's virtual machine.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import xml.etree.ElementTree
from pathlib import Path

import pytest

from edgekit_runtime import Session

from ..machines import CHECKOUT

EXAMPLE = CHECKOUT / "examples" / "android"
BINDING = CHECKOUT / "kernels" / "bindings" / "java"
SOURCES = EXAMPLE / "app" / "src" / "main"
HERE = Path(__file__).parent
ANDROID_JNI = Path("/usr/include/android/nativehelper/jni.h")


def run(*command: object) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every Java source of the app and of the binding, in the Java that Android's tools take."""
    if shutil.which("javac") is None:
        pytest.skip("needs a Java development kit: apt install openjdk-17-jdk-headless")
    folder = tmp_path_factory.mktemp("classes")
    sources = [*BINDING.rglob("*.java"), *SOURCES.rglob("*.java"), *HERE.glob("android_stand_ins/**/*.java")]
    run("javac", "--release", "8", "-Xlint:all,-options,-try", "-Werror", "-d", folder, *sources)
    run("javac", "-cp", folder, "-d", folder, HERE / "java" / "InstallBundle.java")
    return folder


def test_a_bundle_comes_out_of_the_assets(classes, fp32_bundle, int8_bundle, tmp_path):
    assets, files = tmp_path / "assets", tmp_path / "files"
    files.mkdir()

    def install(source: Path) -> str:
        shutil.rmtree(assets, ignore_errors=True)
        shutil.copytree(source, assets / "bundle")
        return run("java", "-cp", classes, "InstallBundle", assets, "bundle", files).strip()

    (files / "bundle.partial" / "lib").mkdir(parents=True)  # of an app that was killed as it copied
    assert install(fp32_bundle) == str(files / "bundle")
    first = Session(files / "bundle").manifest
    assert first == Session(fp32_bundle).manifest
    kept = (files / "bundle" / "manifest.json").stat().st_ino
    install(fp32_bundle)
    assert (files / "bundle" / "manifest.json").stat().st_ino == kept
    install(int8_bundle)  # of the app's next version
    assert Session(files / "bundle").manifest == Session(int8_bundle).manifest != first
    assert [path.name for path in files.iterdir()] == ["bundle"]


def test_assets_without_a_bundle(classes, tmp_path):
    (tmp_path / "assets").mkdir()
    said = run("java", "-cp", classes, "InstallBundle", tmp_path / "assets", "bundle", tmp_path)
    assert "have no bundle 'bundle'" in said
    assert not (tmp_path / "bundle").exists()


@pytest.mark.slow
def test_the_activity_compiles(classes, tmp_path):
    if shutil.which("kotlinc") is None:
        pytest.skip("needs a Kotlin compiler: apt install kotlin")
    run("kotlinc", "-d", tmp_path / "classes", "-cp", classes, *SOURCES.rglob("*.kt"))
    assert list((tmp_path / "classes").rglob("MainActivity.class"))


@pytest.mark.parametrize("source", sorted((BINDING / "jni").glob("*.cpp")), ids=lambda path: path.stem)
def test_native_code_fits_androids_jni(source, tmp_path):
    """Its functions differ from OpenJDK's in their types."""
    compiler = shutil.which("aarch64-linux-gnu-g++")
    if compiler is None or not ANDROID_JNI.is_file():
        pytest.skip("needs apt install g++-aarch64-linux-gnu android-libnativehelper-dev")
    include = tmp_path / "include"
    include.mkdir()
    (include / "jni.h").symlink_to(ANDROID_JNI)
    headers = [f"-I{CHECKOUT / 'kernels' / 'include'}", "-isystem", include]
    run(compiler, "-std=c++17", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", *headers, source)


def test_the_project_names_what_exists():
    for manifest in EXAMPLE.rglob("AndroidManifest.xml"):
        xml.etree.ElementTree.parse(manifest)
    (activity,) = xml.etree.ElementTree.parse(SOURCES / "AndroidManifest.xml").iter("activity")
    name = activity.attrib["{http://schemas.android.com/apk/res/android}name"].removeprefix(".")
    assert [path.stem for path in SOURCES.rglob(f"{name}.kt")] == [name]
    modules = re.findall(r'":(\w+)"', (EXAMPLE / "settings.gradle.kts").read_text())
    assert sorted(modules) == ["app", "edgekit"]
    for module in modules:
        assert (EXAMPLE / module / "src" / "main" / "AndroidManifest.xml").is_file()
        text = (EXAMPLE / module / "build.gradle.kts").read_text()
        assert text.count("{") == text.count("}")
        for path in re.findall(r'rootDir\.resolve\("([^"]+)"\)', text):
            assert Path(os.path.normpath(EXAMPLE / path)) == BINDING
    rules = (EXAMPLE / "edgekit" / "consumer-rules.pro").read_text()
    kept = re.findall(r"-keep \w+ dev\.edgekit\.(\w+)", rules)
    called = re.findall(r"dev/edgekit/(\w+)", (BINDING / "jni" / "java.cpp").read_text())
    assert set(called) <= set(kept)
