"""The configuration of a run: every concern's dataclass in one place, presets, and TOML files.

The dataclasses live beside the stage they configure; this file only gathers them. In a TOML
file a section is a field of ``RuntimeConfig`` and a key is a field of its dataclass.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omnilive.engine.config import EngineConfig
from omnilive.engine.rebuild_config import RebuildConfig
from omnilive.errors import ConfigError
from omnilive.memory.config import (
    CompressionConfig,
    KeyframeConfig,
    LongTermConfig,
    MemoryConfig,
    RetrievalConfig,
    SegmentationConfig,
    StoreConfig,
)
from omnilive.output_config import OutputConfig
from omnilive.perception.config import RecognitionConfig, VadConfig
from omnilive.plan.config import MemoryBudgetConfig
from omnilive.reasoning.config import (
    MOST_TOKENS,
    BudgetConfig,
    InstructionConfig,
    PromptConfig,
    ReasoningConfig,
    SamplingConfig,
)
from omnilive.scheduling.config import LanesConfig
from omnilive.service.config import ClientConfig, ServiceConfig, WebRtcConfig
from omnilive.session.config import EvidenceConfig, TurnConfig
from omnilive.session.costs import VirtualCostConfig
from omnilive.sources.config import SourceConfig
from omnilive.speech.config import OutletConfig, SentenceConfig, VoiceConfig

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

UNBOUNDED_BUDGET: Mapping[str, Any] = {
    "max_visual_tokens": MOST_TOKENS,
    "max_prefill_ms": 0.0,
}
"""The reference counts nothing before it runs: its frames are limited by number alone."""

PRESETS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "edge": {},
    "paper": {
        "turn": {
            "order": "check_first",
            "resume_grace_ms": 0,
            "refresh": False,
        },
        "evidence": {"current_frames": 0, "speech_frames": False},
        "retrieval": {"fallback": "all_frames"},
        "vad": {"endpoint_silence_ms": 800, "reopen_grace_ms": 0},
        "budget": {"max_frames": 32, **UNBOUNDED_BUDGET},
        "prompt": {
            "system_prompt_en": "",
            "system_prompt_zh": "",
            "answer_prefix": "The answer is",
        },
    },
    "demo-compat": {
        "turn": {
            "order": "ground_first",
            "snapshot": "speech_end",
            "resume_grace_ms": 0,
            "refresh": False,
        },
        "evidence": {"frame_rule": "demo_pair", "current_frames": 0, "memory_tokens": False},
        "retrieval": {"rule": "earliest_above", "fallback": "last_frames"},
        "vad": {"endpoint_silence_ms": 800, "reopen_grace_ms": 0, "pre_roll_ms": 128},
        "budget": {"transform": "image", "max_frames": 2, **UNBOUNDED_BUDGET},
        "prompt": {
            "question_template": "{question}",
            "question_template_without_frames": "{question}",
        },
        "sampling": {"temperature": 0.1},
        "sentences": {"first_break_chars": 0},
    },
}
"""What each preset changes against the defaults, which are ``edge`` (DESIGN §3).

``paper`` is the offline example of spec §2.7 with the order of paper §3.4; ``demo-compat`` is the
released online demo (spec §2.6, §4, §5), but for its persona's words and its bugs.
"""


@dataclass(frozen=True)
class RuntimeConfig:
    """Everything a session is told before it starts."""

    source: SourceConfig = field(default_factory=SourceConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    rebuild: RebuildConfig = field(default_factory=RebuildConfig)
    memory_budget: MemoryBudgetConfig = field(default_factory=MemoryBudgetConfig)
    vad: VadConfig = field(default_factory=VadConfig)
    recognition: RecognitionConfig = field(default_factory=RecognitionConfig)
    memory: MemoryConfig = field(default_factory=MemoryConfig)
    segmentation: SegmentationConfig = field(default_factory=SegmentationConfig)
    compression: CompressionConfig = field(default_factory=CompressionConfig)
    long_term: LongTermConfig = field(default_factory=LongTermConfig)
    retrieval: RetrievalConfig = field(default_factory=RetrievalConfig)
    keyframes: KeyframeConfig = field(default_factory=KeyframeConfig)
    store: StoreConfig = field(default_factory=StoreConfig)
    turn: TurnConfig = field(default_factory=TurnConfig)
    evidence: EvidenceConfig = field(default_factory=EvidenceConfig)
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    prompt: PromptConfig = field(default_factory=PromptConfig)
    instruction: InstructionConfig = field(default_factory=InstructionConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    reasoning: ReasoningConfig = field(default_factory=ReasoningConfig)
    sentences: SentenceConfig = field(default_factory=SentenceConfig)
    voice: VoiceConfig = field(default_factory=VoiceConfig)
    outlet: OutletConfig = field(default_factory=OutletConfig)
    virtual_cost: VirtualCostConfig = field(default_factory=VirtualCostConfig)
    lanes: LanesConfig = field(default_factory=LanesConfig)
    output: OutputConfig = field(default_factory=OutputConfig)
    service: ServiceConfig = field(default_factory=ServiceConfig)
    client: ClientConfig = field(default_factory=ClientConfig)
    webrtc: WebRtcConfig = field(default_factory=WebRtcConfig)

    def validate(self) -> None:
        """Raises ConfigError for the first value outside its range."""
        for section in dataclasses.fields(self):
            getattr(self, section.name).validate()
        if self.store.max_short_term_clips < self.long_term.max_clips:
            raise ConfigError(
                f"is {self.store.max_short_term_clips}, fewer than long_term.max_clips "
                f"({self.long_term.max_clips}), which are integrated from them",
                where="store.max_short_term_clips",
                mend="Raise it or lower long_term.max_clips.",
            )


def load_config(preset: str, file: Path | None = None) -> RuntimeConfig:
    """Defaults, changed by a preset, changed by a TOML file; validated.

    Raises:
        ConfigError: unknown preset, section or key, a value of the wrong type or range, or a
            file that cannot be read.
    """
    if preset not in PRESETS:
        raise ConfigError(
            f"is {preset!r}", where="--preset", mend=f"Use one of {', '.join(sorted(PRESETS))}."
        )
    config = _changed(RuntimeConfig(), PRESETS[preset], where=f"preset {preset}")
    if file is not None:
        config = _changed(config, _read_toml(file), where=str(file))
    config.validate()
    return config


def without_reuse(config: RuntimeConfig) -> RuntimeConfig:
    """``config`` with everything recomputed that the reference recomputes (``run --naive``)."""
    return dataclasses.replace(
        config,
        memory=dataclasses.replace(config.memory, algorithm="naive"),
        reasoning=dataclasses.replace(config.reasoning, keep_prefix=False),
    )


def _read_toml(file: Path) -> Mapping[str, Any]:
    try:
        parsed: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as e:
        raise ConfigError(
            f"cannot be read ({e.strerror})", where=str(file), mend="Check the path."
        ) from e
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise ConfigError(f"is not TOML ({e})", where=str(file), mend="Correct that line.") from e
    return parsed


def _changed(config: RuntimeConfig, changes: Mapping[str, Any], *, where: str) -> RuntimeConfig:
    sections = {f.name for f in dataclasses.fields(config)}
    updated = {}
    for name, values in changes.items():
        if name not in sections:
            raise ConfigError(
                f"has no section [{name}]",
                where=where,
                mend=f"Sections are {', '.join(sorted(sections))}.",
            )
        if not isinstance(values, Mapping):
            raise ConfigError(f"{name} is not a section", where=where, mend=f"Write [{name}].")
        updated[name] = _section(getattr(config, name), values, where=f"{where} [{name}]")
    return dataclasses.replace(config, **updated)


def _section(section: Any, values: Mapping[str, Any], *, where: str) -> Any:
    current = {f.name: getattr(section, f.name) for f in dataclasses.fields(section)}
    converted = {}
    for key, value in values.items():
        if key not in current:
            raise ConfigError(
                f"has no key {key!r}", where=where, mend=f"Keys are {', '.join(sorted(current))}."
            )
        converted[key] = _typed(current[key], value, where=f"{where} {key}")
    return dataclasses.replace(section, **converted)


def _typed(current: Any, value: Any, *, where: str) -> Any:
    """``value``, if it is of the kind that ``current`` is.

    An int serves where a float is meant; a value that is unset by default is a number.
    """
    if type(value) is int and (current is None or isinstance(current, float)):
        return float(value)
    expected = float if current is None else type(current)
    if type(value) is not expected:
        raise ConfigError(
            f"is {value!r}, a {type(value).__name__}",
            where=where,
            mend=f"Use a {expected.__name__}.",
        )
    return value
