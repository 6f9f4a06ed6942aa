"""``omnilive run``: one media file through one engine pack."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from omnilive.cli.terminal import View, make_view
from omnilive.closing import Closers
from omnilive.config import load_config, without_reuse
from omnilive.engine.manifest_file import read_manifest
from omnilive.engine.pack import open_pack
from omnilive.errors import ConfigError
from omnilive.plan.verdict import FRAME_SIZE, refuse_over_budget
from omnilive.report.page import write_report
from omnilive.session.asking import Ask
from omnilive.session.session import RunOptions, Session
from omnilive.sources.media import open_media
from omnilive.sources.types import US_PER_SECOND


def parse_ask(text: str) -> Ask:
    """``TEXT@SECONDS`` as a question; the last ``@`` separates.

    Raises:
        ConfigError: no text, bytes that are no text, no time, or a negative one.
    """
    if any("\ud800" <= c <= "\udfff" for c in text):  # how Python passes on what is not UTF-8
        raise ConfigError(
            f"is {text!r}", where="--ask", mend="Write it in UTF-8; some of its bytes are not."
        )
    question, separator, seconds = text.rpartition("@")
    try:
        at_us = float(seconds) * US_PER_SECOND
    except ValueError:
        at_us = -1.0
    if not separator or not question.strip() or not 0 <= at_us < float("inf"):
        raise ConfigError(
            f"is {text!r}", where="--ask", mend="Write TEXT@SECONDS, as in 'What is this?@12.5'."
        )
    return Ask(question.strip(), round(at_us))


def run(
    source_path: str,
    *,
    pack_path: str,
    asks: Sequence[str],
    preset: str,
    config_file: str | None,
    realtime: bool,
    naive: bool,
    out: str,
    seed: int,
    allow_inaccurate: bool,
) -> int:
    """Run and report; the report is written also when the run fails halfway.

    A run that is refused changes nothing in ``out``. Of several errors the first is raised.

    Returns:
        0.

    Raises:
        OmniLiveError: what stopped the run.
    """
    questions = tuple(parse_ask(a) for a in asks)
    config = load_config(preset, Path(config_file) if config_file else None)
    if naive:
        config = without_reuse(config)
    folder = Path(out)
    with Closers() as closers:
        manifest = read_manifest(Path(pack_path))
        source = open_media(source_path, config.source)
        closers.add(source.close)
        shown = (source.info.width, source.info.height) if source.info.has_video else FRAME_SIZE
        # Before the pack's files are hashed, or perhaps built again: either may take minutes.
        refuse_over_budget(manifest, config, frame_size=shown)
        pack = open_pack(
            Path(pack_path),
            config=config.engine,
            allow_inaccurate=allow_inaccurate,
            rebuild=config.rebuild,
        )
        closers.add(pack.close)
        if realtime:
            pack.warm_up()
        options = RunOptions(preset=preset, realtime=realtime, seed=seed)
        view = make_view(Console(), pack.manifest, source.info)
        session = Session(pack, config, options, folder, (view.on_event,))
        closers.enter(view)
        closers.add(lambda: _report(session, folder, view))
        closers.add(session.close)
        session.run(source, questions)
    return 0


def _report(session: Session, folder: Path, view: View) -> None:
    if session.has_begun:
        view.on_report(write_report(folder))
