"""`python -m bench.recon`."""

import sys

from bench.recon.main import main

if __name__ == "__main__":
    sys.exit(main())
