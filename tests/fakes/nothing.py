"""A program that does nothing until it is killed, whatever its arguments."""

import signal

signal.pause()
