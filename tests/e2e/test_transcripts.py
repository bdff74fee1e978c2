"""The transcripts of the pages are played again in a terminal and compared, line by line.

Where they differ run `python tests/architecture/transcripts.py`, and read what it wrote.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from architecture.transcripts import PAGES, SCENES, Seat, alike, fenced, transcript_in

PAGE_OF = {name: page for page, names in PAGES.items() for name in names}


@pytest.mark.parametrize("scene", SCENES, ids=[scene.__name__ for scene in SCENES])
def test_the_pages_show_what_a_terminal_shows(
    scene: Callable[[Seat], dict[str, str]], tmp_path: Path
) -> None:
    for name, shown in scene(Seat(tmp_path)).items():
        assert alike(fenced(shown)) == alike(transcript_in(PAGE_OF[name], name)), name
