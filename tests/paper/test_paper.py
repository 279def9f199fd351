"""Documents to print, with Chinese type and pictures."""

from pilewatch import paper

_MARK = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"></svg>'


def test_a_template_becomes_a_pdf_with_its_own_type_and_data_is_never_code() -> None:
    data = {"title": '充电桩 #panic() " \\ $x$'}
    made = paper.pdf("tests.paper", "hello.typ", data, {"mark.svg": _MARK})
    assert made.startswith(b"%PDF-")
    assert b"NotoSansCJK" in made


def test_each_page_can_be_looked_at() -> None:
    made = paper.pages("tests.paper", "hello.typ", {"title": "桩"}, {"mark.svg": _MARK})
    assert [page[:4] for page in made] == [b"\x89PNG"] * 2
