"""Which model's picture a score is of, where its value stands among them can be told at once."""
from __future__ import annotations

from sqlite_utils import Database

from studio.store.schema.migrations import migrations


@migrations()
def scores_by_card(db: Database) -> None:
    db.execute("ALTER TABLE scores ADD COLUMN card TEXT")  # the picture's, for one index to answer; kept by the trigger
    db.execute("UPDATE scores SET card = (SELECT card FROM images WHERE images.id = scores.image_id)")
    db.execute(
        "CREATE TRIGGER scores_card AFTER INSERT ON scores WHEN new.card IS NULL BEGIN"
        " UPDATE scores SET card = (SELECT card FROM images WHERE images.id = new.image_id) WHERE id = new.id; END"
    )
    db.execute("CREATE INDEX scores_of_a_card ON scores(dimension, scorer, version, card, id, value)")
