"""What is written to a reporter who has left a contact. The contact is unsealed at this moment
only, and stands in no log, no error and no other table."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from alerts.notify.news import News
from alerts.notify.words import Words
from pilewatch.sealing import Seal
from pilewatch.store.pool import Db
from pilewatch.workflow.contacts import contact_of


@dataclass(frozen=True)
class Letter:
    """A message to one person. Its repr does not tell to whom."""

    to: str
    title: str
    body: str

    def __repr__(self) -> str:
        return f"Letter({self.title!r})"


@dataclass(frozen=True)
class Letters:
    """Writes letters. Without keys it can read no contact, and writes none."""

    seal: Seal
    public_url: str

    def about(self, db: Db, news: Sequence[News]) -> Iterator[Letter]:
        """A letter for each question whose reporter can still be reached."""
        for one in news:
            contact = None
            if self.seal and one.topic == "report.asked":
                contact = contact_of(db, self.seal, int(one.payload["report"]))
            if contact is None:
                continue  # erased meanwhile: there is nobody to tell
            words = Words(contact.language, self.public_url)
            kind = f"letter.{one.payload['question']}"
            link = f"{self.public_url.rstrip('/')}/r/{contact.receipt}"
            yield Letter(contact.to, words(f"{kind}.title"), words.question(one, kind, link))


NO_LETTERS = Letters(Seal(), "")
