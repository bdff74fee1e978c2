"""The picture of a consumer's phases, drawn from the table that the code runs on.

Run this file to write it: `python tests/architecture/picture.py`.
"""

from __future__ import annotations

from pathlib import Path

from triggerkit.core.phases import TRANSITIONS

PAGE = Path(__file__).resolve().parents[2] / "triggerkit" / "ARCHITECTURE.md"
BEGIN, END = "<!-- phases -->", "<!-- /phases -->"


def phases_picture() -> str:
    """One line a transition, in the order of the table, fenced as it stands in ARCHITECTURE.md."""
    phase_width = max(len(phase.value) for phase, _ in TRANSITIONS)
    step_width = max(len(step.value) for _, step in TRANSITIONS)
    lines = [
        f"{phase.value:<{phase_width}}  --{f' {step.value} ':-<{step_width + 2}}-->  {target.value}"
        for (phase, step), target in TRANSITIONS.items()
    ]
    return "\n".join(["```text", *lines, "```"])


def with_picture(text: str) -> str:
    """`text` with what stands between the markers drawn anew."""
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}\n{phases_picture()}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(with_picture(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
