"""One session: puts the stages together, feeds them from a source and closes the books.

It wires and counts; every decision belongs to the stage that makes it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from omnilive import events
from omnilive.closing import Closers
from omnilive.config import RuntimeConfig
from omnilive.engine.pack import EnginePack
from omnilive.engine.placement import lanes_on_device
from omnilive.errors import OutputError
from omnilive.eventlog import EventLog, Listener, TimingListener
from omnilive.lanes import (
    Lane,
    LaneCores,
    Lanes,
    LaneUse,
    Progress,
    ThreadLanes,
    VirtualLanes,
)
from omnilive.memory.clip import FRAME_RECORD_BYTES
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
from omnilive.scheduling.cores import core_shares
from omnilive.scheduling.trace import SPANS_KEPT, write_trace
from omnilive.session.answering import Answerer, AnswerParts
from omnilive.session.asking import Ask, Asking
from omnilive.session.conversation import Conversation, ConversationParts
from omnilive.session.decoding import Decoding
from omnilive.session.door import Door
from omnilive.session.evidence import EvidenceReader
from omnilive.session.feeding import Feeder, Item
from omnilive.session.generations import Generations
from omnilive.session.interruptions import Interruptions
from omnilive.session.listening import Listening
from omnilive.session.outcomes import Outcomes
from omnilive.session.playout import Played
from omnilive.session.scene import SceneWatch
from omnilive.session.watching import MemoryParts, Watcher
from omnilive.sources.live import LiveSource
from omnilive.sources.prefetch import Prefetch
from omnilive.sources.types import US_PER_SECOND, Frame, MediaInfo, Pcm, Source
from omnilive.speech.espeak import EspeakVoice
from omnilive.speech.outlet import Outlet, Sink
from omnilive.speech.track import AnswerTrack

KEYFRAMES_FOLDER = "keyframes"
ANSWERS_NAME = "answers.wav"
PREFETCHED_ITEMS = 32
"""Decoded items held ahead of the session: three seconds of PCM and frames, or of frames alone
200 MB at most of those 1920 pixels wide."""
READER_STOP_S = 2.0
"""How long a run that ends waits for the thread that reads the source, before it is left behind."""


@dataclass(frozen=True)
class RunOptions:
    """What a run is, besides its configuration.

    Attributes:
        preset: name of the preset, for the log.
        realtime: wall clock instead of virtual time.
        seed: of token sampling.
        trace: file for a trace of the lanes; None writes none.
    """

    preset: str = "edge"
    realtime: bool = False
    seed: int = 0
    trace: Path | None = None


class Session:
    """Runs one source through one pack and writes the results into a folder.

    Making one changes nothing that an earlier run wrote there: whatever can be refused is
    refused before. The limits of the files are in ``config.output``.
    """

    def __init__(
        self,
        pack: EnginePack,
        config: RuntimeConfig,
        options: RunOptions,
        folder: Path,
        listeners: tuple[Listener, ...] = (),
        on_audio: Sink | None = None,
        cores: LaneCores | None = None,
        on_timing: TimingListener | None = None,
    ) -> None:
        """Put the stages together.

        Args:
            pack: the engines; several sessions may share it.
            config: of every stage.
            options: what the run is.
            folder: for the logs, the keyframes and the answers' sound.
            listeners: told of every event, on the loop: they return at once.
            on_audio: given the answers' sound as it is to be played, on the loop; None when
                nobody listens live.
            cores: what this session's lanes share with other sessions' in real time; None for
                cores of its own.
            on_timing: told of every stage that was measured, on the loop; it returns at once.
        """
        self._pack = pack
        self._options = options
        self._folder = folder
        self._output = config.output
        on_device = lanes_on_device(pack.manifest.engines, config.engine)
        spans_kept = SPANS_KEPT if options.trace is not None else 0
        self._lanes: Lanes = (
            ThreadLanes(
                config.lanes, core_shares(config.engine.threads, on_device), spans_kept, cores
            )
            if options.realtime
            else VirtualLanes(config.lanes, spans_kept)
        )
        self._log = EventLog(folder, self._lanes, listeners, config.output, on_timing)
        self._track = AnswerTrack()
        self._door = Door(self._lanes)
        self._end_source: Callable[[], object] = lambda: None
        self._stopped = self._over = False
        self._period_us = round(US_PER_SECOND / config.source.fps)

        encoder = FrameEncoder(pack)
        cut_cosine = cut_threshold(config.segmentation, pack.calibration).cosine
        segmenter = Segmenter(config.segmentation, cut_cosine)
        compressor = Compressor(pack, config.compression)
        self._store = store = MemoryStore(config.store)
        keeps_kv = config.memory.keeps_kv
        long_term = LongTermMemory(
            pack, config.long_term, clip_max=config.segmentation.clip_max, keeps_kv=keeps_kv
        )
        endpointer = Endpointer(config.vad, SileroVad())
        audio = AudioModel(pack, config.recognition)
        check = InstructionCheck(pack, config.instruction)
        grounding = Grounding(pack, config.retrieval, keeps_kv=keeps_kv)
        prompts = PromptBuilder(pack, config.prompt)
        sampling = dataclasses.replace(config.sampling, seed=options.seed)
        reasoner = Reasoner(pack, config.reasoning, sampling)
        voice = EspeakVoice(config.voice)
        # The last of the parts: it brings what is in the folder under the configured quota.
        self._keyframes = KeyframeStore(folder / KEYFRAMES_FOLDER, config.keyframes)

        self._watcher = Watcher(
            MemoryParts(encoder, segmenter, self._keyframes, compressor, store, long_term),
            self._lanes,
            self._log,
            config.virtual_cost,
            self._period_us,
            config.segmentation.cut_feature,
            config.memory.algorithm,
        )
        self._outcomes = Outcomes(endpointer, self._lanes, self._log)
        evidence = EvidenceReader(
            prompts, self._keyframes, config.evidence, config.budget, config.virtual_cost
        )
        outlet = None if on_audio is None else Outlet(on_audio, self._lanes, config.outlet)
        decoding = Decoding(evidence, prompts, reasoner, config.virtual_cost)
        scenes = None
        if config.turn.refresh:
            scenes = SceneWatch(self._watcher.scene, config.turn.refresh_cosine or cut_cosine)
        answerer = Answerer(
            AnswerParts(decoding, voice, self._track, endpointer, scenes),
            self._lanes,
            self._log,
            self._outcomes,
            config.sentences,
            config.virtual_cost,
            config.turn.playout_wait_ms * 1000,
            outlet,
        )
        self._outcomes.when_settled(lambda _: self._close_when_idle())
        generations = Generations(self._lanes)
        self._interruptions = Interruptions(
            answerer, generations, self._outcomes, self._lanes, self._log, config.turn
        )
        self._conversation = Conversation(
            ConversationParts(check, grounding),
            self._watcher,
            self._interruptions.begin,
            generations,
            self._outcomes,
            self._lanes,
            self._log,
            config.turn,
            config.virtual_cost,
            speech_frames=config.evidence.speech_frames,
        )
        self._listening = Listening(
            endpointer,
            audio,
            generations,
            self._outcomes,
            self._watcher.snapshot,
            self._conversation.hear,
            self._watcher.prepare,
            self._lanes,
            self._log,
            config.turn,
            config.virtual_cost,
        )
        self._listening.when_listened(answerer.listened)

    @property
    def has_begun(self) -> bool:
        """Whether the log in the folder is this session's and holds something to report."""
        return self._log.has_events

    def run(self, source: Source | LiveSource, asks: tuple[Ask, ...] = ()) -> None:
        """Run to the end of the source and of everything it set going.

        In real time other threads may act on the session meanwhile (``ask`` to ``stop``). A
        question for later than the end is asked when the stream has ended and the answer
        before it has been heard; a SourceNotice says so.

        Raises:
            OmniLiveError: from any stage; what was written until then stays. The first error is
                raised; what fails while the run is brought to its end is attached to it as notes.
        """
        with Closers() as closers:
            closers.add(self._write_trace)
            closers.add(self._lanes.close)
            closers.add(self._track.close)
            closers.add(self._keyframes.close)
            self._begin(source)
            live = isinstance(source, LiveSource)
            items = self._read_ahead(source)
            closers.add(lambda: self._stop_reading(items))
            asking = Asking(self._lanes, asks, self._conversation.ask)
            finish = partial(self._finish, asking)
            room = self._listening.when_room
            Feeder(
                self._lanes, items, self._period_us, self._take, finish, room, paced=not live
            ).next()
            closers.add(self._door.close)  # a run that fails takes nothing on any more
            if self._options.realtime:
                self._door.open()
            self._lanes.run()
            for ask in asking.late:  # what was answered before has been heard
                self._ask_late(ask)
                self._lanes.run()
        self._log.emit(
            events.SessionEnded(
                self._watcher.frames,
                self._watcher.frames_dropped,
                self._watcher.clips,
                self._listening.utterances,
                self._outcomes.answers,
                self._outcomes.cancelled,
            )
        )

    @property
    def remembered_bytes(self) -> int:
        """What its clips take, the records of their frames included; from any thread."""
        return sum(
            clip.nbytes + len(clip.frame_pts) * FRAME_RECORD_BYTES for clip in self._store.clips
        )

    def now_us(self) -> int:
        """Stream time, microseconds; from any thread."""
        return self._lanes.now_us()

    def lane_use(self, bounds_us: Sequence[int]) -> Mapping[Lane, LaneUse]:
        """What each lane has done, its durations counted up to each bound; from any thread.

        Empty in virtual time, which measures nothing.
        """
        return self._lanes.use(bounds_us) if isinstance(self._lanes, ThreadLanes) else {}

    def progress(self) -> Mapping[Lane, Progress]:
        """How far each lane has come; of a live session from any thread."""
        return self._lanes.progress()

    def ask(self, text: str) -> bool:
        """Ask a typed question now.

        This and the methods down to ``stop`` may be called from any thread. They return whether
        it will be done: not before or after ``run``, nor in virtual time.
        """
        return self._door.post(lambda: self._conversation.ask(text))

    def interrupt(self, *, played: Played | None = None, generation: int | None = None) -> bool:
        """Stop the answer: no sound of it leaves from then on.

        Args:
            played: what the client had played when it stopped.
            generation: of the answer that is meant: another one goes on. None for any.
        """
        return self._door.post(lambda: self._interruptions.interrupt(played, generation))

    def playout(self, played: Played) -> bool:
        """Take the client's account of what it played."""
        return self._door.post(lambda: self._interruptions.report(played))

    def resume(self) -> bool:
        """Let the answer that was interrupted last go on, if it still can."""
        return self._door.post(self._interruptions.resume)

    def stop(self) -> bool:
        """End now: nothing more is read, and the answer in progress is cancelled."""
        return self._door.post(self._stop)

    def close(self) -> None:
        """Close the logs."""
        self._log.close()

    def _begin(self, source: Source | LiveSource) -> None:
        """Begin the files anew and let stream time run."""
        self._log.open()
        self._keyframes.clear()
        self._lanes.start()
        manifest = self._pack.manifest
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
        self._track.write_wav(self._folder / ANSWERS_NAME, self._output)

    def _take(self, item: Item) -> None:
        """Take one item whose time has come."""
        if self._stopped:
            return
        if isinstance(item, Frame):
            self._watcher.on_frame(item)
        elif isinstance(item, Pcm):
            self._listening.on_pcm(item)
        else:
            self._notice(item.pts_us, item.what)
        self._track.settle(self._lanes.now_us())

    def _finish(self, asking: Asking, duration_us: int) -> None:
        """The stream has ended: what is open ends with it, and the answers' sound lasts as long."""
        if not self._stopped:
            self._listening.finish()
        self._watcher.finish()
        asking.end()
        self._track.settle(duration_us)
        self._over = True
        self._close_when_idle()

    def _read_ahead(self, source: Source | LiveSource) -> Prefetch[Item]:
        """Begin to read ``source`` in a thread of its own."""
        if isinstance(source, LiveSource):
            self._end_source = partial(source.end, discard=True)
            return Prefetch(source.items(self._lanes.now_us), PREFETCHED_ITEMS)
        items: Prefetch[Item] = Prefetch(source, PREFETCHED_ITEMS)
        self._end_source = partial(items.close, 0.0)
        return items

    def _stop(self) -> None:
        self._stopped = True
        self._end_source()
        self._interruptions.stop()

    def _close_when_idle(self) -> None:
        """Once the source has ended, the last outcome ends the session."""

        def close() -> None:
            if self._interruptions.idle:
                self._door.close()

        if self._over:  # by a timer: whoever led to an outcome may be about to begin another
            self._lanes.at(self._lanes.now_us(), close)

    def _ask_late(self, ask: Ask) -> None:
        asked_s = ask.at_us / US_PER_SECOND
        self._notice(
            self._lanes.now_us(),
            f"a question for {asked_s:.1f} s is asked now: the stream ended before",
        )
        self._conversation.ask(ask.text)

    def _write_trace(self) -> None:
        if self._options.trace is not None:
            try:
                write_trace(self._options.trace, self._lanes.spans(), self._lanes.figures())
            except OSError as e:
                raise OutputError(
                    f"could not be written ({e.strerror or e})",
                    where=str(self._options.trace),
                    mend="Name another file with --trace; the run's other results are kept.",
                ) from e

    def _stop_reading(self, items: Prefetch[Item]) -> None:
        if not items.close(READER_STOP_S):
            self._notice(
                self._lanes.now_us(),
                "the source gives nothing and does not stop; it is left open, unread",
            )

    def _notice(self, at_us: int, what: str) -> None:
        self._log.emit(events.SourceNotice(at_us, what))


def _opened(info: MediaInfo) -> events.SourceOpened:
    return events.SourceOpened(
        info.name, info.duration_us, info.width, info.height, info.has_video, info.has_audio
    )
