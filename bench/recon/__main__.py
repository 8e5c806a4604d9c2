"""The command `python -m bench.recon`; see bench.recon.main."""

import sys

from bench.recon.main import main

if __name__ == "__main__":
    sys.exit(main())
