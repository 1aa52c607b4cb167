import io
import math
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from rlhf_games.core.errors import UserError
from rlhf_games.experiment import figures

STEPS = np.arange(0, 100, 10)


def words(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def test_the_mean_covers_the_steps_that_all_runs_have() -> None:
    short = (STEPS[:6], np.full(6, 2.0))
    gap = (STEPS, np.where(STEPS == 30, np.nan, 4.0))
    figure = figures.learning_curves({"arm": [short, gap]}, title="said")
    thin, other, mean = figure.axes[0].get_lines()
    assert len(thin.get_xdata()) == 6
    assert len(other.get_xdata()) == 9
    np.testing.assert_array_equal(mean.get_xdata(), STEPS[:6])
    np.testing.assert_array_equal(mean.get_ydata(), 3.0)


def test_labels_never_overlap() -> None:
    arms = {f"arm {i}": [(STEPS, STEPS * 0.0 + i / 100)] for i in range(5)}
    figure = figures.learning_curves({**arms, "high": [(STEPS, STEPS * 1.0)]}, references={"random": 0.0})
    figure.canvas.draw()
    boxes = sorted((text.get_window_extent() for text in figure.axes[0].texts), key=lambda box: box.y0)
    assert len(boxes) == 7
    assert all(below.y1 <= above.y0 + 1 for below, above in pairwise(boxes))
    assert all(box.x1 <= figure.bbox.x1 for box in boxes)


def test_a_band_is_drawn_for_several_runs_only() -> None:
    runs = [(STEPS, STEPS + i * 5.0) for i in range(3)]
    figure = figures.learning_curves({"many": runs, "one": runs[:1]}, show="band")
    assert len(figure.axes[0].collections) == 1
    assert len(figure.axes[0].get_lines()) == 2


@pytest.mark.parametrize(
    ("curves", "message"),
    [([], "no runs"), ([(STEPS, STEPS * math.nan)], "finite"), ([([0, 1], [0, 1]), ([5, 6], [0, 1])], "in common")],
)
def test_arms_that_cannot_be_drawn_are_named(curves: list[figures.Curve], message: str) -> None:
    with pytest.raises(UserError, match=message):
        figures.learning_curves({"poor": curves})


def test_every_run_is_shown_beside_its_interval() -> None:
    games = {"a": {"x": [0.1, 0.2, 0.9], "y": [1.0]}, "b": {"y": [0.4, 0.5]}}
    axes = figures.ratio_plot(games).axes[0]
    assert [len(dots.get_offsets()) for dots in axes.collections] == [3, 1, 2]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]
    assert words(axes.figure) == ["random", "true reward", "x", "y"]


def test_calibration_by_hand() -> None:
    centre, rate, count, error = figures.calibration([0.1, 0.3, 0.9, 1.0], [0, 1, 1, 1], bins=2)
    np.testing.assert_allclose(centre, [0.2, 0.95])
    np.testing.assert_allclose(rate, [0.5, 1.0])
    np.testing.assert_allclose(count, [2, 2])
    assert error == pytest.approx((0.3 + 0.05) / 2)
    assert "off by 17.5% on average, 4 answers" in words(figures.calibration_plot({"m": ([0.1, 0.3, 0.9, 1.0], [0, 1, 1, 1])}, bins=2))[-1]


@pytest.mark.parametrize("pair", [([], []), ([0.5], [0.5, 1]), ([1.5], [1]), ([math.nan], [1])])
def test_what_is_no_probability_is_refused(pair: tuple[list[float], list[float]]) -> None:
    with pytest.raises(UserError, match="between 0 and 1"):
        figures.calibration(*pair)


def test_the_shade_ends_at_the_best_control() -> None:
    scores = {"true": [9.0, 11.0], "constant": [3.0, 5.0], "labels": [1.0]}
    axes = figures.leak_audit_plot(scores, {"constant", "labels"}).axes[0]
    (shade,) = axes.patches
    assert shade.get_x() + shade.get_width() == pytest.approx(4.0)
    with pytest.raises(UserError, match="constant-reward"):
        figures.leak_audit_plot({"true": [1.0]}, {"constant"})


def test_panels_show_each_measure_with_its_last_value() -> None:
    figure = figures.panels({"a": (STEPS, STEPS * 1.0), "b": ([0, 5], [np.nan, -3.0]), "c": ([1], [2])})
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [(axes.get_title(loc="left").strip(), axes.texts[0].get_text()) for axes in shown] == [("a", "90"), ("b", "−3"), ("c", "2")]
    with pytest.raises(UserError, match="nothing to draw"):
        figures.panels({})


def luminance(colour: str) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


@pytest.mark.parametrize("theme", [figures.LIGHT, figures.DARK])
def test_words_are_readable_on_their_paper(theme: figures.Theme) -> None:
    """WCAG: a contrast of at least 4.5 to 1."""
    for colour in (theme.ink, theme.muted, *theme.arms):
        light, dark = sorted((luminance(colour), luminance(theme.paper)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, colour


def test_pictures_are_repeatable_and_of_the_theme() -> None:
    first, second = (figures.png(figures.learning_curves({"a": [(STEPS, STEPS)]}, theme=figures.DARK)) for _ in range(2))
    assert first == second
    image = Image.open(io.BytesIO(first)).convert("RGB")
    assert image.size == (1440, 810)
    assert image.getpixel((2, 2)) == (0x16, 0x19, 0x1F)


def test_pyplot_stays_out() -> None:
    code = (
        "import sys\nfrom rlhf_games.experiment import figures\nassert 'matplotlib.pyplot' not in sys.modules and 'jax' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
