"""`python -m engine.cli` is `circuit-explorer`."""

import sys

from engine.cli import main

sys.exit(main())
