"""Tells what is in the database that sqlite.c made, in the same words."""

import sqlite3
import sys

QUERIES = (
    "pragma integrity_check",
    "select count(*), sum(id), sum(born), min(name), max(name), sum(length(photo)) from person",
    "select count(*), sum(person), min(at), max(at), max(note) from visit",
    "select person.id, count(*) from person join visit on person = id where name = 'name 4711' group by id",
    "select page_count, page_size, freelist_count from pragma_page_count, pragma_page_size, pragma_freelist_count",
)

connection = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
for query in QUERIES:
    print("|".join(str(value) for value in connection.execute(query).fetchone()))
