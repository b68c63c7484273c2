"""Dockerfiles: text → lines → typed instructions → stages; expansion; .dockerignore. Pure.

Start reading at `instructions.py` (what there is), then `parser.py` and `grammar.py` (how text
becomes it).
"""
