"""Progress bars, where there is somebody to see them."""

import sys
from contextlib import contextmanager


__all__ = ["progress", "progress_bar"]


def progress(items, description):
    """Iterate over ``items``, with a progress bar on standard error if that is a terminal."""
    if not sys.stderr.isatty():
        return iter(items)
    from rich.console import Console
    from rich.progress import track
    return track(items, description=description, console=Console(stderr=True), transient=True)


@contextmanager
def progress_bar(total, description):
    """Function that says how many more of ``total`` steps are done, for a bar like that one."""
    if not sys.stderr.isatty():
        yield lambda steps: None
        return
    from rich.console import Console
    from rich.progress import Progress
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(description, total=total)
        yield lambda steps: bar.advance(task, steps)
