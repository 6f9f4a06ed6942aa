"""Whether sound is lost while every lane has more work than it can do: a live session in real time.

Nothing of the session is replaced but the end of its answers, and others that see and answer the
same share its cores, as in a service. The sound is somebody who talks over
noise, and no sample of it is 0: what the endpointer got is compared with it sample by sample.
"""

from __future__ import annotations

import dataclasses
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from endless import ANSWER_TOKENS, endless_pack
from lane_bars import Row
from omnilive import events
from omnilive.config import RuntimeConfig
from omnilive.engine.interface import F32
from omnilive.engine.pack import EnginePack, open_pack
from omnilive.events import Event
from omnilive.lanes import Lane, LaneCores
from omnilive.memory.compressor import Compressor
from omnilive.memory.config import CompressionConfig, KeyframeConfig
from omnilive.memory.keyframes import KeyframeStore
from omnilive.perception.frame_encoder import FrameEncoder
from omnilive.session.session import RunOptions, Session
from omnilive.sources.live import LiveSource
from omnilive.sources.types import SAMPLE_RATE_HZ, Pcm, samples_to_us
from omnilive_micropack.painting import paint
from omnilive_micropack.seeds import generator
from omnilive_micropack.speech import SPEAKERS, speak
from omnilive_micropack.story import make_world
from running import benchmark_config

PRESET, SEED = "edge", 2_000_700
OPTIONS = RunOptions(preset=PRESET, realtime=True, seed=SEED)
BLOCK = SAMPLE_RATE_HZ // 10
SIZE = (1280, 720)
PICTURES = 12
SEE_SHARE = 0.4
"""Of the cores' time that frames take, by the time one takes alone. They go before words: with more
of them nothing would be answered."""
MOST_FPS = 30.0
REMEMBER_SHARE = 0.4
"""The same of what compressing clips takes; their integration comes on top."""
CLIP_FRAMES = (16, 8, 4, 2)
"""After so many the scene changes: the most with which clips take that share, else the fewest."""

SENTENCES = (
    "What do you see now, and where is the red mug that was on the table?",
    "Who is in the room, and what did they do before I came in?",
    "Tell me what changed since the lamp was moved, and what is beside it.",
)
PAUSE_S = 4.0
"""Before each sentence: the endpoint of the one before, and its answer sounds."""
TYPED = "What is on the table?"
NOISE = (0.001, 0.003)
"""Range of the noise's size, of full scale; of either sign."""

NEIGHBOURS = 2
"""Sessions beside it: one alone leaves the miniature's engines idle at the most frames a source may
have."""
LANES_AT_ONCE = 2.0
"""Each engine takes all the cores there are to share: where two lanes have work, one waits."""

TRIALS = 5
DRAIN_S = 30.0
"""What has not been heard by then, after the last of it was pushed, is lost."""
LISTENS_S = 0.01


def audio_rows(pack: Path, threads: int, seconds: float, speed: float) -> list[Row]:
    """Sound lost; its blocks of 100 ms come at ``speed`` times their pace.

    Raises:
        OmniLiveError: from any stage.
    """
    config = benchmark_config(PRESET, None)
    config = dataclasses.replace(
        config,
        engine=dataclasses.replace(config.engine, threads=threads),
        reasoning=dataclasses.replace(config.reasoning, max_new_tokens=ANSWER_TOKENS),
    )
    with tempfile.TemporaryDirectory(prefix="omnilive-sound-") as name:
        folder = Path(name)
        with closing(open_pack(endless_pack(pack, folder), config=config.engine)) as opened:
            opened.warm_up()
            fps = min(MOST_FPS, SEE_SHARE / _frame_s(opened, folder / "alone"))
            clip = _clip_frames(opened, fps)
            config = dataclasses.replace(
                config,
                source=dataclasses.replace(config.source, fps=fps / speed),
                segmentation=dataclasses.replace(config.segmentation, clip_min=1, clip_max=clip),
            )
            cores = LaneCores(threads)
            with ExitStack() as stack:
                neighbours = [
                    stack.enter_context(_neighbour(opened, config, cores, folder / f"beside-{i}"))
                    for i in range(NEIGHBOURS)
                ]
                source = LiveSource(config.source, name="saturated")
                session = _Saturated(source, neighbours, fps, clip)
                running = Session(
                    opened,
                    config,
                    OPTIONS,
                    folder / "run",
                    (session.hear,),
                    session.drop,
                    cores=cores,
                )
                stack.callback(running.close)
                return session.rows(running, seconds, speed)


@dataclass(frozen=True)
class _Neighbour:
    """A session that sees and is asked what the one that is measured is."""

    source: LiveSource
    session: Session


@contextmanager
def _neighbour(
    pack: EnginePack, config: RuntimeConfig, cores: LaneCores, folder: Path
) -> Iterator[_Neighbour]:
    """One that runs, without ears."""
    source = LiveSource(config.source, name="beside", has_audio=False)
    session = Session(pack, config, OPTIONS, folder, cores=cores)
    thread = threading.Thread(target=session.run, args=(source,), daemon=True)
    thread.start()
    try:
        yield _Neighbour(source, session)
    finally:
        session.stop()
        source.end(discard=True)
        thread.join(DRAIN_S)
        session.close()


class _Saturated:
    """One session, what is pushed into it and what came of it."""

    def __init__(
        self,
        source: LiveSource,
        neighbours: Sequence[_Neighbour],
        fps: float,
        clip_frames: int,
    ) -> None:
        self._source = source
        self._neighbours = neighbours
        self._fps = fps
        self._clip_frames = clip_frames
        self._received: list[F32] = []
        self._heard = 0
        self._wanted = 0
        self._all = threading.Event()
        self._reads = threading.Event()
        self._session: Session | None = None
        self._error: BaseException | None = None
        self._owed: list[list[bool]] = []
        self._dropped = 0
        self._interrupted = 0
        self._refused = 0

    def hear(self, event_id: int, at_us: int, event: Event) -> None:
        """Type a question whenever somebody begins to speak, so that an answer is decoded."""
        if isinstance(event, events.SourceOpened):
            self._reads.set()
        elif isinstance(event, events.SpeechStarted) and self._session is not None:
            for session in (self._session, *(n.session for n in self._neighbours)):
                session.ask(TYPED)
        elif isinstance(event, events.FrameDropped):
            self._dropped += 1
        elif isinstance(event, events.AnswerInterrupted):
            self._interrupted += 1

    def drop(self, chunk: object) -> None:
        """Take the answers' sound, as a client does."""

    def rows(self, session: Session, seconds: float, speed: float) -> list[Row]:
        """Feed it for ``seconds`` of sound and compare."""
        self._session = session
        self._listen_in(session)
        sound = _sound(seconds)
        self._wanted = len(sound)
        thread = threading.Thread(target=self._run, args=(session,), daemon=True)
        thread.start()
        began_s = time.monotonic()
        try:
            self._feed(session, sound, speed)
            took_s = time.monotonic() - began_s
            self._all.wait(DRAIN_S)
        finally:
            session.stop()
            self._source.end(discard=True)
            thread.join(DRAIN_S)
        if self._error is not None:
            raise self._error
        return self._compare(session, sound, seconds / took_s)

    def _run(self, session: Session) -> None:
        try:
            session.run(self._source)
        except BaseException as error:
            self._error = error
            self._all.set()

    def _listen_in(self, session: Session) -> None:
        """Note every block on its way to the endpointer."""
        endpointer = session._listening._endpointer
        push = endpointer.push

        def noted(pcm: Pcm) -> object:
            self._received.append(pcm.samples)
            self._heard += int(np.count_nonzero(pcm.samples))
            if self._heard >= self._wanted:
                self._all.set()
            return push(pcm)

        vars(endpointer)["push"] = noted

    def _feed(self, session: Session, sound: F32, speed: float) -> None:
        """Push blocks and frames when they are due; what is refused is not pushed again."""
        self._reads.wait(DRAIN_S)
        pictures = _pictures()
        began_s = time.monotonic()
        while not self._source.push_pcm(0, sound[:BLOCK]):  # it is about to read
            time.sleep(LISTENS_S)
        shown = 0
        for at in range(BLOCK, len(sound), BLOCK):
            due_s = began_s + at / SAMPLE_RATE_HZ / speed
            while (left_s := due_s - time.monotonic()) > 0:
                time.sleep(min(left_s, 1 / self._fps))
                now_us = round((time.monotonic() - began_s) * speed * 1e6)
                picture = pictures[shown // self._clip_frames % len(pictures)]
                for neighbour in self._neighbours:
                    neighbour.source.push_frame(now_us, picture)
                shown += self._source.push_frame(now_us, picture)
            block = sound[at : at + BLOCK]
            if not self._source.push_pcm(samples_to_us(at), block):
                self._refused += len(block)
            progress = session.progress()
            self._owed.append([progress[lane].owed > 0 for lane in Lane])

    def _compare(self, session: Session, sound: F32, pace: float) -> list[Row]:
        received = np.concatenate(self._received or [np.zeros(0, np.float32)])
        lost, silence = lost_samples(received, sound)
        seconds = len(sound) / SAMPLE_RATE_HZ
        rows = [
            Row(
                f"audio lost in {seconds:.0f} s, all lanes saturated",
                "samples",
                (float(lost),),
                "maximum",
                0.0,
            ),
            Row("  refused when pushed", "samples", (float(self._refused),)),
            Row("  silence in place of sound", "samples", (float(silence),)),
            Row("pace the sound was pushed at", "× real time", (pace,)),
        ]
        at_once = tuple(float(sum(owed)) for owed in self._owed)
        rows.append(
            Row("  lanes that had work at a time", "lanes", at_once, "p50", LANES_AT_ONCE, True)
        )
        ended = session.progress()
        for index, lane in enumerate(Lane):
            share = 100 * float(np.mean([owed[index] for owed in self._owed]))
            rows.append(Row(f"  {lane.value} lane had work", "% time", (share,)))
            jobs = float(ended[lane].ended)
            rows.append(Row(f"  jobs of the {lane.value} lane", "jobs", (jobs,), "p50", 1.0, True))
        rows.append(Row("  frames a second", "frames", (self._fps,)))
        rows.append(Row("  frames of a clip", "frames", (float(self._clip_frames),)))
        rows.append(Row("  frames that made way", "frames", (float(self._dropped),)))
        rows.append(Row("  answers spoken into", "answers", (float(self._interrupted),)))
        return rows


def lost_samples(received: F32, sound: F32) -> tuple[int, int]:
    """How much of ``sound`` is not in its place in ``received``; how much of it is silence there.

    Args:
        received: float32 [n], a stream that begins with silence before the first of ``sound``.
        sound: float32 [m] without a 0.
    """
    begun = np.flatnonzero(received)
    got = received[int(begun[0]) :][: len(sound)] if len(begun) else received[:0]
    right = int(np.count_nonzero(got == sound[: len(got)]))
    return len(sound) - right, int(np.count_nonzero(got == 0))


def _sound(seconds: float) -> F32:
    """Somebody talking over noise, float32 [n]; no sample is 0."""
    rng = generator(SEED, "saturation")
    pause = np.zeros(round(PAUSE_S * SAMPLE_RATE_HZ), np.float32)
    said = [speak(text, "en", SPEAKERS[i]) for i, text in enumerate(SENTENCES)]
    phrase = np.concatenate([part for one in said for part in (pause, one)])
    total = round(seconds * SAMPLE_RATE_HZ)
    sound = np.tile(phrase, total // len(phrase) + 1)[:total]
    noise = rng.uniform(*NOISE, total) * rng.choice((-1.0, 1.0), total)
    sound = (sound + noise).astype(np.float32)
    sound[sound == 0] = np.float32(NOISE[0])
    return sound


def _frame_s(pack: EnginePack, folder: Path) -> float:
    """What the see lane takes for a frame when nothing else runs, seconds."""
    encoder, store = FrameEncoder(pack), KeyframeStore(folder, KeyframeConfig())
    took = []
    for at, rgb in enumerate(_pictures()):
        begin_s = time.perf_counter()
        encoder.encode(rgb)
        store.put(at, rgb)
        took.append(time.perf_counter() - begin_s)
    return float(np.median(took))


def _clip_frames(pack: EnginePack, fps: float) -> int:
    """Length of the clips that keep the remember lane busy at ``fps``."""
    compressor = Compressor(pack, CompressionConfig())
    shape = next(t.shape for t in pack.manifest.engines["mem_proj"].inputs)
    feature = np.zeros([int(n) for n in shape[1:]], np.float32)
    for frames in CLIP_FRAMES:
        took = []
        for _ in range(TRIALS):
            begin_s = time.perf_counter()
            compression = compressor.begin([feature] * frames, 0, frames * 1_000_000)
            while not compression.step():
                pass
            compression.cancel()
            took.append(time.perf_counter() - begin_s)
        if float(np.median(took)) * fps / frames >= REMEMBER_SHARE:
            return frames
    return CLIP_FRAMES[-1]


def _pictures() -> list[np.ndarray]:
    """Rooms of the micropack's world: scenes that differ."""
    world = make_world(SEED, float(10 * PICTURES))
    return [paint(world, 10.0 * i, SIZE) for i in range(PICTURES)]
