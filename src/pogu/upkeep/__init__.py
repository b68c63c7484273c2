"""What spans several nouns: pruning, disk usage, the check. Start reading at `prune.py`."""
