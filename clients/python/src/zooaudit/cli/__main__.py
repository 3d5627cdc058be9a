"""``python -m zooaudit.cli``."""

import sys

from zooaudit.cli import main

sys.exit(main())
