"""What all our commands share: `--json` with exactly one object on standard output, and refusals as exit code 2."""

from __future__ import annotations

import json
import sys
from abc import abstractmethod
from argparse import ArgumentParser
from typing import Any

import psycopg
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError, ProgrammingError

from accounts.errors import DatabaseNotMigrated, DatabaseUnavailable, DomainError, InvalidInput


class JsonCommand(BaseCommand):
    """A command whose `run` returns a JSON-ready dict and whose `show` prints it for a person.

    With `--json` standard output carries one JSON object and nothing else; progress goes to standard error. A refusal
    (`DomainError`) prints `{"error": {...}}` or one sentence, and exits with 2; so does a database that is away or has
    not all tables.
    """

    requires_system_checks: list[str] = []

    def run_from_argv(self, argv: list[str]) -> None:
        """With `--json` wrong arguments are an error object as well, not only usage on standard error."""
        if "--json" in argv[2:]:
            try:
                self.create_parser(argv[0], argv[1]).parse_args(argv[2:])
            except CommandError as error:
                message = str(error).removeprefix("Error: ")
                self.stdout.write(json.dumps({"error": {"code": "invalid_arguments", "message": message}}))
                sys.exit(2)
        super().run_from_argv(argv)

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--json", action="store_true", dest="as_json", help="print one JSON object on standard output"
        )

    @abstractmethod
    def run(self, *args: Any, **options: Any) -> dict[str, Any]:
        """Do the work and return the answer; whole won are ints, USD amounts decimal strings."""

    @abstractmethod
    def show(self, answer: dict[str, Any]) -> None:
        """Print the answer for a person."""

    def exit_code(self, answer: dict[str, Any]) -> int:
        """0 unless the answer itself is bad news."""
        return 0

    def progress(self, text: str) -> None:
        """One line on standard error, where it disturbs no JSON."""
        self.stderr.write(text, self.style.HTTP_INFO)

    def handle(self, *args: Any, as_json: bool, **options: Any) -> None:
        try:
            answer = self._run(options)
        except DomainError as error:
            if as_json:
                self.stdout.write(json.dumps({"error": error.as_dict()}, ensure_ascii=False))
            else:
                where = f"{error.field}: " if error.field and error.field not in error.message else ""
                self.stderr.write(f"{error.code}: {where}{error.message}")
            sys.exit(2)
        if as_json:
            self.stdout.write(json.dumps(answer, ensure_ascii=False))
        else:
            self.show(answer)
        code = self.exit_code(answer)
        if code:
            sys.exit(code)

    def _run(self, options: dict[str, Any]) -> dict[str, Any]:
        """`run`, where what only the operator can repair becomes a refusal that tells how."""
        try:
            return self.run(**options)
        except UnicodeEncodeError as error:
            # Bytes of the command line that are no UTF-8, of a terminal in CP949, arrive as half surrogate pairs.
            if error.reason == "surrogates not allowed":
                raise InvalidInput("what was typed is not UTF-8 text: the terminal sends another encoding") from error
            raise
        except ProgrammingError as error:
            if isinstance(error.__cause__, psycopg.errors.UndefinedTable | psycopg.errors.UndefinedColumn):
                raise DatabaseNotMigrated("the database lacks tables or columns: run manage.py migrate") from error
            raise
        except OperationalError as error:
            # Without an SQLSTATE no server has answered; classes 53 and 57: it has no room, memory or connection left, or
            # is being shut down. Further lines of these texts only repeat or advise.
            if isinstance(error.__cause__, psycopg.Error) and (error.__cause__.sqlstate or "53")[:2] in {"53", "57"}:
                raise DatabaseUnavailable(f"the database cannot be used: {str(error).splitlines()[0]}") from error
            raise
