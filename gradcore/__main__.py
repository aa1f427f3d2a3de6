"""``python -m gradcore`` is the command line."""

from .cli.main import main

raise SystemExit(main())
