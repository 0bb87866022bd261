"""`python -m tests.bench [NAME ...]`: run the benchmarks, print their tables, write var/bench/<name>.json."""

from __future__ import annotations

import argparse
from importlib import import_module

from tests.bench.database import bench_database
from tests.bench.report import table, write_report

#: Each is a module here with `measure() -> Measured`, run in a database of its own.
BENCHMARKS = ("ingest", "close", "growth", "gateway", "memory")


def main() -> None:
    """Run what the command line names, or everything."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(BENCHMARKS)}; all if none")
    names = parser.parse_args().names
    for name in names:
        if name not in BENCHMARKS:
            parser.error(f"there is no benchmark {name!r}; there are: {', '.join(BENCHMARKS)}")
    for name in names or BENCHMARKS:
        with bench_database():
            # After the database: the module imports models.
            measured = import_module(f"tests.bench.{name}").measure()
            path = write_report(measured, server_version=_server_version())
        print(table(measured))
        print(f"  written to {path}")


def _server_version() -> str:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version")
        version: str = cursor.fetchone()[0]
    connection.close()
    return version


if __name__ == "__main__":
    main()
