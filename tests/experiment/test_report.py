import base64
import io
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rlhf_games.cli.main import main
from rlhf_games.core.errors import UserError
from rlhf_games.experiment import figures, run_report
from rlhf_games.experiment.glossary import MEANINGS
from rlhf_games.experiment.metrics import MetricsWriter
from rlhf_games.experiment.report import Picture, Table, animation, number, write_report
from rlhf_games.experiment.run_report import write_run_report
from rlhf_games.experiment.rundir import RunDirectory

RED = np.array([255, 0, 0], np.uint8)


def picture(colour: str = "red") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 3), colour).save(buffer, "PNG")
    return buffer.getvalue()


def frames(n: int = 3) -> np.ndarray:
    found = np.zeros((n, 5, 7, 3), np.uint8)
    for i in range(n):
        found[i, 0, i] = RED
    return found


class Reader(HTMLParser):
    """Collects every address, and checks that elements are closed in order."""

    VOID = {"meta", "img", "source"}

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in ("src", "srcset", "href", "action", "data")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data.strip())


def read(path: Path) -> Reader:
    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    assert reader.open == []
    return reader


def test_a_report_holds_all_it_shows(tmp_path: Path) -> None:
    (tmp_path / "loss_curve.png").write_bytes(picture())
    path = write_report(
        tmp_path / "r.html",
        "A & B <c>",
        ["First.", "Second <script>alert(1)</script>"],
        [tmp_path / "loss_curve.png", Picture("both", picture("white"), picture("black"))],
        [Table("Scores", ("arm", "score"), [("x", 1234567), ("y", -0.123456)])],
        [("a clip", frames(), 15.0)],
        subtitle="quiet",
    )
    reader = read(path)
    assert len(reader.addresses) == 5  # two figures, one dark; a clip and its still
    images = [Image.open(io.BytesIO(base64.b64decode(address.removeprefix("data:image/png;base64,")))) for address in reader.addresses]
    assert [image.size for image in images] == [(7, 5), (7, 5), (4, 3), (4, 3), (4, 3)]
    for words in (
        "A & B <c>",
        "First.",
        "Second <script>alert(1)</script>",
        "loss curve",
        "both",
        "1\u202f234\u202f567",
        "−0.1235",
        "a clip",
        "quiet",
    ):
        assert words in reader.words
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"https?:|//[a-z]|url\(|@import|<script|<link", text)
    assert "default-src 'none'" in text
    assert "image-rendering: pixelated" in text
    assert "prefers-color-scheme: dark" in text
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["loss_curve.png", "r.html"]


def test_an_empty_report_is_a_report(tmp_path: Path) -> None:
    assert "Nothing" in read(write_report(tmp_path / "r.html", "Nothing")).words


def test_clips_keep_every_pixel_and_their_speed() -> None:
    shown = frames(4)
    image = Image.open(io.BytesIO(animation(shown, 25.0)))
    assert image.n_frames == 4
    assert image.info["loop"] == 0
    durations = []
    for i in range(4):
        image.seek(i)
        durations.append(image.info["duration"])
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), shown[i])
    assert durations == pytest.approx([40, 40, 40, 840])
    grey = Image.open(io.BytesIO(animation(shown[..., 0], 60.0)))
    np.testing.assert_array_equal(np.asarray(grey.convert("L")), shown[0, ..., 0])


def test_clips_are_enlarged_by_whole_factors(tmp_path: Path) -> None:
    text = write_report(tmp_path / "r.html", "t", clips=[("c", frames(), 15.0)]).read_text()
    assert 'width="301" height="215"' in text  # 43 × 7, 43 × 5
    wide = np.zeros((1, 20, 900, 3), np.uint8)
    assert 'width="900" height="20"' in write_report(tmp_path / "r.html", "t", clips=[("c", wide, 1.0)]).read_text()


@pytest.mark.parametrize("bad", [frames()[:0], frames().astype(np.float32), frames()[0, 0], frames()[..., :2]])
def test_what_is_no_clip_is_refused(bad: Any) -> None:
    with pytest.raises(ValueError, match="uint8 frames"):
        animation(bad, 15.0)
    with pytest.raises(ValueError, match="fps > 0"):
        animation(frames(), 0.0)


def test_mistakes_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("GIF89a")
    for kwargs, message in (
        ({"figures": [tmp_path / "a.png"]}, "no PNG"),
        ({"figures": [tmp_path / "b.png"]}, "cannot be read"),
        ({"tables": [Table("T", ("a", "b"), [(1,)])]}, "1 cells below a header of 2"),
    ):
        with pytest.raises(UserError, match=message):
            write_report(tmp_path / "r.html", "t", **kwargs)
    with pytest.raises(UserError, match="no folder"):
        write_report(tmp_path / "nowhere" / "r.html", "t")
    assert not (tmp_path / "r.html").exists()


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1234, "1\u202f234"), (2.0, "2"), (-5, "−5"), (0.000123456, "0.0001235"), (np.float32(0.5), "0.5"), (True, "True"), (None, "–"),
        (float("nan"), "nan"), ("-a", "-a"),
    ],
)  # fmt: skip
def test_numbers_as_people_read_them(value: object, shown: str) -> None:
    assert number(value) == shown


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    found = RunDirectory.create(
        tmp_path / "my-run", {"game": {"name": "minatar/breakout"}, "agent": {"rate": 0.5}, "seed": 9}, {"all": 4321}
    )
    with found.learning(), MetricsWriter(found) as writer:
        for i in range(3):
            model = {"reward_model/accuracy": 0.6 + i / 10, "reward_model/never": float("nan")} if i else {}
            writer.write(1000 * i, {"true_return": float(i), "answers": 10 * i, "novelty/bonus": 0.1, "entropy": 1.0, **model})
    return found


def test_the_report_of_a_run_shows_every_metric(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Any] = []
    (run.path / "summary.json").write_text('{"return": 1.25, "evaluated": {"episodes": 128}}')
    monkeypatch.setattr(figures, "png", lambda figure: drawn.append(figure) or picture())
    reader = read(write_run_report(run, clips=[("played", frames(), 15.0)]))
    words = " ".join(reader.words)
    assert "my-run" in reader.words
    assert {"return", "1.25", "evaluated.episodes", "128"} <= set(reader.words)
    assert "minatar/breakout  ·  seed 9  ·  2\u202f000 steps" in words
    assert (
        "The run finished; this report ends at step 2\u202f000. The true return went from 0 to 2; the highest was 2 at step 2\u202f000."
        in words
    )
    for name in (
        "true_return",
        "answers",
        "novelty/bonus",
        "entropy",
        "reward_model/accuracy",
        "reward_model/never",
        MEANINGS["reward_model/accuracy"],
        "agent.rate",
        "4321",
        "jax",
    ):
        assert name in reader.words
    titles = [axes.get_title(loc="left").strip() for figure in drawn[::2] for axes in figure.axes if axes.get_visible()]
    assert titles == ["mean of whole episodes", "accuracy", "answers", "entropy", "bonus"]


def test_a_run_without_metrics_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = RunDirectory.create(tmp_path / "run", {}, {})
    assert main(["report", str(run.path)]) == 2
    assert "no metrics yet" in capsys.readouterr().err
    assert main(["report", str(tmp_path)]) == 2
    assert "not the folder of a run" in capsys.readouterr().err


def test_the_command_writes_where_it_is_told(run: RunDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(run.path), "--output", str(tmp_path / "mine.html")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "mine.html")
    assert len(read(tmp_path / "mine.html").addresses) == 2 * 5


def test_a_broken_off_run_is_told_as_such(run: RunDirectory) -> None:
    run.set_status("running")
    assert run_report._story(run.status, [{"step": 5}]).startswith("The run broke off (its process is gone")


def test_the_command_is_listed_without_heavy_imports() -> None:
    code = "import sys\nimport rlhf_games.cli.report\nassert not {'matplotlib', 'jax', 'numpy', 'jinja2'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
