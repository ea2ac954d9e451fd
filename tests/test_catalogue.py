"""Catalogues: CSV, XLSX and JSON to rows; any bytes load, or are refused with their place."""
from __future__ import annotations

import csv
import io
import json
import zipfile
from datetime import datetime

import openpyxl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from models.errors import BadInput
from pipelines.catalogue import CELL_LIMIT, COLUMN_LIMIT, FILE_LIMIT, ROW_LIMIT, Catalogue, Row, read_catalogue


def workbook(*sheets: list[list[object]], hidden: tuple[int, ...] = ()) -> bytes:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for number, rows in enumerate(sheets):
        sheet = book.create_sheet(f"Sheet {number + 1}")
        for row in rows:
            sheet.append(row)
        if number in hidden:
            sheet.sheet_state = "hidden"
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def refusal(data: bytes) -> BadInput:
    with pytest.raises(BadInput) as refused:
        read_catalogue(data)
    assert refused.value.field == "file"
    return refused.value


def loaded(data: bytes) -> Catalogue | None:
    """None where it is refused, in words."""
    try:
        return read_catalogue(data)
    except BadInput as error:
        return None if error.field == "file" and error.what else pytest.fail(f"refused without a word: {error!r}")


def cells(found: Catalogue) -> list[dict[str, str]]:
    return [dict(row.cells) for row in found.rows]


def test_a_csv_with_its_lines():
    found = read_catalogue(b'sku,name,note\r\n1,"red, mug",\r\n\r\n2,"two\r\nlines","say ""hi"""\r\n3,x,y\r\n')
    assert found.columns == ("sku", "name", "note")
    assert found.rows == (
        Row(2, {"sku": "1", "name": "red, mug"}),
        Row(4, {"sku": "2", "name": "two\nlines", "note": 'say "hi"'}),
        Row(6, {"sku": "3", "name": "x", "note": "y"}),
    )
    assert (found.kind, found.unit, found.problems, found.notes) == ("csv", "line", (), ())


@pytest.mark.parametrize(("mark", "said"), [(";", "semicolons"), ("\t", "tabs"), ("|", "bars")])
def test_other_delimiters_are_found_and_told(mark, said):
    found = read_catalogue(f'name{mark}"price, net"\nmug{mark}4\n'.encode())
    assert cells(found) == [{"name": "mug", "price, net": "4"}]
    assert said in found.notes[0]


def test_encodings():
    for data in ("name\nCafé\n".encode("utf-8-sig"), "name\nCafé\n".encode("utf-16"), "name\nCafé\n".encode()):
        assert cells(read_catalogue(data)) == [{"name": "Café"}]
    found = read_catalogue("name\nCafé\n".encode("cp1252"))
    assert cells(found) == [{"name": "Café"}]
    assert "line 2" in found.notes[0]
    assert "Line 2" in refusal(b"name\n\x81\x8d\n").why


def test_what_is_wrong_with_a_file_is_refused_with_its_place():
    assert "Line 3" in refusal(b'name\nmug\n"open\nand on\n').what
    assert '"name" twice' in refusal(b"name,price, name \n1,2,3\n").what
    assert "column 2" in refusal(f"name,{'x' * 81}\n1,2\n".encode()).what
    assert "nothing after it" in refusal(b"name,price\n\n,\n").why
    assert "Line 2" in refusal(b'[{"name": "mug"},\n {"name": }]').what
    assert refusal(b'[{"name": "mug"}, 7]').what == "Entry 2 is 7."
    assert "NaN" in refusal(b'[{"name": NaN}]').why
    assert "more than one list" in refusal(b'{"a": [], "b": []}').what
    assert "Line 2" in refusal(b'{"a": 1}\n{"a": \n').what
    assert "Excel 97" in refusal(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100)).what
    assert "empty" in refusal(b"").what
    assert "empty" in refusal(b" \n\n").what
    for data in (b"[]", b'{"rows": []}', b"[{}]"):
        assert "no rows" in refusal(data).what


def test_what_is_wrong_with_a_row_is_its_problem_alone():
    found = read_catalogue(b"name,price\nmug,1,stray\nbottle\x00,2\n" + b"x" * (CELL_LIMIT + 1) + b",3\nbowl,#REF!\njar,5,\n")
    assert [(problem.line, problem.column) for problem in found.problems] == [(2, ""), (3, "name"), (4, "name"), (5, "price")]
    assert "stray" in found.problems[0].what
    assert cells(found)[-1] == {"name": "jar", "price": "5"}
    assert cells(found)[2] == {"price": "3"}


def test_a_workbook_as_a_person_reads_it():
    data = workbook(
        [["hidden"], ["no"]],
        [["sku", "name", None, "new", "since"], [7.0, "mug", None, True, datetime(2026, 11, 21)], [], [8.25, "bowl", "?", None, None]],
        [["other"], ["no"]],
        hidden=(0,),
    )
    found = read_catalogue(data)
    assert found.columns == ("sku", "name", "new", "since")
    whole = Row(2, {"sku": "7", "name": "mug", "new": "true", "since": "2026-11-21"})
    assert found.rows == (whole, Row(4, {"sku": "8.25", "name": "bowl"}))
    assert [problem.line for problem in found.problems] == [4]
    assert (found.kind, found.unit) == ("xlsx", "row")
    assert "Sheet 2" in found.notes[0]


def test_a_damaged_workbook_and_a_bomb():
    whole = workbook([["name"], ["mug"]])
    assert "cannot be read" in refusal(whole[: len(whole) // 2]).what
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        for number in range(5):
            packed.writestr(f"xl/{number}.xml", b" " * 60_000_000)
    assert "too large" in refusal(buffer.getvalue()).what
    with zipfile.ZipFile(buffer := io.BytesIO(), "w") as packed:
        packed.writestr("hello.txt", "a zip that is no workbook")
    assert "cannot be read" in refusal(buffer.getvalue()).what


def test_json_of_three_shapes():
    rows = [{"name": "mug", "price": 4, "new": True, "note": None}, {"name": "bowl", "tags": ["a"]}]
    for text in (json.dumps(rows), json.dumps({"made": "today", "rows": rows}), "\n".join(map(json.dumps, rows))):
        found = read_catalogue(text.encode())
        assert found.columns == ("name", "price", "new", "note", "tags")
        assert cells(found) == [{"name": "mug", "price": "4", "new": "true"}, {"name": "bowl"}]
        assert [(problem.line, problem.column) for problem in found.problems] == [(2, "tags")]


def test_limits():
    assert "more than" in refusal(b"name\n" + b"x\n" * (ROW_LIMIT + 1)).what
    assert len(read_catalogue(b"name\n" + b"x\n" * ROW_LIMIT).rows) == ROW_LIMIT
    assert "columns" in refusal(",".join(f"c{number}" for number in range(COLUMN_LIMIT + 1)).encode() + b"\n1").what
    assert "too large" in refusal(b"x" * (FILE_LIMIT + 1)).what


WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)
TABLES = st.lists(st.lists(WORDS, min_size=3, max_size=3), min_size=1, max_size=6)


@given(TABLES)
@settings(max_examples=80, deadline=None)
def test_what_a_spreadsheet_writes_comes_back(rows):
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerows([["a", "b", "c"], *rows])
    expected = [{name: cell.strip() for name, cell in zip("abc", row, strict=True) if cell.strip()} for row in rows]
    expected = [row for row in expected if row]
    if not expected:
        assert "no rows" in refusal(text.getvalue().encode()).what
        return
    found = read_catalogue(text.getvalue().encode())
    assert found.problems == ()
    assert cells(found) == expected


PIECES = st.lists(
    st.one_of(
        st.sampled_from([b",", b";", b'"', b"\n", b"\r", b"[", b"{", b"}", b"]", b":", b'"a"', b"1", b"PK\x03\x04", b"\xff\xfe"]),
        st.sampled_from([b"\x00", b"name", b"null", b"-1e999", b"\xc3", b"true"]),
        st.binary(max_size=6),
    ),
    max_size=24,
).map(b"".join)


@given(PIECES)
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example(b"[" * 100_000)
@example(b'[{"a": ' + b"9" * 5000 + b"}]")
@example(b'{"a": {"b": [1]}}')
@example(b'\xef\xbb\xbf\xff')
@example(b"a\n" + b'"' + b"x" * 200_000)
def test_any_bytes_load_or_are_refused(data):
    found = loaded(data)
    if found is None:
        return
    assert found.rows
    assert found.columns
    for row in found.rows:
        assert row.line >= 1
        assert set(row.cells) <= set(found.columns)
        assert all(cell and cell == cell.strip() and len(cell) <= CELL_LIMIT for cell in row.cells.values())


@given(st.integers(0, 4000), st.binary(min_size=1, max_size=8))
@settings(max_examples=60, deadline=None)
def test_a_workbook_with_any_bytes_changed_loads_or_is_refused(place, change):
    whole = bytearray(workbook([["name", "price"], ["mug", 4], ["bowl", 5.5]]))
    place %= len(whole) - len(change)
    whole[place : place + len(change)] = change
    found = loaded(bytes(whole))
    assert found is None or found.rows
