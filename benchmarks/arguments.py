"""Numbers on the commands' lines. It checks a range and never prints."""

from __future__ import annotations

import argparse


def positive(text: str) -> int:
    """A whole number from 1 on; raises argparse.ArgumentTypeError for a smaller one."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("use 1 or more")
    return number


def not_negative(text: str) -> int:
    """A whole number from 0 on; raises argparse.ArgumentTypeError for a smaller one."""
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError("use 0 or more")
    return number
