"""Edge: what a build looks like: plain lines (coloured in a terminal), JSON, or the ID alone.

[2/5] RUN npm install
  added 64 packages
  done in 2.1 s
"""

from __future__ import annotations

from pogu.cli.context import show_error, write
from pogu.cli.failure import CliError
from pogu.cli.http import Reply
from pogu.cli.progress import status_text
from pogu.cli.wire import encode

__all__ = ["JsonView", "PlainView", "QuietView", "View"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pogu.cli.bars import Bars

Json = dict[str, object]


class View:
    """Reads the lines of a build; subclasses print them."""

    def __init__(self) -> None:
        self.image_id = ""

    def show(self, reply: Reply) -> int:
        """Print everything and return the exit code."""
        for line in reply.objects():
            if "error" in line:
                self.failed(_error(line))
                return 1
            fields = line.get("pogu")
            if isinstance(fields, dict):
                if fields.get("event") == "built":
                    self.image_id = str(fields["image_id"])
                self.event(fields, line)
            else:
                self.other(line)
        if not self.image_id:
            self.failed(CliError("the build ended without an image"))
            return 1
        self.finished()
        return 0

    def event(self, fields: Json, line: Json) -> None:
        """One event of the build."""

    def other(self, line: Json) -> None:
        """A line without our fields."""

    def failed(self, error: CliError) -> None:
        """The build failed."""
        show_error(error)

    def finished(self) -> None:
        """The image is there."""


def _error(line: Json) -> CliError:
    fields = line.get("pogu")
    if isinstance(fields, dict):
        return CliError(f"ERROR: {fields.get('message')}", hint=str(fields.get("hint") or ""))
    return CliError(f"ERROR: {line['error']}")


class QuietView(View):
    """`-q`: the ID on standard output."""

    def other(self, line: Json) -> None:
        text = str(line.get("stream", "")).strip()
        if text.startswith("sha256:"):
            self.image_id = text

    def event(self, fields: Json, line: Json) -> None:
        self.other(line)

    def finished(self) -> None:
        write(1, f"{self.image_id}\n")


class JsonView(View):
    """One JSON object a line, on standard output."""

    def event(self, fields: Json, line: Json) -> None:
        shown = dict(fields)
        if fields.get("event") == "output":
            shown["text"] = line.get("stream")
        write(1, encode(shown) + "\n")

    def failed(self, error: CliError) -> None:
        shown = {"event": "failed", "message": error.message, "hint": error.hint}
        write(1, encode(shown) + "\n")
        show_error(error)


class PlainView(View):
    """Lines on standard error; output of steps that run at once is told apart by their number."""

    def __init__(self, *, colour: bool) -> None:
        super().__init__()
        self._colour = colour
        self._titles: dict[object, str] = {}
        self._cached: set[object] = set()
        self._last: object = None
        self._middle = False
        self._bars: Bars | None = None

    def _paint(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour else text

    def event(self, fields: Json, line: Json) -> None:
        step = fields.get("step")
        match fields.get("event"):
            case "started":
                self._started(step, fields)
            case "cached":
                self._cached.add(step)
                self._say(f"{self._titles[step]} {self._paint('36', 'CACHED')}\n")
                self._last = step
            case "output":
                self._output(step, str(line.get("stream", "")))
            case "done":
                self._done(step, fields)
            case "warning":
                self._say(self._paint("33", f"WARNING: {fields.get('text')}") + "\n")
            case "built":
                self._say(f"built {fields['image_id']}\n")
            case "tagged":
                self._say(f"tagged {fields.get('text')}\n")

    def _started(self, step: object, fields: Json) -> None:
        text = " ".join(str(fields["text"]).split())
        title = self._paint("1", f"[{step}/{fields['total']}]") + f" {text}"
        self._titles[step] = title
        reason = fields.get("miss_reason")
        if reason:
            self._say(f"{title}\n  {self._paint('33', f'not cached: {reason}')}\n")
            self._last = step

    def _output(self, step: object, text: str) -> None:
        if self._last != step:
            self._say(f"{self._titles.get(step, '')}\n")
            self._last = step
        indented = text.replace("\n", "\n  ")
        if indented.endswith("\n  "):
            indented = indented[:-2]
        self._erase_bars()
        write(2, ("" if self._middle else "  ") + indented)
        self._middle = not text.endswith("\n")

    def _done(self, step: object, fields: Json) -> None:
        if step in self._cached:
            return
        seconds = float(str(fields.get("duration_s", 0)))
        if self._last != step:
            self._say(f"{self._titles.get(step, '')}\n")
            self._last = step
        if seconds >= 0.1:
            self._say("  " + self._paint("2", f"done in {seconds:.1f} s") + "\n")

    def _say(self, text: str) -> None:
        self._erase_bars()
        if self._middle:
            write(2, "\n")
            self._middle = False
        write(2, text)

    def _erase_bars(self) -> None:
        if self._bars is not None:
            self._bars.erase()

    def failed(self, error: CliError) -> None:
        self._erase_bars()
        if self._middle:
            write(2, "\n")
        show_error(error)

    def other(self, line: Json) -> None:
        """The pull of a base image."""
        if self._colour and "status" in line and not self._middle:
            if self._bars is None:
                from pogu.cli.bars import Bars

                self._bars = Bars(2, indent="  ")
            self._bars.line(line)
        elif line.get("status") and not line.get("progressDetail"):
            self._say(f"  {status_text(line)}\n")

    def finished(self) -> None:
        self._erase_bars()
