"""Images on this machine: names, configs, layers. Start reading at `store.py`."""
