"""The progress display: which pages run, which are done, how long is left."""

from press.execute import Run
from press.schedule import Display


def test_the_display_says_what_runs_what_failed_and_how_long_is_left(capsys):
    display = Display({"lab/a": 1000.0, "lab/b": 500.0, "lab/c": 200.0}, slots=2)
    display.started("lab/a")
    display.started("lab/b")
    assert 950 < display.left_s() <= 1000  # the longest page decides
    display.finished(Run("lab/a", "", "", 90, 80, 300, "cpu"))
    assert 450 < display.left_s() <= 500
    display.finished(Run("lab/b", "lab/b: cell 3 raised ValueError: no", "", 5, 4, 300, "cpu"))
    said = capsys.readouterr().err
    assert "[1/3] lab/a: ok, 90 s, 300 MB" in said
    assert "running: lab/b (0 of ~500 s); 2 left" in said
    assert "[2/3] lab/b: FAILED: lab/b: cell 3 raised ValueError: no" in said
    assert "1 left, about 200 s" in said


def test_many_waiting_pages_share_the_workers():
    display = Display({f"lab/p{i}": 60.0 for i in range(10)}, slots=2)
    assert display.left_s() == 300
