"""Device profiles: TOML files that say what a target has (CPU, memory, GPU, C library) and which programs it takes.

The keys of a file are the fields of the dataclasses below; fields with a default may be left out. A figure that is not
published, or that differs over the class of devices that a profile stands for, is written "unknown" and read as None:
leaving it out is an error, so that no figure goes missing by accident.
"""

from __future__ import annotations

import difflib
import math
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from importlib.resources import files
from pathlib import Path

from edgekit.devices.tensorrt import known_versions, load_tensorrt
from edgekit.errors import EdgekitError, UsageError, unknown_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

UNKNOWN = "unknown"
OPERATING_SYSTEMS = ("linux", "android")
FORMATS = ("pte", "tflite", "onnx")
ISA = {
    "aarch64": ("neon", "dotprod", "fp16", "i8mm", "bf16", "sve", "sve2"),
    "x86_64": ("avx2", "fma", "f16c", "avx512f", "avx512vnni", "avxvnni"),
}
KERNELS = ("scalar", "neon", "avx2")
PEAK_SOURCES = ("measured", "theoretical")
#: edgekit's operators that have kernels for GPUs.
GPU_OPERATORS = ("sparse_topk", "kv_append", "sparse_topk_attention", "sea_estimate", "csr_matmul")
#: For `GpuProfile.least_work`: as `edgekit.devices.gpu_work` computes it.
COMPUTED = "computed"

_NAME = (r"[a-z0-9]+([-_][a-z0-9]+)*", "lower-case words joined by hyphens, such as 'my-board'")
_VERSION = (r"\d+(\.\d+)+", "a version in quotes, such as '2.35'")
_CAPABILITY = (r"\d+\.\d", "a compute capability in quotes, such as '8.7'")
_TEXT = (r".*\S.*", "a text in quotes")


@dataclass(frozen=True)
class CpuProfile:
    """The processor.

    Attributes:
        model: name of the core, or of the baseline for a class of devices.
        cores: number of cores, or None if unknown.
        clock_ghz: highest clock in GHz (10^9 cycles per second) as sold, or None if unknown.
        isa: instruction set extensions that are sure to be there, names as in `ISA`.
    """

    model: str
    cores: int | None
    clock_ghz: float | None
    isa: tuple[str, ...]


@dataclass(frozen=True)
class MemoryProfile:
    """The memory, which a GPU on the same chip shares.

    Attributes:
        total_mb: installed memory in MB of 2^20 bytes, or None if unknown; the operating system needs a part of it.
        bandwidth_gb_per_s: theoretical peak in GB/s (10^9 bytes per second), or None if unknown.
    """

    total_mb: int | None
    bandwidth_gb_per_s: float | None


@dataclass(frozen=True)
class GpuProfile:
    """A GPU that runs CUDA. Figures that a file leaves out are None, as unknown ones are.

    Attributes:
        name: what the vendor calls it.
        compute_capability: "8.7" stands for sm_87.
        cuda: CUDA version of the device's software: the newest that its driver takes.
        jetpack: JetPack version that brings it, on Jetson only.
        tensorrt: TensorRT version that programs in ONNX are for; None where the device has none.
        integrated: whether it is on the CPU's chip and shares its memory, bandwidth included.
        multiprocessors: how many it has (SMs).
        clock_ghz: highest clock in GHz as sold.
        fp32_gflops: 10^9 operations per second, a multiply-accumulate being two.
        shared_kb_per_multiprocessor: fast memory of a multiprocessor that blocks share, in KB of 2^10 bytes.
        shared_kb_per_block: of it, what one block may ask for.
        least_work: by operator of `GPU_OPERATORS`, from how much work on it goes to the GPU, in the units of
            `edgekit.devices.gpu_work.UNITS`; those that are not in it stay on the CPU. "computed": as that module says.
            None: all stay on the CPU.
    """

    name: str
    compute_capability: str
    cuda: str
    jetpack: str | None = None
    tensorrt: str | None = None
    integrated: bool = False
    multiprocessors: int | None = None
    clock_ghz: float | None = None
    fp32_gflops: float | None = None
    shared_kb_per_multiprocessor: int | None = None
    shared_kb_per_block: int | None = None
    least_work: Mapping[str, int] | str | None = field(default=None, hash=False)

    @property
    def capability(self) -> tuple[int, int]:
        """(8, 7) for "8.7"."""
        major, minor = self.compute_capability.split(".")
        return int(major), int(minor)

    @property
    def driver(self) -> tuple[int, ...]:
        """(12, 6) for CUDA "12.6"."""
        return tuple(map(int, self.cuda.split(".")))


@dataclass(frozen=True)
class PeaksProfile:
    """What the CPU computes at most, with all of its cores, and what it costs to begin.

    Attributes:
        source: "measured" (`edgekit devices measure`), or "theoretical": cores x clock x what a core does in a cycle.
        fp32_gflops, fp16_gflops: 10^9 operations per second, a multiply-accumulate being two; None if unknown. fp16 is
            fp32's where the CPU has no arithmetic in half precision.
        int8_gops: likewise, of bytes.
        launch_us: microseconds to hand work to all cores and have them back, or None if unknown.
    """

    source: str
    fp32_gflops: float | None
    fp16_gflops: float | None
    int8_gops: float | None
    launch_us: float | None


@dataclass(frozen=True)
class CacheProfile:
    """A level of data caches.

    Attributes:
        level: 1 is the smallest.
        kb: of one of them, in KB of 2^10 bytes.
        cores: that share one.
        bandwidth_gb_per_s: of all of them together, with all cores reading, or None if unknown.
    """

    level: int
    kb: int
    cores: int
    bandwidth_gb_per_s: float | None


@dataclass(frozen=True)
class DeviceProfile:
    """A target.

    Attributes:
        name: what `--device` takes.
        title: what people call it.
        architecture: "aarch64" or "x86_64".
        operating_system: "linux" or "android".
        cpu: the processor.
        memory: the memory.
        formats: programs that the device takes, the preferred one first.
        kernels: which of edgekit's kernels the device may use, the preferred one first.
        default_recipe: the recipe where the user names none; export knows which there are.
        aliases: other names for it.
        gpu: the CUDA GPU, if there is one.
        glibc: lowest glibc version on the device, such as "2.35" (Linux only).
        android_api: lowest Android API level (Android only).
        preferred_formats: by task, the format of its programs where that is not the first of `formats`.
        opset: of ONNX that programs are written in; None for edgekit's own.
        peaks: what the CPU does at most; None where the file does not say, and no time is estimated.
        caches: by level, the smallest first; empty where the file does not say.
    """

    name: str
    title: str
    architecture: str
    operating_system: str
    cpu: CpuProfile
    memory: MemoryProfile
    formats: tuple[str, ...]
    kernels: tuple[str, ...]
    default_recipe: str
    aliases: tuple[str, ...] = ()
    gpu: GpuProfile | None = None
    glibc: str | None = None
    android_api: int | None = None
    preferred_formats: Mapping[str, str] = field(default_factory=dict, hash=False)
    opset: int | None = None
    peaks: PeaksProfile | None = None
    caches: tuple[CacheProfile, ...] = ()

    def format_for(self, task: str) -> str:
        """The format of a task's programs where the user names none."""
        return self.preferred_formats.get(task, self.formats[0])


def load_profile(name: str) -> DeviceProfile:
    """The profile of that name or alias, or from that path if it ends in `.toml` or has a folder in it.

    Raises:
        UsageError: no such profile or file.
        EdgekitError: the file is not a valid profile.
    """
    if name.endswith(".toml") or "/" in name or os.sep in name:
        return _read_profile(Path(name))
    known = {word: profile for profile in _shipped() for word in (profile.name, *profile.aliases)}
    if name not in known:
        raise unknown_name("device", name, known, "edgekit list devices")
    return known[name]


def list_profiles() -> list[DeviceProfile]:
    """The profiles that ship with edgekit, sorted by name."""
    return list(_shipped())


def parse_profile(text: str, origin: str) -> DeviceProfile:
    """A profile from TOML text.

    Args:
        text: the TOML.
        origin: the file's name, for error messages.

    Raises:
        EdgekitError: no TOML, or a key that is unknown, missing or of the wrong type; names the file and the key.
    """
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise EdgekitError(f"{origin} is not valid TOML: {error}; mend it there.") from error
    table = _Table(values, DeviceProfile, origin)
    architecture = table.choice("architecture", tuple(ISA))
    operating_system = table.choice("operating_system", OPERATING_SYSTEMS)
    cpu = table.table("cpu", CpuProfile)
    memory = table.table("memory", MemoryProfile)
    on_android = operating_system == "android"
    needed, forbidden = ("android_api", "glibc") if on_android else ("glibc", "android_api")
    if needed not in values:
        raise table.error(needed, f"is missing: a device with operating_system {operating_system!r} needs it.")
    if forbidden in values:
        raise table.error(forbidden, f"does not fit operating_system {operating_system!r}: remove it.")
    profile = DeviceProfile(
        name=table.text("name", _NAME),
        title=table.text("title"),
        architecture=architecture,
        operating_system=operating_system,
        cpu=CpuProfile(
            model=cpu.text("model"),
            cores=cpu.count("cores"),
            clock_ghz=cpu.figure("clock_ghz"),
            isa=cpu.choices("isa", ISA[architecture], least=0),
        ),
        memory=MemoryProfile(total_mb=memory.count("total_mb"), bandwidth_gb_per_s=memory.figure("bandwidth_gb_per_s")),
        formats=table.choices("formats", FORMATS),
        kernels=table.choices("kernels", KERNELS),
        default_recipe=table.text("default_recipe", _NAME),
        aliases=table.texts("aliases", _NAME) if "aliases" in values else (),
        gpu=_gpu(table.table("gpu", GpuProfile)) if "gpu" in values else None,
        glibc=None if on_android else table.text("glibc", _VERSION),
        android_api=table.whole("android_api") if on_android else None,
        preferred_formats=table.words("preferred_formats", FORMATS) if "preferred_formats" in values else {},
        opset=table.whole("opset") if "opset" in values else None,
        peaks=_peaks(table.table("peaks", PeaksProfile)) if "peaks" in values else None,
        caches=_caches(table) if "caches" in values else (),
    )
    _check_onnx(table, profile)
    for kernel in profile.kernels:
        if kernel != "scalar" and kernel not in profile.cpu.isa:
            raise table.error("kernels", f"has {kernel!r}, which cpu.isa lacks: add it there or remove it here.")
    return profile


def _check_onnx(table: _Table, profile: DeviceProfile) -> None:
    """Whether formats that are preferred are taken, and what TensorRT reads fits."""
    for task, name in profile.preferred_formats.items():
        if name not in profile.formats:
            raise table.error("preferred_formats", f"has {name!r} for {task}, which formats lacks: add it there.")
    if profile.opset is not None and profile.gpu is not None and profile.gpu.tensorrt is not None:
        limits = load_tensorrt(profile.gpu.tensorrt)
        if not limits.oldest_opset <= profile.opset <= limits.newest_opset:
            raise table.error(
                "opset",
                f"is {profile.opset}: TensorRT {limits.version} takes {limits.oldest_opset} to {limits.newest_opset}.",
            )


def _gpu(table: _Table) -> GpuProfile:
    given = table.values

    def count(key: str) -> int | None:
        return table.count(key) if key in given else None

    def figure(key: str) -> float | None:
        return table.figure(key) if key in given else None

    gpu = GpuProfile(
        name=table.text("name"),
        compute_capability=table.text("compute_capability", _CAPABILITY),
        cuda=table.text("cuda", _VERSION),
        jetpack=table.text("jetpack", _VERSION) if "jetpack" in given else None,
        tensorrt=table.choice("tensorrt", known_versions()) if "tensorrt" in given else None,
        integrated=table.truth("integrated") if "integrated" in given else False,
        multiprocessors=count("multiprocessors"),
        clock_ghz=figure("clock_ghz"),
        fp32_gflops=figure("fp32_gflops"),
        shared_kb_per_multiprocessor=count("shared_kb_per_multiprocessor"),
        shared_kb_per_block=count("shared_kb_per_block"),
        least_work=_least_work(table) if "least_work" in given else None,
    )
    if gpu.least_work == COMPUTED and not gpu.integrated:
        raise table.error(
            "least_work",
            "is computed for integrated GPUs only: add integrated = true if it shares the CPU's memory, or measure it "
            "with `python kernels/bench/gpu_check` there.",
        )
    return gpu


def _least_work(table: _Table) -> Mapping[str, int] | str:
    """A table of whole numbers by operator, or "computed"."""
    value = table.values["least_work"]
    if value == COMPUTED:
        return COMPUTED
    if not isinstance(value, dict):
        raise table.error("least_work", f"is {value!r}: make it {COMPUTED!r} or a table, written [gpu.least_work].")
    for name, work in value.items():
        if name not in GPU_OPERATORS:
            raise table.error(f"least_work.{name}", f"is unknown: the operators are {', '.join(GPU_OPERATORS)}.")
        if not isinstance(work, int) or isinstance(work, bool) or work <= 0:
            raise table.error(f"least_work.{name}", f"is {work!r}: make it a whole number above 0.")
    return dict(value)


def _peaks(table: _Table) -> PeaksProfile:
    return PeaksProfile(
        source=table.choice("source", PEAK_SOURCES),
        fp32_gflops=table.figure("fp32_gflops"),
        fp16_gflops=table.figure("fp16_gflops"),
        int8_gops=table.figure("int8_gops"),
        launch_us=table.figure("launch_us"),
    )


def _caches(table: _Table) -> tuple[CacheProfile, ...]:
    found = tuple(
        CacheProfile(
            level=entry.whole("level"),
            kb=entry.whole("kb"),
            cores=entry.whole("cores"),
            bandwidth_gb_per_s=entry.figure("bandwidth_gb_per_s"),
        )
        for entry in table.tables("caches", CacheProfile)
    )
    if [cache.level for cache in found] != sorted({cache.level for cache in found}):
        raise table.error("caches", "has levels that do not rise: give each once, the smallest first.")
    return found


@cache
def _shipped() -> tuple[DeviceProfile, ...]:
    folder = files("edgekit.devices").joinpath("profiles")
    entries = [entry for entry in folder.iterdir() if entry.name.endswith(".toml")]
    profiles = [parse_profile(entry.read_text(encoding="utf-8"), entry.name) for entry in entries]
    return tuple(sorted(profiles, key=lambda profile: profile.name))


def _read_profile(path: Path) -> DeviceProfile:
    if not path.is_file():
        remedy = "give the path of a .toml file, or a name that `edgekit list devices` shows"
        raise UsageError(f"there is no device profile {path}: {remedy}.")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise EdgekitError(f"{path} is not UTF-8 text: save it as UTF-8.") from error
    except OSError as error:
        raise EdgekitError(f"cannot read {path}: {(error.strerror or str(error)).lower()}.") from error
    return parse_profile(text, str(path))


class _Table:
    """One TOML table whose keys are the fields of a dataclass; every complaint names the file and the key."""

    def __init__(
        self,
        values: dict[str, object],
        kind: type[DeviceProfile | CpuProfile | MemoryProfile | GpuProfile | PeaksProfile | CacheProfile],
        origin: str,
        prefix: str = "",
    ) -> None:
        self.values = values
        self._origin = origin
        self._prefix = prefix
        known = [entry.name for entry in fields(kind)]
        for key in values:
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                remedy = f"did you mean {prefix + near[0]!r}?" if near else f"the keys are {', '.join(known)}."
                raise self.error(key, f"is unknown: {remedy}")
        for entry in fields(kind):
            if entry.default is MISSING and entry.default_factory is MISSING and entry.name not in values:
                raise self.error(entry.name, "is missing: add it.")

    def error(self, key: str, complaint: str) -> EdgekitError:
        """An error that names the file and the key and ends with the complaint, which says what to do."""
        return EdgekitError(f"{self._origin}: key {self._prefix + key!r} {complaint}")

    def _wrong(self, key: str, wanted: str) -> EdgekitError:
        return self.error(key, f"is {self.values[key]!r}: make it {wanted}.")

    def table(self, key: str, kind: type[CpuProfile | MemoryProfile | GpuProfile | PeaksProfile]) -> _Table:
        """The table under the key."""
        value = self.values[key]
        if not isinstance(value, dict):
            raise self._wrong(key, f"a table, written [{key}]")
        return _Table(value, kind, self._origin, f"{key}.")

    def tables(self, key: str, kind: type[CacheProfile]) -> list[_Table]:
        """The tables under the key."""
        value = self.values[key]
        if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
            raise self._wrong(key, f"tables, each written [[{key}]]")
        return [_Table(entry, kind, self._origin, f"{key}[{place}].") for place, entry in enumerate(value)]

    def text(self, key: str, form: tuple[str, str] = _TEXT) -> str:
        """A text that matches the form's pattern; the form's second part says in words what that is."""
        value = self.values[key]
        pattern, wanted = form
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise self._wrong(key, wanted)
        return value

    def texts(self, key: str, form: tuple[str, str]) -> tuple[str, ...]:
        """A list of such texts, maybe empty."""
        value = self.values[key]
        pattern, wanted = form
        if not isinstance(value, list) or not all(isinstance(v, str) and re.fullmatch(pattern, v) for v in value):
            raise self._wrong(key, f"a list, each {wanted}")
        return tuple(value)

    def choice(self, key: str, allowed: Sequence[str]) -> str:
        """One of the allowed texts."""
        value = self.values[key]
        if not isinstance(value, str) or value not in allowed:
            raise self._wrong(key, f"one of {', '.join(allowed)}")
        return value

    def choices(self, key: str, allowed: Sequence[str], least: int = 1) -> tuple[str, ...]:
        """A list of allowed texts with at least `least` of them, in the file's order."""
        value = self.values[key]
        if not isinstance(value, list) or len(value) < least or not all(v in allowed for v in value):
            raise self._wrong(key, f"a list of some of {', '.join(allowed)}")
        return tuple(value)

    def words(self, key: str, allowed: Sequence[str]) -> dict[str, str]:
        """A table of such texts by names."""
        value = self.values[key]
        if not isinstance(value, dict) or not all(word in allowed for word in value.values()):
            raise self._wrong(key, f"a table, written [{key}], each one of {', '.join(allowed)}")
        return dict(value)

    def truth(self, key: str) -> bool:
        """True or false."""
        value = self.values[key]
        if not isinstance(value, bool):
            raise self._wrong(key, "true or false")
        return value

    def whole(self, key: str, otherwise: str = "") -> int:
        """A whole number above 0; `otherwise` is what else the error message should offer."""
        value = self.values[key]
        if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
            raise self._wrong(key, f"a whole number above 0{otherwise}")
        return value

    def count(self, key: str) -> int | None:
        """A whole number above 0, or None for "unknown"."""
        return None if self.values[key] == UNKNOWN else self.whole(key, f", or {UNKNOWN!r}")

    def figure(self, key: str) -> float | None:
        """A finite number above 0, or None for "unknown"."""
        value = self.values[key]
        if value == UNKNOWN:
            return None
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 < value < math.inf:
            raise self._wrong(key, f"a number above 0, or {UNKNOWN!r}")
        return float(value)
