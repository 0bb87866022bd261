"""manage.py export_ledger: a month's journal as CSV for an accountant."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from accounts.errors import InvalidInput
from accounts.management.commanding import JsonCommand
from billing.selectors.journal import journal_csv, journal_rows
from usage.periods import BillingMonth


class Command(JsonCommand):
    help = (
        "Write a month's ledger as CSV: 일자, 계정, 차변, 대변, 적요; UTF-8 with BOM, as Excel opens it. Won only; "
        "without --output the file goes to standard output."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("month", help="YYYY-MM")
        parser.add_argument("--output", metavar="FILE", help="write the CSV there and print its sums")

    def run(self, month: str, output: str | None, **_: Any) -> dict[str, Any]:
        try:
            period = BillingMonth.parse(month)
        except ValueError as error:
            raise InvalidInput(str(error), field="month") from None
        content = journal_csv(period)
        if output:
            try:
                Path(output).write_bytes(content.encode())
            except OSError as error:
                raise InvalidInput(f"{output}: {error.strerror}", field="output") from None
        rows = list(journal_rows(period))
        return {
            "month": str(period),
            "entries": len(rows),
            "debit_krw": sum(row.debit_krw for row in rows),
            "credit_krw": sum(row.credit_krw for row in rows),
            "output": output,
            **({} if output else {"csv": content}),
        }

    def show(self, answer: dict[str, Any]) -> None:
        if answer["output"] is None:
            self.stdout.write(answer["csv"], ending="")
            return
        self.stdout.write(
            f"{answer['month']}: {answer['entries']:,} entries, 차변 {answer['debit_krw']:,}, "
            f"대변 {answer['credit_krw']:,} -> {answer['output']}"
        )
