"""Two ways to show lines, a sheet that scrolls and a table in which a row is chosen; and a field to type into."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input

from zjops.domain.text import one_line
from zjops.tui.figures import cell
from zjops.tui.ink import BOLD, CHOSEN, DIM, WARN, Line, Span, content

MOVES: list[BindingType] = [
    Binding("j,down", "move(1)", "down", show=False),
    Binding("k,up", "move(-1)", "up", show=False),
    Binding("g,home", "first", "first", show=False),
    Binding("G,end", "last", "last", show=False),
    Binding("pagedown,ctrl+f,ctrl+d", "page(1)", "page down", show=False),
    Binding("pageup,ctrl+b,ctrl+u", "page(-1)", "page up", show=False),
]


class Field(Input):
    """A line that is typed or pasted; what a terminal would obey is spelled out as soon as it comes."""

    def validate_value(self, value: str) -> str:
        """The text that it holds from then on."""
        return one_line(value)


class Sheet(Widget, can_focus=True):
    """Lines, of which as many are shown as fit."""

    BINDINGS: ClassVar[list[BindingType]] = MOVES

    def __init__(self, **options: str) -> None:
        super().__init__(**options)  # type: ignore[arg-type]
        self.lines: list[Line] = []
        self.top = 0

    def put(self, lines: list[Line]) -> None:
        """Show these from now on."""
        self.lines = lines
        self._scroll(self.top)

    def render(self) -> Content:
        shown = self.lines[self.top : self.top + max(1, self.size.height)]
        more = len(self.lines) - self.top - len(shown)
        if more > 0 and len(shown) > 1:
            shown = [*shown[:-1], [(f"↓ {more + 1} more lines", DIM)]]
        return content(shown)

    def _scroll(self, top: int) -> None:
        self.top = max(0, min(top, len(self.lines) - self.size.height))
        self.refresh()

    def action_move(self, by: int) -> None:
        """Scroll by lines."""
        self._scroll(self.top + by)

    def action_page(self, by: int) -> None:
        """Scroll by screens."""
        self._scroll(self.top + by * max(1, self.size.height - 1))

    def action_first(self) -> None:
        """To the beginning."""
        self._scroll(0)

    def action_last(self) -> None:
        """To the end."""
        self._scroll(len(self.lines))


class Column(NamedTuple):
    """A column: as wide as said, or what is left when it is `flex`; `least` is the screen's width that it needs."""

    title: str
    width: int
    right: bool = False
    flex: bool = False
    least: int = 0


class Row(NamedTuple):
    """A row: its key, and a cell for every column, shown or not."""

    key: str
    cells: Sequence[Span]
    marked: bool = False


class Table(Widget, can_focus=True):
    """Rows with a cursor. Whoever holds only part of a list turns the moves into its own (`Walked`).

    A table that `follows` has its newest row first: a cursor that stands there stays there.
    """

    BINDINGS: ClassVar[list[BindingType]] = [*MOVES, Binding("enter", "open", "open", show=False)]

    class Opened(Message):
        """A row was opened."""

        def __init__(self, table: Table, key: str) -> None:
            super().__init__()
            self.table, self.key = table, key

        @property
        def control(self) -> Table:
            return self.table

    class Walked(Message):
        """Somebody wants to move in a list of which this table holds a part: by rows, or to an end."""

        def __init__(self, table: Table, by: int | None, end: bool = False) -> None:
            super().__init__()
            self.table, self.by, self.end = table, by, end

    def __init__(
        self, columns: Sequence[Column], *, walks: bool = False, follows: bool = False, empty: str = "nothing yet",
        id: str,
    ) -> None:  # fmt: skip
        super().__init__(id=id)
        self._columns, self._walks, self._follows, self._empty = columns, walks, follows, empty
        self.rows: Sequence[Row] = ()
        self.cursor = self.top = 0
        self.sorted_by: str | None = None

    @property
    def page_rows(self) -> int:
        """How many rows fit."""
        return max(1, self.size.height - 1)

    @property
    def chosen(self) -> Row | None:
        """The row under the cursor."""
        return self.rows[self.cursor] if self.cursor < len(self.rows) else None

    def put(self, rows: Sequence[Row], cursor: int | None = None, empty: str | None = None) -> None:
        """Show these rows; the chosen one stays chosen unless a cursor is given."""
        key = self.chosen.key if self.chosen else None
        self.rows, self._empty = rows, empty or self._empty
        if cursor is None and self._follows and self.cursor == 0:
            cursor = 0
        if cursor is None:
            cursor = next((index for index, row in enumerate(rows) if row.key == key), min(self.cursor, len(rows)))
        self._choose(cursor)

    def _choose(self, cursor: int) -> None:
        self.cursor = max(0, min(cursor, len(self.rows) - 1))
        if self.cursor < self.top:
            self.top = self.cursor
        elif self.cursor >= self.top + self.page_rows:
            self.top = self.cursor - self.page_rows + 1
        self.top = max(0, min(self.top, len(self.rows) - self.page_rows))
        self.refresh()

    def render(self) -> Content:
        columns = [(index, column) for index, column in enumerate(self._columns) if self.size.width >= column.least]
        widths = self._widths([column for _, column in columns])
        lines = [self._head([column for _, column in columns], widths)]
        for place, row in enumerate(self.rows[self.top : self.top + self.page_rows], self.top):
            lines.append(self._line(row, columns, widths, place == self.cursor))
        if not self.rows:
            lines.append([(f"  {self._empty}", DIM)])
        return content(lines)

    def _widths(self, columns: Sequence[Column]) -> list[int]:
        rest = self.size.width - 2 - sum(column.width + 1 for column in columns)
        flexible = [index for index, column in enumerate(columns) if column.flex]
        widths = [column.width for column in columns]
        for index in flexible:
            widths[index] = max(4, widths[index] + rest // len(flexible))
        return widths

    def _head(self, columns: Sequence[Column], widths: Sequence[int]) -> Line:
        line: Line = [("  ", DIM)]
        for column, width in zip(columns, widths, strict=True):
            mark = "▾" if column.title == self.sorted_by else ""
            line.append((cell(column.title + mark, width, right=column.right) + " ", BOLD if mark else DIM))
        return line

    def _line(self, row: Row, columns: Sequence[tuple[int, Column]], widths: Sequence[int], chosen: bool) -> Line:
        mark = ("▸" if chosen else "") + ("◆" if row.marked else "")
        line: Line = [(f"{mark:<2}", CHOSEN if chosen else WARN if row.marked else "")]
        for (index, column), width in zip(columns, widths, strict=True):
            text, style = row.cells[index]
            line.append((cell(text, width, right=column.right) + " ", CHOSEN if chosen else style))
        return line

    def action_move(self, by: int) -> None:
        """Choose another row."""
        if self._walks:
            self.post_message(self.Walked(self, by))
        else:
            self._choose(self.cursor + by)

    def action_page(self, by: int) -> None:
        """Choose a row a screen away."""
        self.action_move(by * max(1, self.page_rows - 1))

    def action_first(self) -> None:
        """The first row."""
        if self._walks:
            self.post_message(self.Walked(self, None))
        else:
            self._choose(0)

    def action_last(self) -> None:
        """The last row."""
        if self._walks:
            self.post_message(self.Walked(self, None, end=True))
        else:
            self._choose(len(self.rows) - 1)

    def action_open(self) -> None:
        """Open the chosen row."""
        if self.chosen is not None:
            self.post_message(self.Opened(self, self.chosen.key))
