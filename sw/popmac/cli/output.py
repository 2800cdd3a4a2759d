"""What commands print."""

import json

from rich.console import Console
from rich.table import Table


__all__ = ["print_json", "print_table"]


def print_json(value):
    """Print plain values as one JSON document."""
    print(json.dumps(value, indent=2))


def print_table(title, columns, rows):
    """Print a table on standard output.

    Parameters
    ----------
    title : str
    columns : sequence of str
        Those that begin with ``>`` are aligned to the right.
    rows : iterable of sequences
        Numbers are printed with separators between thousands.
    """
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column.lstrip(">"), justify="right" if column[0] == ">" else "left",
                         overflow="fold")
    for row in rows:
        table.add_row(*(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row))
    console = Console()
    # Not a terminal: as wide as it needs to be.
    if not console.is_terminal:
        console = Console(width=160)
    console.print(table)
