"""manage.py check_books: whether everything that must always hold holds."""

from __future__ import annotations

from typing import Any

from accounts.management.commanding import JsonCommand
from billing.audit import check_books

SHOWN_VIOLATIONS = 20


class Command(JsonCommand):
    help = "Check the books against the invariants of the design, on the data as it is. Exit 1 on any violation."

    def run(self, **_: Any) -> dict[str, Any]:
        results = check_books()
        return {
            "ok": not any(result.violations for result in results),
            "checks": [
                {
                    "name": result.name,
                    "checked": result.checked,
                    "violations": result.count,
                    "examples": list(result.violations[:SHOWN_VIOLATIONS]),
                }
                for result in results
            ],
        }

    def exit_code(self, answer: dict[str, Any]) -> int:
        return 0 if answer["ok"] else 1

    def show(self, answer: dict[str, Any]) -> None:
        for check in answer["checks"]:
            style = self.style.ERROR if check["violations"] else self.style.SUCCESS
            self.stdout.write(style(f"{check['violations']:>7,} of {check['checked']:>12,}  {check['name']}"))
            for example in check["examples"]:
                self.stdout.write(f"{'':>10}{example}")
            if check["violations"] > len(check["examples"]):
                self.stdout.write(f"{'':>10}and {check['violations'] - len(check['examples']):,} more")
        self.stdout.write("The books hold." if answer["ok"] else self.style.ERROR("The books do not hold."))
