"""Fast twins of the arithmetic: same signatures, same bits, chosen in `twins.py`."""
