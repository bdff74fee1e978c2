"""Groups of commands that suggest the nearest name for one that does not exist."""

from __future__ import annotations

import click

from triggerkit.errors import nearest


class SuggestingGroup(click.Group):
    """A group that answers a mistyped command with the one that was probably meant."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """See click. Raises click.UsageError: no such command; says the nearest one."""
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            ctx.fail(f"No such command {name!r}: {nearest(name, self.list_commands(ctx))}")
        return super().resolve_command(ctx, args)
