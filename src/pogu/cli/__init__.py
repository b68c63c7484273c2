"""The command line: parses flags, speaks the Docker Engine API, prints. Start reading at `main.py`.

Its start-up is everyone's, so the common path imports no `re`, `json`, `socket`, `enum` or
`typing`: measured, these cost 4 to 10 ms each on top of the interpreter's 8.
"""
