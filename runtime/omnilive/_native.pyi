"""Types and contracts of the native core (runtime/native/src/*bindings.cpp).

Plain kernels over plain arrays: nothing here knows of engines, models or sessions. Arrays are
taken with the dtype named and never cast (another dtype raises TypeError); any strides will do.
Every call that does work releases the GIL for it, so other Python threads run meanwhile; only
``sample`` keeps it, since handing it over can cost more than the call takes.

``isa`` is the instruction set to use, one of ``instruction_sets()``, by default the best. Results
are the same to the bit by all of them.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

class PcmRing:
    """A bounded ring of PCM addressed by absolute sample index; sample 0 is the first ever pushed.

    Keeps the last ``capacity_samples`` samples. Every member may be used from any thread.

    Raises:
        ValueError: the capacity is less than 1 sample.
    """

    def __init__(self, capacity_samples: int) -> None: ...
    def push(self, samples: npt.NDArray[np.float32]) -> None:
        """Append samples, float32 [n]; the oldest beyond the capacity are overwritten."""

    def read(self, start_index: int, n: int) -> npt.NDArray[np.float32]:
        """Copy out samples [start_index, start_index + n), float32 [n].

        Raises:
            ValueError: one of them is overwritten or not yet written.
        """

    @property
    def written(self) -> int:
        """Samples pushed since the start: the absolute index of the next one."""

    @property
    def oldest(self) -> int:
        """Absolute index of the oldest sample held."""

    def __len__(self) -> int:
        """Samples held."""

def instruction_sets() -> list[str]:
    """Those the kernels can use on this processor, best first; the last is ``portable``."""

def topk_cosine(
    query: npt.NDArray[np.float32],
    rows: npt.NDArray[np.float32] | npt.NDArray[np.float16],
    k: int,
    *,
    threads: int = 1,
    isa: str | None = None,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """The rows [N, H] most similar to the query [H] by cosine, in float32 arithmetic.

    A row or query of zero norm scores 0. The result is the same to the bit on every processor and
    for any number of ``threads``, the caller's among them, which read 1 MiB of rows each at least.

    Returns:
        Indices int64 [min(k, N)] and scores float32 [min(k, N)], score descending, ties by lower
        index.

    Raises:
        ValueError: widths differ, k is negative, there are no threads, or a value is not finite or
            too large to square.
    """

def sum_words(words: npt.NDArray[np.uint64], *, threads: int = 1, isa: str | None = None) -> int:
    """Sum of contiguous uint64 [n] modulo 2^64, read as ``topk_cosine`` reads its rows.

    The least work that touches every byte: its speed is what the memory gives.

    Raises:
        ValueError: there are no threads.
    """

def resize_rgb(
    rgb: npt.NDArray[np.uint8],
    out_h: int,
    out_w: int,
    *,
    filter: Literal["bicubic", "bilinear"] = "bicubic",
    isa: str | None = None,
) -> npt.NDArray[np.uint8]:
    """Squash or stretch a picture [h, w, 3] to [out_h, out_w, 3], antialiased.

    Cubic convolution (a = -0.5) or a triangle, whose support widens with the reduction: within 2
    of what Pillow's BICUBIC and BILINEAR give for the columns and then for the rows.

    Raises:
        ValueError: a side is not in 1 to 65,536 pixels, the last axis is not 3, or an unknown
            filter.
    """

def resize_nv12(
    luma: npt.NDArray[np.uint8],
    chroma: npt.NDArray[np.uint8],
    out_h: int,
    out_w: int,
    *,
    matrix: Literal["bt601", "bt709"],
    full_range: bool,
    filter: Literal["bicubic", "bilinear"] = "bicubic",
    isa: str | None = None,
) -> npt.NDArray[np.uint8]:
    """Squash or stretch NV12 to RGB [out_h, out_w, 3]: each plane as ``resize_rgb``, then colors.

    Args:
        luma: [h, w].
        chroma: [(h + 1) // 2, (w + 1) // 2, 2], sited left and between rows (H.264, HEVC).
        out_h, out_w: pixels.
        matrix: ITU-R BT.601 or BT.709.
        full_range: whether 0 to 255, or 16 to 235 (chroma 16 to 240), spans black to white.
        filter: as for ``resize_rgb``.
        isa: as for all.

    Raises:
        ValueError: as ``resize_rgb``, or the planes don't fit each other.
    """

def normalized_planes(
    rgb: npt.NDArray[np.uint8],
    mean: Sequence[float],
    deviation: Sequence[float],
    *,
    isa: str | None = None,
) -> npt.NDArray[np.float32]:
    """A picture [h, w, 3] as float32 [3, h, w]: (value / 255 - mean) / deviation per channel.

    Raises:
        ValueError: the last axis is not 3.
    """

def sample(
    logits: npt.NDArray[np.float32],
    history: Sequence[int],
    *,
    temperature: float,
    top_k: int,
    top_p: float,
    repetition_penalty: float,
    seed: int,
    generation: int,
    step: int,
    isa: str | None = None,
) -> int:
    """The next token of contiguous logits [V].

    In this order: the penalty divides positive and multiplies other logits of ``history``, each
    once, in float32; the ``top_k`` best are kept (all for 0), equal ones by lower id; their weights
    are exp((score - best) / temperature) in float64; the least best with ``top_p`` of their mass
    are kept; one draw falls on what is kept. Temperature 0 takes the best.

    The draw is uniform in [0, 1) by Philox4x32-10 under the key ``seed`` and the counter (``step``,
    ``generation``), 64 bits each: the upper 53 bits of its first two words.

    Raises:
        FloatingPointError: a logit is infinite or not a number.
        ValueError: no logits, an id of the history outside them, or a rule out of range.
    """

def quantize_nearest(
    weights: npt.NDArray[np.float32], *, bits: int, block: int, symmetric: bool, threads: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32], npt.NDArray[np.uint8] | None]:
    """Rows [n, k] to the nearest codes of a grid that holds each block's extremes.

    This and the other two: rows are independent; ``weights`` is C-contiguous; the result is the
    same to the bit on every processor and for every number of threads.

    Args:
        bits: 4 or 8.
        block: weights along a row that share a scale: 32, 64 or 128.
        symmetric: no zero points; the middle code is 0.
        threads: to work with, the caller's included.

    Returns:
        Codes uint8 [n, blocks, block * bits / 8], 4-bit ones in pairs, the first in the low bits;
        scales float32 [n, blocks]; zero points uint8 [n, ceil(blocks * bits / 8)], packed
        likewise, or None. A weight is (code - zero point) * scale.

    Raises:
        ValueError: a weight is not finite, or an option is none of those named.
    """

def quantize_half_quadratic(
    weights: npt.NDArray[np.float32], *, block: int, symmetric: bool, threads: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32], npt.NDArray[np.uint8] | None]:
    """Rows [n, k] to 4 bits by half-quadratic quantization (Badri and Shaji, "HQQ", 2023).

    Grid and outlying errors (the part of an error beyond the soft threshold of the l_1/2 norm) are
    fitted in turn; of the grids on the way the one of least squared error is taken, so no block
    is worse than round-to-nearest's. Unlike the original, the scale is fitted as well as the zero
    point, which is a whole code. See ``quantize_nearest``.
    """

def quantize_calibrated(
    weights: npt.NDArray[np.float32],
    factors: npt.NDArray[np.float32],
    *,
    block: int,
    symmetric: bool,
    threads: int,
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32], npt.NDArray[np.uint8] | None]:
    """Rows [n, k] to 4 bits with the least change of their outputs (GPTQ, Frantar et al., 2022).

    Column after column is rounded and its error handed on to the columns after it in its group;
    each block's grid is searched for when its turn comes, errors weighted by what they cost.

    Args:
        factors: float32 [groups, width, width], C-contiguous: upper Cholesky factors of the
            inverse second moments of each ``width`` inputs, ``width`` a multiple of ``block`` up
            to 128.

    The rest is as in ``quantize_nearest``.
    """

class NativeJob:
    """A job that needs no interpreter; it may be submitted any number of times."""

    def run(self) -> None:
        """Run it here and now, without the GIL. Raises RuntimeError when it fails."""

def noop_job() -> NativeJob:
    """A job that does nothing, to measure what the lanes cost by themselves."""

def chain_jobs(jobs: Sequence[NativeJob]) -> NativeJob:
    """One job that runs these in a row; what fails ends it."""

def resize_into(rgb: npt.NDArray[np.uint8], tensor: OrtTensor) -> NativeJob:
    """A job that does what ``resize_rgb`` does, into a tensor uint8 [1, h, w, 3].

    ``rgb`` is C-contiguous and is kept as long as the job.

    Raises:
        ValueError: the picture is not uint8 [h, w, 3], or the tensor another.
    """

class LaneTicket:
    """A job the lanes have taken: what others may wait for."""

    @property
    def state(self) -> Literal["waiting", "running", "done", "failed", "dropped"]:
        """What has become of it so far."""

    @property
    def times_ns(self) -> tuple[int, int, int] | None:
        """Submitted, started (0: never) and ended, nanoseconds of the monotonic clock.

        None until it has ended.
        """

class LaneCores:
    """Cores that several schedulers share: their jobs together keep no more busy than there are.

    Whose lane is next is decided by the same rules over all of them
    (runtime/native/src/lanes/core_pool.hpp has them), so equal lanes take turns job by job.

    Raises:
        ValueError: fewer than 0; with 0 nobody waits for one.
    """

    def __init__(self, cores: int) -> None: ...
    @property
    def cores(self) -> int:
        """How many there are."""

    @property
    def free(self) -> int:
        """How many no job keeps busy now."""

    @property
    def members(self) -> int:
        """Schedulers that share them."""

class LaneScheduler:
    """When the jobs of the five lanes run (runtime/native/src/lanes/scheduler.hpp has the rules).

    Lanes are numbered in the order of ``omnilive.lanes.Lane``. Every member may be called from any
    thread; the GIL is taken on a lane's thread only while a job of Python runs.

    Args:
        capacities: jobs that may wait on each lane, besides the one that runs. A job counts until
            its outcome is taken.
        drop_oldest: whether a full lane drops its oldest waiting job, or refuses a new one.
        priorities: lower gets cores first.
        permits: cores a job of each lane keeps busy.
        cores: cores the lanes share, or a pool of them that they share with other schedulers'
            lanes; 0 lets every lane run at any time.
        spin_us: how long an idle lane looks for work before it sleeps, microseconds.
        patience_us: a lane passed over this long goes first, microseconds.
        trace_capacity: spans kept, the newest; 0 keeps none.
        ranges_library: NVTX's, which is told of every job for a profiler: the first that is there,
            of names with colons between them; without any, nobody is told.
        urgencies: lower gets cores first, of the lanes of several schedulers that share them; those
            of one urgency take turns. Without any all do.

    Raises:
        ValueError: a setting out of range, or not given for each lane.
    """

    def __init__(
        self,
        *,
        capacities: Sequence[int],
        drop_oldest: Sequence[bool],
        priorities: Sequence[int],
        permits: Sequence[int],
        cores: int | LaneCores = 0,
        spin_us: int = 50,
        patience_us: int = 1_000_000,
        trace_capacity: int = 0,
        ranges_library: str = "",
        urgencies: Sequence[int] = (),
    ) -> None: ...
    def submit(
        self,
        lane: int,
        owner: object,
        call: Callable[[], object],
        generation: int | None = None,
        deadline_ns: int | None = None,
        after: Sequence[LaneTicket] = (),
        name: str = "",
    ) -> tuple[LaneTicket | Literal["full", "stale", "closed"], list[Any]]:
        """Queue a callable; its outcome is reported to ``take``.

        Args:
            lane: where it runs.
            owner: what its outcome is known by.
            call: what runs; never called for a job that is dropped.
            generation: made stale by ``cancel_before``; None never is.
            deadline_ns: when it should have ended, monotonic nanoseconds: lanes of one priority
                go by it, and an end after it is counted as a miss.
            after: jobs that must be done before; if one does not get done, this is dropped.
            name: of its span in a trace.

        Returns:
            The ticket, or why there is none; and the owners of jobs that made way.

        Raises:
            ValueError: a ticket of another scheduler.
        """

    def submit_native(
        self,
        lane: int,
        job: NativeJob,
        generation: int | None = None,
        deadline_ns: int | None = None,
        after: Sequence[LaneTicket] = (),
        name: str = "",
        reports: bool = False,
        owner: object = None,
    ) -> tuple[LaneTicket | Literal["full", "stale", "closed"], list[Any]]:
        """Queue a native job: as ``submit``, but nothing of it needs the interpreter.

        Only with ``reports`` is its outcome reported to ``take``; what it returned is how long it
        ran, nanoseconds.
        """

    def cancel_before(self, generation: int) -> list[Any]:
        """Make every generation below ``generation`` stale: none of their jobs begins any more.

        Returns:
            The owners of those that were waiting; their outcomes are not reported.
        """

    def load(self, lane: int) -> int:
        """Jobs whose outcome has not been taken, besides one that runs."""

    @property
    def busy(self) -> bool:
        """Whether an outcome has been or is going to be reported and is not taken yet."""

    def serve(self, lane: int) -> None:
        """Run the jobs of ``lane`` on this thread until ``close``.

        Raises:
            RuntimeError: another thread serves it already.
        """

    def take(
        self, longest_us: int
    ) -> tuple[Any, Any, BaseException | None, bool] | Callable[[], None] | None:
        """The next outcome, or callable posted, after waiting for it without the GIL.

        An outcome is the owner (None without one), what it returned, what it raised, and
        whether it never ran, because what it waited for did not get done. None when ``longest_us``
        have passed, or a signal came; its handler may raise from here.
        """

    def post(self, call: Callable[[], None]) -> None:
        """Hand ``call`` to whoever takes."""

    def close(self) -> None:
        """Let running jobs end, forget the waiting ones, and make every ``serve`` return."""

    @property
    def serving(self) -> int:
        """Threads in ``serve``."""

    @property
    def gil_taken(self) -> int:
        """How often a lane's thread has taken the GIL to run a job."""

    def figures(self, lane: int) -> dict[str, Any]:
        """Counts of jobs by fate, and quantiles of ``waited_ns`` and ``ran_ns`` within 1/8.

        Fates: submitted, done, failed, missed (its deadline), dropped, cancelled. Besides,
        ``gil_taken``: times the lane took the GIL to run a job; ``native``: native jobs that have
        run to their end.
        """

    def durations(
        self, lane: int, bounds_ns: Sequence[int]
    ) -> tuple[tuple[list[int], int, int], tuple[list[int], int, int]]:
        """How long jobs waited, and how long they ran.

        For both: how many durations lie at or below each bound (those within 1/8 below it may
        be counted above), how many there are, and their sum, nanoseconds.
        """

    def spans(self) -> list[tuple[int, int, str, str, int | None, int, int, int]]:
        """The jobs kept for a trace, oldest first.

        Each is id, lane, name, state, generation, and when it was submitted, started (0: never)
        and ended, monotonic nanoseconds.
        """

    @property
    def spans_forgotten(self) -> int:
        """Spans that made way for newer ones."""

class OrtLibrary:
    """ONNX Runtime's shared library, called through its C API.

    Raises:
        RuntimeError: the file is not that library, or has another C API than the core declares.
    """

    def __init__(self, path: str) -> None: ...
    @property
    def version(self) -> str:
        """As the library names it."""

class OrtTensor:
    """Zeroed host memory of one tensor; calls that share one hand results on without a copy.

    Args:
        dtype: float32, float16, uint8, int8, int32 or int64.
        shape: sizes of its axes.

    Raises:
        ValueError: another dtype, or a size that cannot be.
    """

    def __init__(self, dtype: str, shape: Sequence[int]) -> None: ...
    @property
    def array(self) -> npt.NDArray[Any]:
        """A view of the memory."""

class OrtModel:
    """A model that the native core runs; it may be called from several threads at once.

    Args:
        library: what loads it.
        path: of the graph; external weights are found beside it.
        threads: that run it; 0 lets the library take the physical cores.
        spinning: whether idle pool threads burn their core.
        memory_arena: whether activation memory is kept between runs.
        memory_pattern: whether memory is planned once per distinct shape.
        affinity: cores of the pool's threads but the first, as the library writes them
            (``1;2``, counted from 1); empty leaves them free.

    Raises:
        RuntimeError: the library cannot load it.
    """

    def __init__(
        self,
        library: OrtLibrary,
        path: str,
        *,
        threads: int = 0,
        spinning: bool = False,
        memory_arena: bool = True,
        memory_pattern: bool = False,
        affinity: str = "",
    ) -> None: ...
    @property
    def inputs(self) -> list[tuple[str, str, tuple[int | str, ...]]]:
        """Name, dtype and shape of each; an axis whose size is free has its name instead."""

    @property
    def outputs(self) -> list[tuple[str, str, tuple[int | str, ...]]]:
        """As ``inputs``."""

    def call(self, inputs: Mapping[str, OrtTensor], outputs: Mapping[str, OrtTensor]) -> NativeJob:
        """A call with these tensors, to be run any number of times, one at a time.

        One tensor may be both, where the graph writes in place.

        Raises:
            ValueError: one is missing, unknown, or of another dtype or shape.
        """

    def run_of(self, feeds: Mapping[str, npt.NDArray[Any]]) -> OrtRun:
        """A run on these C-contiguous arrays, which are kept as long as it is.

        Whether the model takes them shows when it runs.

        Raises:
            ValueError: a dtype that tensors do not have.
            TypeError: what is no C-contiguous array.
        """

class OrtRun:
    """A run of a model whose outputs are as large as they turn out; see ``OrtModel.run_of``."""

    @property
    def job(self) -> NativeJob:
        """Runs it; fails with the library's words. Run again, it replaces the outputs."""

    @property
    def outputs(self) -> dict[str, npt.NDArray[Any]]:
        """Every output of the last run, by name; none before it."""
