"""Catalogues: a CSV, an Excel workbook or JSON as rows under named columns.

`read_catalogue` is the one door. Whatever bytes come in, either a `Catalogue` comes out, or `BadInput` (field "file") that says where the
file is wrong. What is wrong with one row alone refuses nothing: it stands in `problems`, to be seen before anything runs.
"""
from __future__ import annotations

import codecs
import csv
import io
import json
import math
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any, NoReturn

from models.errors import BadInput
from pipelines.fields import listed, safe, shown

FILE_LIMIT = 16 * 2**20  # bytes
UNPACKED_LIMIT = 256 * 2**20  # bytes of all that a workbook packs
ROW_LIMIT, COLUMN_LIMIT = 10_000, 100
NAME_LIMIT, CELL_LIMIT = 80, 4000  # characters
DELIMITERS = ",;\t|"


@dataclass(frozen=True)
class Row:
    """A row that has something in it. line: where it stands in the file, from 1. cells: texts by column, without the empty ones."""

    line: int
    cells: Mapping[str, str]


@dataclass(frozen=True)
class Problem:
    """What is wrong with one row. column: "" where it is the row as a whole."""

    line: int
    column: str
    what: str

    def to_dict(self) -> dict[str, object]:
        return {"line": self.line, "column": self.column, "what": self.what}


@dataclass(frozen=True)
class Catalogue:
    """What a file says. kind: "csv", "xlsx" or "json". unit: what `line` counts: lines, rows of a sheet, or entries of a list.

    columns: in the file's order. notes: what was decided in reading it (an encoding, a sheet), for the person to see.
    """

    kind: str
    unit: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()


def read_catalogue(data: bytes) -> Catalogue:
    """The catalogue in a file, of whatever kind by its content. Raises BadInput, and nothing else, for any bytes."""
    if len(data) > FILE_LIMIT:
        raise _refused("The catalogue is too large.", f"At most {FILE_LIMIT // 2**20} MB are read.", "Split it into several.")
    if data[:4] == b"PK\x03\x04":
        return _read_workbook(data)
    if data[:8] == b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1":
        raise _refused("This is a workbook of Excel 97, or one with a password.", "", "Save it as .xlsx without a password, or as CSV.")
    text, notes = _decoded(data)
    start = text.lstrip()[:1]
    if not start:
        raise _refused("The catalogue is empty.", "", "Its first row names the columns, each row after it is one picture to make.")
    if start in "[{":
        return _read_json(text, notes)
    return _read_csv(text, notes)


# CSV.


def _decoded(data: bytes) -> tuple[str, tuple[str, ...]]:
    """The text of a file, by its byte order mark, as UTF-8, or as what Windows programs write where it is not."""
    for mark, encoding in ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")):
        if data.startswith(mark):
            try:
                return data.decode(encoding), ()
            except UnicodeDecodeError as error:
                raise _refused(f"The file says it is {encoding.removesuffix('-sig')}, and is not.", f"At byte {error.start}.") from error
    try:
        return data.decode("utf-8"), ()
    except UnicodeDecodeError as error:
        line = _line_of(data, error.start)
    try:
        return data.decode("cp1252"), (f"It is not UTF-8 (see line {line}), so it was read as Windows text. Look at its accents.",)
    except UnicodeDecodeError as error:
        why = f"Line {_line_of(data, error.start)} holds bytes that are no text."
        raise _refused("This is neither a table nor a workbook.", why, "Save it as CSV (UTF-8), XLSX or JSON.") from error


def _line_of(data: bytes, place: int) -> int:
    return data.count(b"\n", 0, place) + 1


def _read_csv(text: str, notes: tuple[str, ...]) -> Catalogue:
    delimiter = _delimiter(text)
    if delimiter != ",":
        notes += (f"Its columns are parted by {({';': 'semicolons', chr(9): 'tabs', '|': 'bars'})[delimiter]}.",)
    return _table("csv", "line", _csv_records(text, delimiter), notes)


def _csv_records(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """(the line a record begins at, its cells)."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = 1
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            why = "A quotation mark is opened and not closed." if "end of data" in str(error) else _sentence(str(error))
            raise _refused(f"Line {line} is no CSV.", why, 'Double a quotation mark inside quotes: "19"" rack".') from error
        yield line, cells
        line = reader.line_num + 1


def _delimiter(text: str) -> str:
    """The one that the first line with anything in it has most of, outside quotes."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    outside = "".join(first.split('"')[::2])
    return max(DELIMITERS, key=lambda mark: (outside.count(mark), -DELIMITERS.index(mark)))


# Workbooks.


def _read_workbook(data: bytes) -> Catalogue:
    import openpyxl

    try:
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            unpacked = sum(info.file_size for info in packed.infolist())
        if unpacked <= UNPACKED_LIMIT:
            # Read whole cells at a time: a sheet that claims a million empty rows costs nothing until they are asked for.
            book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True, keep_links=False)
    except Exception as error:  # whatever zipfile, expat and openpyxl make of bytes that are no workbook
        raise _damaged("It is damaged, or none", error) from error
    if unpacked > UNPACKED_LIMIT:
        why = f"Unpacked it has {unpacked // 2**20} MB; at most {UNPACKED_LIMIT // 2**20} are read."
        raise _refused("This workbook is too large.", why, "Save the sheet alone, or as CSV.")
    try:
        sheets = [sheet for sheet in book.worksheets if sheet.sheet_state == "visible"] or book.worksheets
        if not sheets:
            raise _refused("This workbook has no sheet with cells.")
        notes = (f'Read from its first sheet, "{safe(sheets[0].title[:40])}", of {len(sheets)}.',) if len(sheets) > 1 else ()
        return _table("xlsx", "row", _sheet_records(sheets[0]), notes)
    except BadInput:
        raise
    except Exception as error:  # sheets are parsed as they are read
        raise _damaged("A sheet is damaged", error) from error
    finally:
        book.close()


def _sheet_records(sheet: Any) -> Iterator[tuple[int, list[str]]]:
    sheet.reset_dimensions()  # what the file says of its size may be anything
    for number, cells in enumerate(sheet.iter_rows(max_col=COLUMN_LIMIT + 1, values_only=True), start=1):
        yield number, [_cell_text(value) for value in cells]


def _cell_text(value: object) -> str:
    """A cell as a person reads it; a number without the decimals that it does not have."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
    if isinstance(value, datetime) and value.time() == time():
        return value.date().isoformat()
    return value.isoformat() if isinstance(value, datetime | date | time) else str(value)


# JSON: a list of objects, an object that holds one such list, or an object a line.


def _read_json(text: str, notes: tuple[str, ...]) -> Catalogue:
    entries = _entries(text)
    columns: dict[str, None] = {}
    rows: list[Row] = []
    problems: list[Problem] = []
    for line, entry in enumerate(entries, start=1):
        if line > ROW_LIMIT:
            raise _too_many_rows()
        if not isinstance(entry, dict):
            raise _refused(f"Entry {line} is {shown(entry)}.", "Each entry is an object with a value for each column.")
        cells = {}
        for key, value in entry.items():
            name = _column(key, f"Entry {line}")
            columns[name] = None
            if isinstance(value, dict | list):
                problems.append(Problem(line, name, f"This is {shown(value)}; a cell is text, a number, true or false."))
            elif cell := read_cell(_json_text(value), line, name, problems):
                cells[name] = cell
        if cells:
            rows.append(Row(line, cells))
        if len(columns) > COLUMN_LIMIT:
            raise _too_many_columns(f"entry {line}")
    if not rows:
        raise _refused("The catalogue has no rows.", "", 'Write it like [{"product": "running shoes"}, ...].')
    return Catalogue("json", "entry", tuple(columns), tuple(rows), tuple(problems), notes)


def _entries(text: str) -> Sequence[object]:
    def not_a_number(name: str) -> NoReturn:
        raise _refused("This is no JSON.", f"It holds {name}.", "Leave the value out, or write null.")

    def whole(digits: str) -> int | float:
        return int(digits) if len(digits) < 20 else float(digits)

    def load(words: str) -> object:
        return json.loads(words, parse_constant=not_a_number, parse_int=whole)

    try:
        found = load(text)
    except RecursionError as error:
        raise _refused("This JSON is nested too deeply.") from error
    except json.JSONDecodeError as error:
        lines = text.splitlines()
        if error.msg == "Extra data" and error.lineno > 1:  # one object a line
            return [_line(words, number, load) for number, words in enumerate(lines, start=1) if words.strip()]
        raise _refused(f"Line {error.lineno} is no JSON.", f"{error.msg}, at column {error.colno}.") from error
    if isinstance(found, dict):
        lists = [name for name, value in found.items() if isinstance(value, list)]
        if len(lists) > 1:
            why = f"They are {listed([safe(name[:NAME_LIMIT]) for name in lists[:9]])}."
            raise _refused("It holds more than one list.", why, "Keep one.")
        found = found[lists[0]] if lists else [found]
    assert isinstance(found, list)
    return found


def _line(words: str, number: int, load: Any) -> object:
    try:
        return load(words)
    except (json.JSONDecodeError, RecursionError) as error:
        raise _refused(f"Line {number} is no JSON.", "A file that begins with an object a line has one on every line.") from error


def _json_text(value: object) -> str:
    return "" if isinstance(value, float) and not math.isfinite(value) else _cell_text(value)


# What all kinds share.


def _table(kind: str, unit: str, records: Iterable[tuple[int, list[str]]], notes: tuple[str, ...]) -> Catalogue:
    """A catalogue of records the first of which, but for empty ones, names the columns."""
    header: dict[int, str] = {}
    rows: list[Row] = []
    problems: list[Problem] = []
    for line, record in records:
        if not any(cell.strip() for cell in record):
            continue
        if not header:
            header = _header(record, f"{unit.capitalize()} {line}")
            continue
        if len(rows) == ROW_LIMIT:
            raise _too_many_rows()
        cells = {}
        for place, words in enumerate(record):
            name = header.get(place)
            if name is None:
                if words.strip():
                    said = f"{shown(words)} stands in column {place + 1}, which has no name."
                    problems.append(Problem(line, "", said))
            elif cell := read_cell(words, line, name, problems):
                cells[name] = cell
        rows.append(Row(line, cells))
    if not header:
        raise _refused("The catalogue is empty.", "", "Its first row names the columns.")
    if not rows:
        why = f"It has {unit} 1 with the columns {listed(list(header.values())[:9])}, and nothing after it."
        raise _refused("The catalogue has no rows.", why, "Each row after the first is one picture to make.")
    return Catalogue(kind, unit, tuple(header.values()), tuple(rows), tuple(problems), notes)


def _header(record: Sequence[str], place: str) -> dict[int, str]:
    named = {number: _column(words, f"{place}, column {number + 1}") for number, words in enumerate(record) if words.strip()}
    if len(named) > COLUMN_LIMIT:
        raise _too_many_columns(place.lower())
    twice = [name for name, count in Counter(named.values()).items() if count > 1]
    if twice:
        raise _refused(f'{place} names the column "{safe(twice[0])}" twice.', "", "Give each column a name of its own.")
    return named


def _column(words: str, place: str) -> str:
    name = " ".join(words.split())
    if len(name) > NAME_LIMIT:
        raise _refused(f"{place} is too long for a column's name.", f"It has {len(name)} characters; at most {NAME_LIMIT} are read.")
    if not name or _unprintable(name):
        raise _refused(f"{place} is no column's name.", f"This is {shown(words)}.", "The first row names the columns.")
    return name


def read_cell(words: str, line: int, column: str, problems: list[Problem]) -> str:
    """A cell's text; "" where there is none, or none that can be used, which is a problem of its row."""
    words = words.replace("\r\n", "\n").replace("\r", "\n").strip()
    if len(words) > CELL_LIMIT:
        problems.append(Problem(line, column, f"This has {len(words)} characters; a cell may have {CELL_LIMIT}."))
    elif _unprintable(words):
        problems.append(Problem(line, column, f"{shown(words)} holds characters that are no text."))
    elif words in ("#REF!", "#N/A", "#VALUE!", "#NAME?", "#DIV/0!", "#NULL!", "#NUM!"):
        problems.append(Problem(line, column, f"A formula went wrong here: {words}"))
    else:
        return words
    return ""


def _unprintable(words: str) -> bool:
    return any(unicodedata.category(character) in ("Cc", "Cs") and character not in "\n\t" for character in words)


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."


def _too_many_rows() -> BadInput:
    return _refused(f"The catalogue has more than {ROW_LIMIT} rows.", "", "Split it into several.")


def _too_many_columns(place: str) -> BadInput:
    return _refused(f"The catalogue has more than {COLUMN_LIMIT} columns, by {place}.", "", "Keep those that are used.")


def _damaged(why: str, error: Exception) -> BadInput:
    return _refused("This workbook cannot be read.", f"{why} ({type(error).__name__}).", "Save it again as .xlsx.")


def _refused(what: str, why: str = "", todo: str = "") -> BadInput:
    return BadInput("file", what, why, todo)
