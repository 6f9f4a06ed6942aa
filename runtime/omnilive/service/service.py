"""The service as a whole: opens the pack, warms it up, serves, and drains when it is told to stop.

It decides nothing about a session.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import random
import signal
import ssl
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NoReturn

from omnilive.config import RuntimeConfig
from omnilive.engine.manifest import Manifest
from omnilive.engine.manifest_file import read_manifest
from omnilive.engine.pack import EnginePack, open_pack
from omnilive.errors import ConfigError, EngineError, FitError, OmniLiveError, SetupError
from omnilive.lanes import LaneCores
from omnilive.plan.verdict import how_to_mend, judge, shortage
from omnilive.realtime import cores_of_all_sessions, with_measured_threads
from omnilive.service.access import is_loopback, read_token
from omnilive.service.admission import sessions_that_fit
from omnilive.service.app import Served, make_app
from omnilive.service.backoff import Backoff
from omnilive.service.door import Door, make_runner
from omnilive.service.heap import give_back, map_large_blocks
from omnilive.service.ice import ice_policy
from omnilive.service.lane_metrics import BOUNDS_US
from omnilive.service.live_session import LiveSession, SessionNames
from omnilive.service.metrics import Metrics
from omnilive.service.peers import Peers
from omnilive.service.pull_guard import check_pull
from omnilive.service.sessions import FullError, Sessions
from omnilive.service.watchdog import keep_watch, lanes_of
from omnilive.session.rehearsal import rehearse
from omnilive.systemd import notify, watchdog_s

HEALTHY_S = 60.0
"""A session of the service's own that lasted so long had been healthy: its failures count anew,
seconds."""

THREADS_END_S = 0.5
"""How long threads that read streams may take to end with the service, seconds."""

TIDY_S = 60.0
"""How often freed memory is given back, seconds: it takes some milliseconds."""

log = logging.getLogger(__name__)

Say = Callable[[str], None]


async def serve(config: RuntimeConfig, say: Say) -> None:
    """Serve until SIGTERM or SIGINT, then drain; a process whose engine hangs ends here.

    Args:
        config: of the service and of every session.
        say: takes a line for the terminal or the journal.

    Raises:
        OmniLiveError: it cannot start.
    """
    map_large_blocks()
    service = config.service
    token = read_token(service)
    tls = _tls(config)
    policy = ice_policy(config.webrtc, service.host)
    config = await asyncio.to_thread(with_measured_threads, config)
    loop = asyncio.get_running_loop()
    notify("STATUS=opening the engine pack")
    pack, capacity = await asyncio.to_thread(_open, config)
    cores = LaneCores(await asyncio.to_thread(cores_of_all_sessions, config))
    warm = asyncio.Event()
    metrics = Metrics(
        lambda: len(sessions),
        lambda: sum(s.outbox.unsent_bytes for s in sessions.all()),
        lambda: sum(s.remembered_bytes for s in sessions.all()),
        lambda: pack.kv_bytes,
    )

    def make(names: SessionNames, folder: Path) -> LiveSession:
        session = LiveSession(
            names, pack, config, service.preset, folder, loop, cores, metrics.time_stage
        )
        session.listen(metrics.listener())
        session.when_ended(metrics.lanes.add(partial(session.lane_use, BOUNDS_US)))
        session.when_ended(partial(_count_end, session, metrics))
        return session

    def pull(session: LiveSession, url: str) -> None:
        check = partial(check_pull, config=config.client, on_loopback=is_loopback(service.host))
        if url:
            check(url)
        session.pull([url] if url else [], check)

    sessions = Sessions(service, capacity, Path(service.state), make)
    peers = Peers(config.webrtc, policy, config.client.picture_pixels)
    served = Served(service, config.client, token, sessions, metrics, warm.is_set, pull, peers)
    runner = make_runner(make_app(served))
    await runner.setup()
    assert runner.server is not None
    door = Door(runner.server, config.client, tls)
    try:
        try:
            await door.open(service.host, service.port)
        except OSError as e:
            raise SetupError(
                f"cannot be listened on ({e.strerror or e})",
                where=f"{service.host}:{service.port}",
                mend="Stop what listens there, or set service.port.",
            ) from e
        scheme = "https" if tls else "http"
        stop = asyncio.Event()
        stop_on_signals(loop, stop)
        notify("STATUS=warming up")
        if not await _warm_up(pack, config, stop):
            leave("the engines are being warmed up")
        gc.collect()
        gc.freeze()  # freeing an ended session need not look at what stays for good
        warm.set()
        notify("READY=1", f"STATUS=ready for {sessions.capacity} sessions")
        say(f"ready at {scheme}://{service.host}:{door.port}/ for {sessions.capacity} sessions")
        watching = [
            asyncio.ensure_future(_watch_own(sessions, service.source.split())),
            asyncio.ensure_future(_watch_lanes(sessions)),
            asyncio.ensure_future(_tidy()),
        ]
        await stop.wait()
        for watch in watching:
            watch.cancel()
        notify("STOPPING=1", "STATUS=letting answers end")
        say("stopping: letting answers end")
        await sessions.drain()
    finally:
        await door.close()
        await runner.cleanup()
        if not len(sessions):
            await asyncio.to_thread(pack.close)
    if len(sessions):
        names = ", ".join(session.names.id for session in sessions.all())
        leave(f"session {names}" if names else "a session that is being made")
    if await asyncio.to_thread(threads_left, THREADS_END_S):
        _exit(0)


def threads_left(within_s: float) -> list[str]:
    """Names of the daemon threads that do not end within so many seconds: readers of streams.

    One that comes back from a library while the interpreter ends crashes the process, so that
    a process with any left had better end without that.
    """
    until_s = time.monotonic() + within_s
    own = threading.current_thread()
    daemons = [t for t in threading.enumerate() if t.daemon and t is not own]
    for thread in daemons:
        thread.join(max(0.0, until_s - time.monotonic()))
    return [thread.name for thread in daemons if thread.is_alive()]


async def _warm_up(pack: EnginePack, config: RuntimeConfig, stop: asyncio.Event) -> bool:
    """Warm the engines up; once told to stop they have ``service.drain_s`` left for it.

    Returns:
        Whether they are warm.

    Raises:
        OmniLiveError: an engine fails.
    """
    warming = asyncio.ensure_future(asyncio.to_thread(_warm, pack, config))
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait([warming, stopping], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    await asyncio.wait([warming], timeout=config.service.drain_s)
    if not warming.done():
        return False
    await warming
    return True


def _warm(pack: EnginePack, config: RuntimeConfig) -> None:
    pack.warm_up()
    notify("STATUS=rehearsing a session")
    rehearse(pack, config)


def leave(where: str) -> NoReturn:
    """End the process now, whatever its threads do: one in an engine that hangs cannot be ended.

    What sessions log is on its way to the disk line by line; nothing else is lost.

    Args:
        where: what hangs.
    """
    error = EngineError("hangs", where=where, mend="Its files and the journal say where.")
    print(f"omnilive: {error}", file=sys.stderr, flush=True)
    _exit(error.exit_code)


def _exit(code: int) -> NoReturn:
    sys.stdout.flush()
    logging.shutdown()
    os._exit(code)


def _count_end(session: LiveSession, metrics: Metrics) -> None:
    metrics.count_end(failed=session.error is not None)


async def _watch_own(sessions: Sessions, addresses: list[str]) -> None:
    """Keep a session of the service's own on its configured source; begin anew when it fails."""
    backoff, failures, rng = Backoff(), 0, random.Random()
    now_s = asyncio.get_running_loop().time
    while addresses:
        began_s = now_s()
        try:
            await _run_own(sessions, addresses)
        except (OmniLiveError, FullError) as error:
            log.error("the session of service.source cannot begin: %s", error)
        except Exception:  # a fault of the service: the source is watched all the same
            log.exception("the session of service.source failed")
        failures = 1 if now_s() - began_s >= HEALTHY_S else failures + 1
        await asyncio.sleep(backoff.wait_s(failures, rng))


async def _run_own(sessions: Sessions, addresses: list[str]) -> None:
    """Run one to its end; one that cannot pull does not stay."""
    session = await sessions.begin_own()
    try:
        session.pull(addresses)
    except BaseException:
        session.stop()
        raise
    await session.ended.wait()


async def _tidy() -> None:
    """Give freed memory back now and then: what sessions keep lies between what they let go of."""
    while True:
        await asyncio.sleep(TIDY_S)
        await asyncio.to_thread(give_back)


async def _watch_lanes(sessions: Sessions) -> None:
    """Ping the service manager's watchdog, where it has one, while every lane gets on."""
    within_s = watchdog_s()
    if within_s is not None:
        await keep_watch(within_s, lambda: lanes_of({s.names.id: s for s in sessions.all()}))


def stop_on_signals(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Set ``stop`` on the first SIGTERM or SIGINT; a second one ends the process at once."""
    numbers = (signal.SIGTERM, signal.SIGINT)

    def begin() -> None:
        stop.set()
        for number in numbers:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)

    for number in numbers:
        loop.add_signal_handler(number, begin)


def _open(config: RuntimeConfig) -> tuple[EnginePack, int]:
    """The pack, and how many sessions fit beside its weights."""
    if not config.service.pack:
        raise ConfigError(
            "is empty", where="service.pack", mend="Name an engine pack there or with --pack."
        )
    path = Path(config.service.pack)
    # Before the pack's files are hashed, or perhaps built again: either may take minutes.
    _capacity(read_manifest(path), config)
    pack = open_pack(
        path,
        allow_inaccurate=config.service.allow_inaccurate,
        config=config.engine,
        rebuild=config.rebuild,
    )
    return pack, _capacity(pack.manifest, config)  # one built again may need more


def _capacity(manifest: Manifest, config: RuntimeConfig) -> int:
    """How many sessions fit beside the weights. Raises FitError when not even one does."""
    verdict = judge(manifest, config)
    capacity = sessions_that_fit(verdict.plan, verdict.limits)
    if capacity < 1:
        raise FitError(
            shortage(verdict), where=f"engine pack {manifest.name}", mend=how_to_mend(verdict)
        )
    return capacity


def _tls(config: RuntimeConfig) -> ssl.SSLContext | None:
    """What HTTPS is spoken with; None for HTTP."""
    service = config.service
    if not service.tls_certificate:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(service.tls_certificate, service.tls_key)
    except (OSError, ssl.SSLError) as e:
        raise ConfigError(
            f"cannot be used ({e.strerror or e})",
            where=service.tls_certificate,
            mend="service.tls_certificate and tls_key are PEM files that belong together.",
        ) from e
    return context
