"""`python -m quire_client` is `quire`."""

import sys

from quire_client.cli.main import main

sys.exit(main())
