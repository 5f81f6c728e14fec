"""Commands whose `--help` shows their options under headings."""

from __future__ import annotations

import click

from sovits_exporter.cli.options import Command, Declaration

OTHER = "Other options"


def section(title: str, *declarations: Declaration) -> Declaration:
    """Declares options that stand under a heading of their own, in this order."""

    def declare(command: Command) -> Command:
        for declaration in reversed(declarations):
            command = declaration(command)
            vars(vars(command)["__click_params__"][-1])["section"] = title
        return command

    return declare


class SectionedCommand(click.Command):
    """Writes the options of each `section` under its heading, and the others last."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes all options."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and not isinstance(parameter, click.Argument):
                sections.setdefault(getattr(parameter, "section", OTHER), []).append(record)
        others = sections.pop(OTHER, [])
        for title, records in [*sections.items(), (OTHER, others)]:
            with formatter.section(title):
                formatter.write_dl(records)
