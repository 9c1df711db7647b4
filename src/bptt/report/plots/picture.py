"""A picture as a file: its format by its name, the house's fonts and colours, whole or not at all.

Knows matplotlib and files; must not know what is drawn. matplotlib is imported when a picture is begun.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bptt.errors import InputError
from bptt.files import write_durably

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = (".svg", ".png")
# Fonts with Chinese characters, as they are called on the systems that bring them.
CHINESE = (
    *("Noto Sans CJK SC", "Noto Sans SC", "Noto Sans CJK JP", "Noto Sans CJK TC", "Source Han Sans SC", "Source Han Sans CN"),
    *("PingFang SC", "Hiragino Sans GB", "Heiti TC", "Microsoft YaHei", "SimHei", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei"),
    *("AR PL UMing CN", "Droid Sans Fallback", "Arial Unicode MS"),
)
INK, QUIET, LINE = "#1c2733", "#5b6672", "#c5ccd3"
STYLE = {
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": INK,
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": QUIET,
    "ytick.labelcolor": QUIET,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "hatch.linewidth": 0.4,
    "savefig.dpi": 200,
    "svg.hashsalt": "bptt",
}


def picture_path(name: str | os.PathLike[str], formats: Sequence[str] = FORMATS) -> Path:
    """The path of a picture; InputError if its name has no ending that can be drawn, or its folder does not exist."""
    path = Path(name)
    if path.suffix.lower() not in formats:
        kinds = " or ".join(one[1:].upper() for one in formats)
        todo = f"End it in {' or '.join(formats)}: {path.stem or 'map'}.svg"
        raise InputError(f"A picture is drawn as {kinds}, by the ending of its name", str(name), todo)
    if not path.parent.is_dir():
        raise InputError("The folder of the picture does not exist", str(path.parent), "Make it first, or give another place")
    if path.is_dir():
        raise InputError("The name of the picture is that of a folder", str(name), "Give another name")
    return path


@contextlib.contextmanager
def picture(
    name: str | os.PathLike[str],
    width: float,
    height: float,
    layout: Literal["constrained"] | None = "constrained",
    also: Sequence[str] = (),
) -> Iterator[Figure]:
    """A figure of width × height inches, written to `name` when the block ends well; layout None: you place the axes.

    also: further formats, written beside it.

        with picture("curve.svg", 6, 4) as figure:
            figure.add_subplot().plot([1, 2])

    A picture that is there already is replaced: it is derived, and can be drawn again.
    """
    import matplotlib.style
    from matplotlib.figure import Figure

    path = picture_path(name)
    with matplotlib.style.context(["default", {**STYLE, "font.family": families()}]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # it is drawn as a box
        figure = Figure(figsize=(width, height), layout=layout)
        yield figure
        for kind in (path.suffix, *also):
            write_durably(path.with_suffix(kind), drawn(figure, kind.lower()[1:]))


def families() -> list[str]:
    """The sans-serif font, and behind it whichever font with Chinese characters is installed."""
    from matplotlib import font_manager

    installed = {font.name for font in font_manager.fontManager.ttflist}
    return ["DejaVu Sans", *[name for name in CHINESE if name in installed][:1]]


def drawn(figure: Figure, kind: str) -> bytes:
    """The file's content: the same bytes for the same picture, and nothing in it that a viewer would fetch."""
    nothing: dict[str, Any] = dict.fromkeys(("Date", "Creator", "Format", "Type") if kind == "svg" else ("Software",))
    content = io.BytesIO()
    figure.savefig(content, format=kind, metadata=nothing)
    return re.sub(rb"<!DOCTYPE[^>]*>\s*", b"", content.getvalue()) if kind == "svg" else content.getvalue()
