"""Progress bars, where there is somebody to see them."""

import sys


__all__ = ["progress"]


def progress(items, description):
    """Iterate over ``items``, with a progress bar on standard error if that is a terminal."""
    if not sys.stderr.isatty():
        return iter(items)
    from rich.console import Console
    from rich.progress import track
    return track(items, description=description, console=Console(stderr=True), transient=True)
