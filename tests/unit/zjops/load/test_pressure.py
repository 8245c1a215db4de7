"""What the kernel says of waits for the disk, read from files as it writes them."""

from __future__ import annotations

from pathlib import Path

from zjops.load.pressure import DiskWatch, Stalls


def _write(path: Path, full_us: int) -> None:
    path.write_text(
        f"some avg10=3.81 avg60=2.02 avg300=1.33 total={full_us + 5_000_000}\n"
        f"full avg10=1.93 avg60=1.71 avg300=0.63 total={full_us}\n"
    )


def test_stalls_are_summed_from_the_beginning_and_the_longest_is_kept(tmp_path: Path) -> None:
    source = tmp_path / "io"
    _write(source, 1_000_000)
    watch = DiskWatch(source)
    for total in (1_000_000, 1_450_000, 1_500_000):
        _write(source, total)
        watch.look()
    assert watch.stalls() == Stalls(0.5, 0.45)


def test_where_the_system_does_not_tell_nothing_is_said(tmp_path: Path) -> None:
    watch = DiskWatch(tmp_path / "none")
    watch.look()
    assert watch.stalls() is None
    other = tmp_path / "other"
    other.write_text("some avg10=0.00 total=1\n")
    assert DiskWatch(other).stalls() is None
