"""Reports: one HTML file that holds everything it shows, so that it can be mailed, archived and opened without a network."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rlhf_games.core.errors import UserError
from rlhf_games.files import write_atomically

Clip: TypeAlias = tuple[str, NDArray[np.uint8], float]
"""Caption, frames ``[F, H, W, 3]`` uint8 (``[F, H, W]`` for grey), frames per second."""

_CLIP_WIDTH = 300  # CSS pixels that a clip is enlarged to, by a whole factor
_PAUSE = 0.8  # seconds that a clip stands still at its end, so that one sees where it begins again


@dataclass(frozen=True)
class Picture:
    """A figure of a report."""

    caption: str
    png: bytes
    dark_png: bytes | None = None
    """Shown instead where the reader's screen is dark."""

    @classmethod
    def drawn(cls, caption: str, draw: Callable[[Any], Any]) -> Picture:
        """Draws both versions: ``draw(theme)`` returns a matplotlib figure, as the functions of ``figures`` do."""
        from rlhf_games.experiment import figures

        return cls(caption, figures.png(draw(figures.LIGHT)), figures.png(draw(figures.DARK)))

    @classmethod
    def read(cls, path: str | Path, caption: str = "") -> Picture:
        """A PNG file.

        Raises:
          UserError: the file is missing or no PNG.
        """
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise UserError(f"figure {path} cannot be read: {error.strerror or error}") from error
        if not data.startswith(b"\x89PNG\r\n\x1a\n"):
            raise UserError(f"figure {path} is no PNG: save it with savefig('name.png')")
        return cls(caption, data)


@dataclass(frozen=True)
class Table:
    """A table of a report; numbers are set to the right and rounded to four digits."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[object]]
    folded: bool = False
    """Shown only when its caption is clicked."""


def write_report(
    path: str | Path,
    title: str,
    paragraphs: Sequence[str] = (),
    figures: Sequence[Picture | str | Path] = (),
    tables: Sequence[Table] = (),
    clips: Sequence[Clip] = (),
    *,
    subtitle: str = "",
) -> Path:
    """Writes a self-contained HTML file, whole or not at all.

    Args:
      path: of the HTML file; its folder must exist.
      title: the headline.
      paragraphs: plain text, shown above everything else.
      figures: pictures, or PNG files (the file's name is the caption).
      tables: tables, in order.
      clips: animations; they run at their own speed and are enlarged pixel by pixel.
      subtitle: one quiet line below the headline.

    Returns:
      The file's path.

    Raises:
      UserError: a figure is no PNG, a table's row has another length than its header, or the folder is missing.
      ValueError: a clip has no frames, or frames of another shape or type.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    final = Path(path)
    if not final.parent.is_dir():
        raise UserError(f"{final.parent} is no folder: make it first, or write the report elsewhere")
    environment = Environment(
        loader=PackageLoader("rlhf_games.experiment"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    text = environment.get_template("report.html.j2").render(
        title=title,
        subtitle=subtitle,
        paragraphs=paragraphs,
        figures=[_figure(figure) for figure in figures],
        tables=[_table(table) for table in tables],
        clips=[_clip(*clip) for clip in clips],
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )
    write_atomically(final, text)
    return final


def animation(frames: NDArray[np.uint8], fps: float) -> bytes:
    """An endless animated PNG of ``[F, H, W, 3]`` or ``[F, H, W]`` uint8 frames: true colours, exact timing, a short pause at the end.

    Raises:
      ValueError: there are no frames, or they have another shape or type, or ``fps`` is not positive.
    """
    from PIL import Image

    fits = frames.dtype == np.uint8 and (frames.ndim == 3 or (frames.ndim == 4 and frames.shape[-1] == 3))
    if not fits or not frames.size or not (fps > 0 and math.isfinite(fps)):
        raise ValueError(f"a clip needs uint8 frames [F, H, W, 3] and fps > 0, got {frames.dtype} {list(frames.shape)} at {fps} fps")
    images = [Image.fromarray(frame) for frame in frames]
    durations = [1000 / fps] * (len(images) - 1) + [1000 / fps + 1000 * _PAUSE]
    buffer = io.BytesIO()
    images[0].save(buffer, format="PNG", save_all=True, append_images=images[1:], duration=durations, loop=0, default_image=False)
    return buffer.getvalue()


def number(value: object) -> str:
    """A value as a table shows it: whole numbers with their thousands apart, others rounded to four digits, the rest as text."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.integer | np.floating):
        return "–" if value is None else str(value)
    if not math.isfinite(value):
        return str(float(value))
    if float(value).is_integer() and abs(float(value)) < 1e15:
        return f"{int(value):,}".replace(",", "\u202f").replace("-", "−")
    return f"{float(value):.4g}".replace("-", "−")


def _uri(data: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(data).decode()


def _figure(figure: Picture | str | Path) -> dict[str, Any]:
    picture = figure if isinstance(figure, Picture) else Picture.read(figure, Path(figure).stem.replace("_", " "))
    return {
        "caption": picture.caption,
        "light": _uri(picture.png),
        "dark": None if picture.dark_png is None else _uri(picture.dark_png),
        "width": int.from_bytes(picture.png[16:20], "big"),  # where every PNG has its size
        "height": int.from_bytes(picture.png[20:24], "big"),
    }


def _table(table: Table) -> dict[str, Any]:
    for row in table.rows:
        if len(row) != len(table.header):
            raise UserError(f"table {table.caption!r}: a row of {len(row)} cells below a header of {len(table.header)}: {list(row)}")
    rows = [[{"text": number(cell), "right": _is_number(cell)} for cell in row] for row in table.rows]
    columns = zip(*rows, strict=True) if rows else [()] * len(table.header)
    header = [{"text": name, "right": any(cell["right"] for cell in column)} for name, column in zip(table.header, columns, strict=True)]
    return {"caption": table.caption, "header": header, "rows": rows, "folded": table.folded}


def _is_number(cell: object) -> bool:
    return isinstance(cell, int | float | np.integer | np.floating) and not isinstance(cell, bool)


def _clip(caption: str, frames: NDArray[np.uint8], fps: float) -> dict[str, Any]:
    moving = animation(frames, fps)
    height, width = frames.shape[1:3]
    scale = max(1, round(_CLIP_WIDTH / width))
    return {
        "caption": caption,
        "moving": _uri(moving),
        "still": _uri(animation(frames[:1], fps)),
        "width": width * scale,
        "height": height * scale,
    }
