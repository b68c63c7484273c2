"""The Docker Engine API: translates, never decides. Start reading at `app.py`."""
