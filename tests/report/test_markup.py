"""Tables of a page."""

from rich.text import Text

from noisetune.analysis.tables import plain_table
from noisetune.report.markup import as_html


def test_a_table_has_its_parts() -> None:
    table = plain_table("a <title>")
    table.caption = "one\ntwo & more"
    table.add_column("name\nof it")
    table.add_column("value", justify="right")
    table.add_row("a", Text("1.0\n0.5..1.5", "bold"))
    html = as_html(table)
    assert "<caption><span>a &lt;title&gt;</span></caption>" in html
    assert '<th scope="col">name<br>of it</th><th scope="col" class="number">value</th>' in html
    assert '<th scope="row">a</th>' in html
    assert '<td class="number"><strong>1.0</strong><br><small>0.5..1.5</small></td>' in html
    assert '<div class="notes"><p>one</p><p>two &amp; more</p></div>' in html


def test_an_empty_cell_stays_empty() -> None:
    table = plain_table("title")
    table.add_column("name")
    table.add_row("")
    assert '<th scope="row"></th>' in as_html(table)
