"""One session: puts the stages together, feeds them from a source and closes the books.

It wires and counts; every decision belongs to the stage that makes it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from omnilive import events
from omnilive.config import RuntimeConfig
from omnilive.engine.pack import EnginePack
from omnilive.eventlog import EventLog, Listener
from omnilive.lanes import Lane, Lanes, ThreadLanes, VirtualLanes
from omnilive.memory.compressor import Compressor
from omnilive.memory.grounding import Grounding
from omnilive.memory.keyframes import KeyframeStore
from omnilive.memory.long_term import LongTermMemory
from omnilive.memory.segmentation import Segmenter, cut_threshold
from omnilive.memory.store import MemoryStore
from omnilive.perception.audio_model import AudioModel
from omnilive.perception.endpoint import Endpointer
from omnilive.perception.frame_encoder import FrameEncoder
from omnilive.perception.vad import SileroVad
from omnilive.reasoning.instruction import InstructionCheck
from omnilive.reasoning.prompt import PromptBuilder
from omnilive.reasoning.reasoner import Reasoner
from omnilive.session.answering import Answerer, AnswerParts
from omnilive.session.conversation import Conversation, ConversationParts
from omnilive.session.generations import Generations
from omnilive.session.listening import Listening
from omnilive.session.watching import MemoryParts, Watcher
from omnilive.sources.media import MediaSource
from omnilive.sources.prefetch import prefetched
from omnilive.sources.types import US_PER_SECOND, Frame, MediaInfo, Pcm, SourceWarning
from omnilive.speech.espeak import EspeakVoice
from omnilive.speech.track import AnswerTrack

KEYFRAMES_FOLDER = "keyframes"
ANSWERS_NAME = "answers.wav"
PREFETCHED_ITEMS = 64
"""Decoded items held ahead of the session: a few seconds of PCM and frames."""


@dataclass(frozen=True)
class Ask:
    """A typed question and the stream time it is asked at, microseconds."""

    text: str
    at_us: int


@dataclass(frozen=True)
class RunOptions:
    """What a run is, besides its configuration.

    Attributes:
        preset: name of the preset, for the log.
        realtime: wall clock instead of virtual time.
        seed: of token sampling.
    """

    preset: str = "edge"
    realtime: bool = False
    seed: int = 0


class Session:
    """Runs one source through one pack and writes the results into a folder."""

    def __init__(
        self,
        pack: EnginePack,
        config: RuntimeConfig,
        options: RunOptions,
        folder: Path,
        listeners: tuple[Listener, ...] = (),
    ) -> None:
        self._pack = pack
        self._options = options
        self._folder = folder
        self._lanes: Lanes = ThreadLanes() if options.realtime else VirtualLanes()
        self._log = EventLog(folder, self._lanes, listeners)
        self._track = AnswerTrack()
        self._duration_us = 0
        self._period_us = round(US_PER_SECOND / config.source.fps)

        keyframes = KeyframeStore(folder / KEYFRAMES_FOLDER, config.keyframes)
        keyframes.clear()  # the log beside them is written anew, too
        store = MemoryStore(config.store)
        long_term = LongTermMemory(pack, config.long_term, clip_max=config.segmentation.clip_max)
        endpointer = Endpointer(config.vad, SileroVad())
        prompts = PromptBuilder(pack, config.prompt)
        self._watcher = Watcher(
            MemoryParts(
                FrameEncoder(pack),
                Segmenter(
                    config.segmentation,
                    cut_threshold(config.segmentation, pack.calibration).cosine,
                ),
                keyframes,
                Compressor(pack, config.compression),
                store,
                long_term,
            ),
            self._lanes,
            self._log,
            config.virtual_cost,
            self._period_us,
            config.segmentation.cut_feature,
        )
        self._answerer = Answerer(
            AnswerParts(
                prompts,
                Reasoner(
                    pack,
                    config.reasoning,
                    dataclasses.replace(config.sampling, seed=options.seed),
                ),
                keyframes,
                EspeakVoice(config.voice),
                self._track,
                endpointer,
            ),
            self._lanes,
            self._log,
            config.evidence,
            config.budget,
            config.sentences,
            config.virtual_cost,
        )
        generations = Generations(self._lanes, self._answerer.cancel)
        self._conversation = Conversation(
            ConversationParts(
                InstructionCheck(pack, config.instruction),
                Grounding(pack, config.retrieval),
                store,
            ),
            self._watcher,
            self._answerer,
            generations,
            self._lanes,
            self._log,
            config.turn,
            config.virtual_cost,
        )
        self._listening = Listening(
            endpointer,
            AudioModel(pack, config.recognition),
            generations,
            self._watcher.snapshot,
            self._conversation.hear,
            self._lanes,
            self._log,
            config.virtual_cost,
        )

    def run(self, source: MediaSource, asks: tuple[Ask, ...] = ()) -> None:
        """Run to the end of the source and of everything it set going.

        Raises:
            OmniLiveError: from any stage; what was written until then stays.
        """
        manifest = self._pack.manifest
        self._lanes.start()
        self._log.emit(
            events.SessionStarted(
                events.SCHEMA_VERSION,
                manifest.name,
                manifest.precision,
                manifest.trained,
                self._options.preset,
                "monotonic" if self._options.realtime else "virtual",
                self._options.seed,
            )
        )
        self._log.emit(_opened(source.info))
        for ask in asks:
            self._lanes.at(ask.at_us, lambda text=ask.text: self._conversation.ask(text))  # type: ignore[misc]
        items = prefetched(source, PREFETCHED_ITEMS)
        self._track.write_wav(self._folder / ANSWERS_NAME)
        try:
            self._deliver_next(items)
            self._lanes.run()
        finally:
            items.close()
            self._lanes.close()
            self._track.close(self._duration_us)
        self._log.emit(
            events.SessionEnded(
                self._watcher.frames,
                self._watcher.frames_dropped,
                self._watcher.clips,
                self._listening.utterances,
                self._answerer.answers,
                self._answerer.cancelled,
            )
        )

    def close(self) -> None:
        """Close the logs."""
        self._log.close()

    def _deliver_next(self, items: Iterator[Frame | Pcm | SourceWarning]) -> None:
        """Hand the next item over when its time comes; wait while the listen lane is full."""
        item = next(items, None)
        if item is None:
            self._lanes.at(self._duration_us, self._finish)
            return

        def deliver() -> None:
            if isinstance(item, Frame):
                self._watcher.on_frame(item)
            elif isinstance(item, Pcm):
                self._listening.on_pcm(item)
            else:
                self._log.emit(events.SourceNotice(item.pts_us, item.what))
            self._track.settle(self._lanes.now_us())
            self._lanes.when_room(Lane.LISTEN, lambda: self._deliver_next(items))

        due_us = item.end_us if isinstance(item, Pcm) else item.pts_us
        # The last frame is shown for a period: it is encoded before the books are closed.
        shown_us = self._period_us if isinstance(item, Frame) else 0
        self._duration_us = max(self._duration_us, due_us + shown_us)
        self._lanes.at(due_us, deliver)

    def _finish(self) -> None:
        self._listening.finish()
        self._watcher.finish()


def _opened(info: MediaInfo) -> events.SourceOpened:
    return events.SourceOpened(
        info.name, info.duration_us, info.width, info.height, info.has_video, info.has_audio
    )
