"""manage.py verify_statement: whether a statement is whole and is the one that an invoice printed. Needs no database."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from accounts.errors import InvalidInput
from accounts.management.commanding import JsonCommand
from billing.statements import StatementError, read_statement
from catalog.money import decimal_text


class Command(JsonCommand):
    """Exit code 0: whole, and the digest is the given one. 1: it is not. 2: the file could not be opened."""

    help = (
        "Check the file of an invoice's usage (statement) offline: every event is there, nothing was changed, and the "
        "digest is the one that the invoice prints."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("file", metavar="FILE", help="the statement, as the dashboard or the API hands it out")
        parser.add_argument("--digest", metavar="HEX", help="the digest printed on the invoice, spaces allowed")

    def run(self, file: str, digest: str | None, **_: Any) -> dict[str, Any]:
        try:
            with open(file, "rb") as lines:
                statement = read_statement(lines)
        except StatementError as error:
            return {"valid": False, "reason": str(error)}
        except OSError as error:
            raise InvalidInput(f"file: {file}: {error.strerror}", field="file") from None
        answer: dict[str, Any] = {
            "valid": True,
            "customer": statement.head.customer,
            "month": statement.head.month,
            "events": statement.head.events,
            "cost_usd": decimal_text(statement.head.cost_usd),
            "digest": statement.digest,
            "models": {model: decimal_text(cost) for model, cost in sorted(statement.cost_usd_by_model.items())},
        }
        if statement.head.sold_usd is not None:
            sold = {model: decimal_text(usd) for model, usd in sorted(statement.sold_usd_by_model.items())}
            answer |= {"sold_usd": decimal_text(statement.head.sold_usd), "models_sold": sold}
        if digest is not None and "".join(digest.split()).lower() != statement.digest:
            answer |= {"valid": False, "reason": "the file is whole, but it is not the one whose digest was given"}
        return answer

    def show(self, answer: dict[str, Any]) -> None:
        if "events" in answer:
            self.stdout.write(f"{answer['customer']}  {answer['month']}  {answer['events']:,} events")
            sold = answer.get("models_sold", {})
            for model, cost in answer["models"].items():
                self.stdout.write(f"  {model:<50} USD {cost}" + (f", sold on {sold[model]}" if sold else ""))
            self.stdout.write(f"  total USD {answer['cost_usd']}\n  digest {answer['digest']}")
        self.stdout.write("valid" if answer["valid"] else f"NOT VALID: {answer['reason']}")

    def exit_code(self, answer: dict[str, Any]) -> int:
        return 0 if answer["valid"] else 1
