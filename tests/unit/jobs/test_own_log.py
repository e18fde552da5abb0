"""What is kept of a job's log."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from llmworkflow_jobs import own_log


def test_whole_lines_of_the_end_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "job-driver.log"
    path.write_text("".join(f"line {number}\n" for number in range(5000)))
    kept = own_log.tail(str(path))
    assert kept.endswith("line 4999\n")
    assert kept.startswith("line ")
    assert own_log.MAX_BYTES - 20 < len(kept) <= own_log.MAX_BYTES


def test_a_short_log_is_kept_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "job-driver.log"
    path.write_text("one\ntwo")
    assert own_log.tail(str(path)) == "one\ntwo"


def test_output_that_is_no_file_leaves_nothing() -> None:
    assert own_log.tail("/dev/null") == ""
    assert own_log.tail("/nowhere") == ""


def test_a_process_finds_its_own_output(tmp_path: Path) -> None:
    code = "from llmworkflow_jobs import own_log; print('printed'); print(own_log.tail() == 'printed\\n')"
    path = tmp_path / "job-driver.log"
    with path.open("w") as log:
        subprocess.run([sys.executable, "-c", code], stdout=log, check=True, timeout=50)
    assert path.read_text().splitlines() == ["printed", "True"]
