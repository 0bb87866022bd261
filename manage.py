#!/usr/bin/env python
"""Django's command line. Without DATABASE_URL it finds or starts the embedded PostgreSQL first."""

import os
import sys
from contextlib import redirect_stdout

# Commands and options that need no tables; `migrate` makes them itself.
TABLELESS = {"migrate", "help", "--help", "-h", "--version"}
# What works on a file alone, on a machine that has nothing else of ours.
OFFLINE = {"verify_statement", "upstream"}


def main() -> int:
    from config import embedded, env

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    try:
        if env.database_url() is None and not OFFLINE & set(sys.argv[1:2]):
            server = embedded.ensure_started(env.var_dir())
            if not TABLELESS & set(sys.argv):
                make_first_tables(server.dsn)
        from django.core.management import execute_from_command_line

        execute_from_command_line(sys.argv)
    except (embedded.EmbeddedError, env.SettingError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def make_first_tables(dsn: str) -> None:
    """Migrate an embedded database that is still empty. Later migrations are applied when somebody says so."""
    import psycopg

    with psycopg.connect(dsn, autocommit=True) as connection:
        query = "SELECT to_regclass('django_migrations') IS NULL"
        if not connection.execute(query).fetchone()[0]:
            return
        # Of commands that come at the same moment, one makes the tables and the others wait for it.
        connection.execute("SELECT pg_advisory_lock(hashtext('jeongsan first tables'))")
        if connection.execute(query).fetchone()[0]:
            import django
            from django.core.management import call_command

            django.setup()
            with redirect_stdout(sys.stderr):
                call_command("migrate", interactive=False, verbosity=0)


if __name__ == "__main__":
    sys.exit(main())
