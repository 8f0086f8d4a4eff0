"""What a bundle carries: checked against the device beforehand, and run from a plain copy on an emulated one."""

from __future__ import annotations

import json
import platform
from dataclasses import replace

import numpy as np
import pytest
import torch
from elftools.elf.elffile import ELFFile

import edgekit
from edgekit.devices.profile import load_profile
from edgekit.errors import EdgekitError
from edgekit.export.carried import check_libraries, check_operators, needed
from edgekit.export.native_files import missing_for, native_files
from edgekit.kernels import library_path
from edgekit.kernels.gpu_images import carried, unpack
from edgekit.signing import load_private_key, make_keys, sign
from edgekit_runtime import Session

#: Newer than anything that builds.
NEW = "99.0"


@pytest.fixture(scope="module")
def here():
    """This machine's files, and a device that takes them."""
    return native_files(platform.machine()), replace(load_profile("linux-x86_64"), glibc=NEW)


def test_the_files_of_this_machine_fit_it(here):
    files, device = here
    assert {"edgekit-run", "lib/libedgekit_runtime.so", "lib/libexecutorch.so"} <= set(files)
    check_libraries(files, device)
    check_operators(files, device, "pte", ["aten::add.out", "edgekit::sea_estimate.out"], ["XnnpackBackend"])


def test_what_does_not_fit(here, tmp_path):
    files, device = here
    with pytest.raises(EdgekitError, match=r"needs glibc 2\.\d+, linux-x86_64 has 2\.2: build on an older system"):
        check_libraries(files, replace(device, glibc="2.2"))
    with pytest.raises(EdgekitError, match="EM_X86_64, linux-x86_64 is aarch64"):
        check_libraries(files, replace(device, architecture="aarch64"))
    fewer = {name: path for name, path in files.items() if "libexecutorch.so" not in name}
    with pytest.raises(EdgekitError, match=r"needs libexecutorch\.so, which the bundle would not carry"):
        check_libraries(fewer, device)
    with pytest.raises(EdgekitError, match=r"no library for linux-x86_64 has aten::no_such\.out, NoDelegate"):
        check_operators(files, device, "pte", ["aten::add.out", "aten::no_such.out"], ["NoDelegate"])


def test_why_there_are_none(monkeypatch):
    monkeypatch.delenv("ANDROID_NDK_HOME", raising=False)
    assert "ANDROID_NDK_HOME" in missing_for(load_profile("android-arm64"))


@pytest.mark.slow
def test_the_same_gpu_code_for_a_jetson(emulated_device):
    """Built with a cross compiler, and loadable where there is neither CUDA nor a newer C library than a Jetson's."""
    files = native_files("aarch64")
    check_libraries(files, load_profile("jetson-orin-nano"))
    library = files["lib/libedgekit_ops.so"]
    code = carried(library)
    assert code == carried(library_path("ops"))
    assert "sm_87" in {image.architecture for image in unpack(code)}
    with library.open("rb") as file:
        assert not [name for name in needed(ELFFile(file)) if "cu" in name or "nv" in name]


def test_other_gpu_code_is_another_build(monkeypatch):
    from edgekit.export import native_files

    before = native_files.cached("aarch64")
    monkeypatch.setattr(native_files, "_gpu_code", lambda: b"other code")
    assert native_files.cached("aarch64") != before


@pytest.mark.slow
def test_a_bundle_runs_where_it_is_copied(emulated_device, tmp_path):
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 4)).eval()
    made = edgekit.export_module(
        module, (torch.rand(1, 8),), device="raspberry-pi-5", recipe="fp32", output_dir=tmp_path
    )
    x = np.linspace(-1, 1, 8, dtype=np.float32)[None]
    np.save(tmp_path / "x.npy", x)
    arguments = ("--input", tmp_path / "x.npy", "--output", tmp_path / "answers", "--json")
    done = emulated_device.run(made.path, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    (written,) = (output["written"] for output in json.loads(done.stdout)["outputs"])
    with torch.no_grad():
        wanted = module(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(np.load(written), wanted, atol=1e-5)
    np.testing.assert_allclose(Session(made).run(x)[0], wanted, atol=1e-5)
    # The same program, with the curve's arithmetic on arm64.
    make_keys(tmp_path / "key")
    needed = ("--require-signature", tmp_path / "key.pub")
    unsigned = emulated_device.run(made.path, *arguments, "--force", *needed)
    assert unsigned.returncode == 1
    assert "is not signed, and a signature is required" in unsigned.stderr
    sign(made, load_private_key(tmp_path / "key"))
    signed = emulated_device.run(made.path, *arguments, "--force", *needed)
    assert (signed.returncode, signed.stderr) == (0, "")
