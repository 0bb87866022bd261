#!/usr/bin/env python
"""Django's command line. Without DATABASE_URL it finds or starts the embedded PostgreSQL first."""

import os
import sys


def main() -> int:
    from config import embedded, env

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    try:
        if env.database_url() is None:
            embedded.ensure_started(env.var_dir())
        from django.core.management import execute_from_command_line

        execute_from_command_line(sys.argv)
    except (embedded.EmbeddedError, env.SettingError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
