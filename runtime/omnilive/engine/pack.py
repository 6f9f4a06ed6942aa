"""An engine pack opened for use: checked once, then engines, tables and tokenizers on demand.

The one door from the files of a pack to the stages; it never knows what a model means.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from omnilive.engine.accuracy import inaccuracies
from omnilive.engine.architecture import DECODER_NAMES
from omnilive.engine.backends import backend, device_lanes
from omnilive.engine.cache_key import REBUILD as STALE
from omnilive.engine.cache_key import changes, recorded_key
from omnilive.engine.config import EngineConfig
from omnilive.engine.files import check_files
from omnilive.engine.fingerprint import device_fingerprint
from omnilive.engine.interface import Decoder, Engine, Table, Tokenizer
from omnilive.engine.manifest import (
    BUILD,
    ENGINE_NAMES,
    TABLE_NAMES,
    TOKENIZER_NAMES,
    EngineInfo,
    Manifest,
)
from omnilive.engine.manifest_file import read_manifest, read_partial_manifest
from omnilive.engine.placement import runs_on_device
from omnilive.engine.rebuild import rebuild as build_again
from omnilive.engine.rebuild_config import RebuildConfig
from omnilive.engine.tables import MappedTable
from omnilive.engine.tokenizers import open_tokenizer
from omnilive.errors import EngineError, PackError

if TYPE_CHECKING:
    from omnilive.backends.cuda_lanes import DeviceLanes

CALIBRATION_NAME = "calibration.json"
_WARM_ARENA_TOKENS = 4
_LOG = logging.getLogger(__name__)

NO_KEY = "was built before packs recorded what they depend on; a changed backend goes unnoticed"

T = TypeVar("T")


def open_pack(
    path: Path,
    *,
    threads: int = 0,
    verify_hashes: bool = True,
    allow_inaccurate: bool = False,
    config: EngineConfig | None = None,
    rebuild: RebuildConfig | None = None,
) -> EnginePack:
    """Check the pack at ``path`` and open it; engines load on first use.

    Args:
        path: the pack's folder.
        threads: threads per engine, 0 for all cores; overrides ``config.threads`` when given.
        verify_hashes: read every file and compare its sha256, not only its size.
        allow_inaccurate: open a pack whose accuracy record missed its tolerance.
        config: further session settings.
        rebuild: what to do with a pack that was built for another backend version or device and
            cannot be used as it is (``cache_key`` says which); without it such a pack is refused
            with the command that builds it again.

    Raises:
        PackError: the folder is no pack, is incomplete, was changed, is of another format or
            architecture, needs a backend this runtime lacks, missed its accuracy, or is stale
            and cannot be built again.
        SetupError: a backend is known but not installed, or the exporter where it is needed.
        ConfigError: ``threads`` is out of range.
    """
    settings = config or EngineConfig()
    if threads:
        settings = dataclasses.replace(settings, threads=threads)
    settings.validate()
    manifest = _fresh_manifest(path, rebuild or RebuildConfig(when="never"))
    check_files(manifest.all_files(), path, verify_hashes=verify_hashes)
    _check_accuracy(manifest, path, allowed=allow_inaccurate)
    return EnginePack(path, manifest, settings, _read_calibration(path))


def open_parts(path: Path, config: EngineConfig | None = None) -> EnginePack:
    """Open whatever parts the pack at ``path`` has, for programs that use some engines only.

    Files are checked by size alone, and neither the key nor accuracy records are held against
    this runtime. Of a model that is not there the manifest's dimensions are
    None, and asking for one of its parts raises EngineError.

    Raises:
        PackError: the folder is no pack, or a file is missing or of another size.
        ConfigError: ``config`` is out of range.
    """
    settings = config or EngineConfig()
    settings.validate()
    manifest = read_partial_manifest(path)
    check_files(manifest.all_files(), path, verify_hashes=False)
    return EnginePack(path, cast(Manifest, manifest), settings, _read_calibration(path))


class EnginePack:
    """The loaded parts of one pack. Thread-safe: each part loads once, whoever asks first."""

    def __init__(
        self,
        path: Path,
        manifest: Manifest,
        config: EngineConfig,
        calibration: Mapping[str, float],
        *,
        lanes_of: Callable[[EngineConfig], DeviceLanes] = device_lanes,
    ) -> None:
        """Hold a checked manifest; use ``open_pack``.

        ``lanes_of`` makes the streams of engines on a device, when the first of them is loaded.
        """
        self.path = path
        self.manifest = manifest
        self.calibration: Mapping[str, float] = MappingProxyType(dict(calibration))
        self._config = config
        self._closed = False
        self._loaded: dict[str, Any] = {}
        names = (*ENGINE_NAMES, *TABLE_NAMES, *TOKENIZER_NAMES)
        self._locks = {name: threading.Lock() for name in names}
        self._lanes_of = lanes_of
        self._device: DeviceLanes | None = None
        self._device_lock = threading.Lock()

    def engine(self, name: str) -> Engine:
        """The stateless engine ``name``. Raises EngineError for a decoder or unknown name."""
        info = self._info(name, decoder=False)
        module = backend(info.backend)
        return self._once(name, lambda: self._load(module.load_engine, info))

    def decoder(self, name: str) -> Decoder:
        """The decoder ``name``. Raises EngineError for a stateless engine or unknown name."""
        info = self._info(name, decoder=True)
        module = backend(info.backend)
        return self._once(name, lambda: self._load(module.load_decoder, info))

    @property
    def kv_bytes(self) -> int:
        """KV written in all arenas of all its decoders; from any thread."""
        loaded = [self._loaded.get(name) for name in DECODER_NAMES]
        return sum(decoder.kv_bytes for decoder in loaded if decoder is not None)

    def table(self, name: str) -> Table:
        """The embedding table ``name``, one of TABLE_NAMES."""
        if name not in self.manifest.tables:
            raise self._unknown("table", name, TABLE_NAMES)
        return self._once(name, lambda: MappedTable(self.manifest.tables[name], self.path))

    def tokenizer(self, name: str) -> Tokenizer:
        """The tokenizer ``name``, one of TOKENIZER_NAMES."""
        if name not in self.manifest.tokenizers:
            raise self._unknown("tokenizer", name, TOKENIZER_NAMES)
        return self._once(name, lambda: open_tokenizer(self.manifest.tokenizers[name], self.path))

    def warm_up(self) -> None:
        """Load everything and run each engine once on its smallest input.

        Weights are read and repacked here instead of inside the first answer.
        """
        for name in TABLE_NAMES:
            self.table(name)
        for name in TOKENIZER_NAMES:
            self.tokenizer(name)
        for name in ENGINE_NAMES:
            if name in DECODER_NAMES:
                self._warm_decoder(name)
            else:
                self.engine(name).run(self._smallest_feeds(self.manifest.engines[name]))

    def close(self) -> None:
        """Let go of every engine; asking for a part afterwards raises EngineError."""
        self._closed = True
        self._loaded.clear()
        with self._device_lock:
            device, self._device = self._device, None
        if device is not None:
            device.close()

    def _warm_decoder(self, name: str) -> None:
        decoder = self.decoder(name)
        info = self.manifest.engines[name]
        width = next(t.shape[-1] for t in info.inputs if t.name == "inputs_embeds")
        arena = decoder.new_arena(_WARM_ARENA_TOKENS)
        append = decoder.hidden if info.outputs[0].name == "hidden" else decoder.logits
        # A prompt block, then a decode step: backends take different kernels for them.
        for tokens in (_WARM_ARENA_TOKENS - 1, 1):
            append(arena, np.zeros((tokens, int(width)), np.float32))

    def _smallest_feeds(self, info: EngineInfo) -> dict[str, Any]:
        smallest = self.manifest.audio.min_samples if info.name == "aud_enc" else 1
        return {
            t.name: np.zeros(
                [size if isinstance(size, int) else smallest for size in t.shape], t.dtype
            )
            for t in info.inputs
        }

    def _load(
        self,
        load: Callable[[EngineInfo, Path, EngineConfig, DeviceLanes | None], T],
        info: EngineInfo,
    ) -> T:
        """An engine, on the streams that all of the pack's on the device share."""
        lanes = self._device_lanes() if runs_on_device(info, self._config) else None
        return load(info, self.path, self._config, lanes)

    def _device_lanes(self) -> DeviceLanes:
        with self._device_lock:
            self._check_open()
            if self._device is None:
                self._device = self._lanes_of(self._config)
            return self._device

    def _once(self, name: str, load: Callable[[], T]) -> T:
        with self._locks[name]:
            self._check_open()
            if name not in self._loaded:
                self._loaded[name] = load()
            found: T = self._loaded[name]
            return found

    def _check_open(self) -> None:
        if self._closed:
            raise EngineError("is closed", where=f"engine pack {self.path}", mend="Open it again.")

    def _info(self, name: str, *, decoder: bool) -> EngineInfo:
        names = tuple(n for n in ENGINE_NAMES if (n in DECODER_NAMES) == decoder)
        if name not in names or name not in self.manifest.engines:
            raise self._unknown("decoder" if decoder else "stateless engine", name, names)
        return self.manifest.engines[name]

    def _unknown(self, kind: str, name: str, names: tuple[str, ...]) -> EngineError:
        return EngineError(
            f"has no {kind} {name!r}",
            where=f"engine pack {self.path}",
            mend=f"Ask for one of {', '.join(names)}, of those that the pack has.",
        )


def _usable_manifest(path: Path) -> Manifest:
    """The manifest of a pack whose backends are all here."""
    manifest = read_manifest(path)
    for name in ENGINE_NAMES:
        backend(manifest.engines[name].backend)
    return manifest


def _fresh_manifest(path: Path, config: RebuildConfig) -> Manifest:
    """The manifest of a pack that was built for this machine, building it again where it was not.

    A backend that is missing is refused first: a rebuild would not bring it. What changed without
    harm is logged.
    """
    config.validate()
    manifest = _usable_manifest(path)
    fingerprint = device_fingerprint()
    found = changes(manifest, fingerprint)
    stale = [change for change in found if change.means == STALE]
    if stale:
        reason = "; ".join(str(change) for change in stale)
        build_again(path, manifest, config, reason, keep=(CALIBRATION_NAME,))
        manifest = _usable_manifest(path)
        found = changes(manifest, fingerprint)
        if any(change.means == STALE for change in found):
            raise PackError(
                f"was built again and is still not for this machine ({reason})",
                where=str(path),
                mend="Check with omnilive doctor that the backend loads; then build it by hand: "
                + BUILD.format(pack=path),
            )
    if recorded_key(manifest.fingerprint) is None:
        _LOG.warning("omnilive: %s: %s", path, NO_KEY)
    for change in found:
        _LOG.warning("omnilive: %s: %s since it was built; it loads all the same", path, change)
    return manifest


def _check_accuracy(manifest: Manifest, path: Path, *, allowed: bool) -> None:
    """Refuse a pack of which an engine was found too far from its source, or log it if allowed."""
    for name, clause in inaccuracies(manifest.engines):
        if not allowed:
            raise PackError(
                clause,
                where=f"{path}: engine {name}",
                mend="run and serve use it as it is with --allow-inaccurate; or rebuild it at a "
                "higher precision: " + BUILD.format(pack=path),
            )
        _LOG.warning("omnilive: %s: engine %s %s", path, name, clause)


def _read_calibration(path: Path) -> dict[str, float]:
    """Values measured after the build, empty when never calibrated."""
    file = path / CALIBRATION_NAME
    mend = "Delete the file, or write it again: omnilive calibrate."
    try:
        raw = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as e:
        raise PackError(f"cannot be read ({e})", where=str(file), mend=mend) from e
    if not isinstance(raw, dict):
        raise PackError("is not a JSON object", where=str(file), mend=mend)
    # ``source…`` says in words what was measured: for people, not for the stages.
    values = {k: v for k, v in raw.items() if not k.startswith("source")}
    if not all(
        isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v)
        for v in values.values()
    ):
        raise PackError("holds values that are not finite numbers", where=str(file), mend=mend)
    return {k: float(v) for k, v in values.items()}
