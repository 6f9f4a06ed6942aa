"""A session without engines: the real stages of a conversation on virtual lanes, scripted parts.

Times are seconds in the script and microseconds in the log.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

import fakes_reasoner
import memory_fakes
from omnilive import events
from omnilive.events import Event
from omnilive.lanes import VirtualLanes
from omnilive.memory.compressor import Compressor
from omnilive.memory.config import (
    CompressionConfig,
    LongTermConfig,
    MemoryConfig,
    RetrievalConfig,
    SegmentationConfig,
    StoreConfig,
)
from omnilive.memory.long_term import LongTermMemory
from omnilive.memory.segmentation import Segmenter
from omnilive.memory.store import MemoryStore
from omnilive.perception.config import VadConfig
from omnilive.perception.endpoint import Endpointer
from omnilive.reasoning.config import BudgetConfig, PromptConfig
from omnilive.reasoning.prompt import PromptBuilder
from omnilive.session.answering import Answerer, AnswerParts
from omnilive.session.config import EvidenceConfig, TurnConfig
from omnilive.session.conversation import Conversation, ConversationParts
from omnilive.session.costs import VirtualCostConfig
from omnilive.session.decoding import Decoding
from omnilive.session.evidence import EvidenceReader
from omnilive.session.generations import Generations
from omnilive.session.interruptions import Interruptions
from omnilive.session.listening import Listening
from omnilive.session.outcomes import Outcomes
from omnilive.session.scene import SceneWatch
from omnilive.session.watching import MemoryParts, Watcher
from omnilive.sources.types import Frame, Pcm, samples_to_us
from omnilive.speech.config import OutletConfig, SentenceConfig
from omnilive.speech.outlet import AudioChunk, Outlet
from omnilive.speech.track import AnswerTrack
from session_parts import Album, Check, Ears, Finder, Mouth, Recorder, Speaker, begin

S = 1_000_000
RATE = 16_000
BLOCK = 1_600
OUTCOMES = ("answer_finished", "answer_cancelled", "unanswered")


class Room:
    """One session: put things into its script, ``run`` it, and read the log."""

    def __init__(
        self,
        *,
        turn: TurnConfig | None = None,
        evidence: EvidenceConfig | None = None,
        retrieval: RetrievalConfig | None = None,
        budget: BudgetConfig | None = None,
        prompt: PromptConfig | None = None,
        vad: VadConfig | None = None,
        segmentation: SegmentationConfig | None = None,
        memory: MemoryConfig | None = None,
        costs: VirtualCostConfig | None = None,
        answer: str = "A blue box. It is red.",
        prompt_limit: int = 4_000,
        listened: bool = False,
    ) -> None:
        costs = costs or VirtualCostConfig()
        turn, vad = turn or TurnConfig(), vad or VadConfig()
        self.lanes = VirtualLanes()
        self.log: Any = Recorder(self.lanes)
        self.ears, self.check, self.album = Ears(), Check(), Album()
        self.finder = Finder(retrieval or RetrievalConfig())
        self.mouth, self.speaker = Mouth(), Speaker(answer, prompt_limit)
        self.track = AnswerTrack()
        self.chunks: list[AudioChunk] = []
        self.endpointer = Endpointer(vad, lambda chunk: float(chunk.max() > 0.5))
        pack: Any = memory_fakes.FakePack(hidden=fakes_reasoner.MEMORY_HIDDEN)
        memory = memory or MemoryConfig()
        self.memory_lm: memory_fakes.FakeDecoder = pack.lm
        self.store = MemoryStore(StoreConfig())
        self.watcher = Watcher(
            MemoryParts(
                SimpleNamespace(begin=begin),  # type: ignore[arg-type]
                Segmenter(segmentation or SegmentationConfig(), 0.9),
                self.album,  # type: ignore[arg-type]
                Compressor(pack, CompressionConfig()),
                self.store,
                LongTermMemory(pack, LongTermConfig(), keeps_kv=memory.keeps_kv),
            ),
            self.lanes,
            self.log,
            costs,
            S,
            "cls",
            memory.algorithm,
        )
        self.outcomes = Outcomes(self.endpointer, self.lanes, self.log)
        prompts = PromptBuilder(fakes_reasoner.FakePack(), prompt or PromptConfig())  # type: ignore[arg-type]
        reader = EvidenceReader(
            prompts,
            self.album,  # type: ignore[arg-type]
            evidence or EvidenceConfig(),
            budget or BudgetConfig(max_visual_tokens=10**6, max_prefill_ms=0),
            costs,
        )
        answerer = Answerer(
            AnswerParts(
                Decoding(reader, prompts, self.speaker, costs),  # type: ignore[arg-type]
                self.mouth,
                self.track,
                self.endpointer,
                SceneWatch(self.watcher.scene, 0.9) if turn.refresh else None,
            ),
            self.lanes,
            self.log,
            self.outcomes,
            SentenceConfig(),
            costs,
            turn.playout_wait_ms * 1000,
            Outlet(self.chunks.append, self.lanes, OutletConfig()) if listened else None,
        )
        generations = Generations(self.lanes)
        self.interruptions = Interruptions(
            answerer, generations, self.outcomes, self.lanes, self.log, turn
        )
        self.conversation = Conversation(
            ConversationParts(self.check, self.finder),  # type: ignore[arg-type]
            self.watcher,
            self.interruptions.begin,
            generations,
            self.outcomes,
            self.lanes,
            self.log,
            turn,
            costs,
            speech_frames=(evidence or EvidenceConfig()).speech_frames,
        )
        self.listening = Listening(
            self.endpointer,
            self.ears,  # type: ignore[arg-type]
            generations,
            self.outcomes,
            self.watcher.snapshot,
            self.conversation.hear,
            self.watcher.prepare,
            self.lanes,
            self.log,
            turn,
            costs,
        )
        self.listening.when_listened(answerer.listened)
        self._spoken: list[tuple[float, float, float]] = []

    def say(self, start_s: float, end_s: float, words: str) -> None:
        """Somebody speaks; the words are understood if any of the sound is."""
        self._spoken.append((start_s, end_s, self.ears.code(words)))

    def show(self, at_s: float, shade: int = 100, size: tuple[int, int] = (64, 36)) -> None:
        """A frame; frames of other shades are of another scene."""
        rgb = np.full((size[1], size[0], 3), shade, np.uint8)
        rgb[..., shade % 3] = 255 - shade
        frame = Frame(round(at_s * S), rgb)
        self.lanes.at(frame.pts_us, lambda: self.watcher.on_frame(frame))

    def ask(self, at_s: float, text: str) -> None:
        """Somebody types."""
        self.lanes.at(round(at_s * S), lambda: self.conversation.ask(text))

    def at(self, at_s: float, callback: Callable[[], object]) -> None:
        """Something else happens."""
        self.lanes.at(round(at_s * S), lambda: callback() and None)

    def run(self, end_s: float) -> list[Event]:
        """Play the script; the stream ends at ``end_s``."""
        audio = np.zeros(round(end_s * RATE / BLOCK) * BLOCK, np.float32)
        for start_s, until_s, code in self._spoken:
            audio[round(start_s * RATE) : round(until_s * RATE)] = code
        for at in range(0, len(audio), BLOCK):
            pcm = Pcm(samples_to_us(at), audio[at : at + BLOCK])
            self.lanes.at(pcm.end_us, lambda pcm=pcm: self.listening.on_pcm(pcm))
        self.lanes.at(round(end_s * S), self._finish)
        self.lanes.run()
        return [event for _, event in self.log.events]

    def events(self, kind: type[Event] | None = None, utterance: int | None = None) -> list[Any]:
        """Logged events of a kind, about an utterance."""
        return [e for _, e in self.timed(kind, utterance)]

    def timed(
        self, kind: type[Event] | None = None, utterance: int | None = None
    ) -> list[tuple[int, Any]]:
        """The same with the time each was logged at, microseconds."""
        return [
            (at_us, e)
            for at_us, e in self.log.events
            if (kind is None or isinstance(e, kind))
            and (utterance is None or getattr(e, "utterance", None) == utterance)
        ]

    def only(self, kind: type[Event], utterance: int | None = None) -> Any:
        """The one event of a kind."""
        (event,) = self.events(kind, utterance)
        return event

    def outcome(self, utterance: int) -> Any:
        """The one outcome of an utterance."""
        (event,) = (e for e in self.events(utterance=utterance) if e.kind in OUTCOMES)
        return event

    def shown(self, utterance: int) -> list[float]:
        """Seconds of the frames that an answer was shown."""
        chosen = self.only(events.EvidenceChosen, utterance)
        return [int(key.removeprefix("kf-")) / S for key in chosen.frames]

    def _finish(self) -> None:
        self.listening.finish()
        self.watcher.finish()
