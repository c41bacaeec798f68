"""The end of a consultation in the store: only the clinician's own documents change."""

from __future__ import annotations

from bson import ObjectId

from handlers.services.consultations import Consultations
from handlers.services.documents import new_consultation
from handlers.storage.store import Store
from tests.support.backends import scratch_database


async def test_finish_leaves_a_foreign_transcript(mongodb_url: str) -> None:
    amara, ben = ObjectId(), ObjectId()
    consultation, _ = new_consultation(amara, None)
    _, foreign = new_consultation(ben, None)
    with scratch_database(mongodb_url) as database:
        store = Store(mongodb_url, database.name)
        try:
            await store.consultations.insert({**consultation, "transcript": foreign["_id"]})
            await store.transcripts.insert(foreign)
            ended = await Consultations(store).finish(consultation["_id"], amara, "cough")
            assert ended is not None
            assert ended["status"] == "ended"
            assert await store.transcripts.get(foreign["_id"]) == foreign
        finally:
            await store.close()
