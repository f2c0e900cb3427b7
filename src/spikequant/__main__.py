"""``python -m spikequant``: the same as the command ``spikequant``."""

from spikequant.views.main import main

if __name__ == "__main__":
    main()
