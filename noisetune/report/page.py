"""The report as one page that asks nobody for anything."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from noisetune.analysis.tables import shown
from noisetune.records import TrialRecord
from noisetune.report.arms import arms_of
from noisetune.report.contents import Drawing, Section
from noisetune.report.markup import as_html
from noisetune.report.style import looks, slug
from noisetune.report.svg import inlined
from noisetune.report.templates import page_template, text_of
from noisetune.report.view import SweepView
from noisetune.texts import counted

PACKAGE = "noisetune.report"
REFRESH_SECONDS = 30


@dataclass(frozen=True)
class Source:
    """The runs of a condition behind a figure, and where they stand on the page."""

    text: str
    anchor: str


def page(
    view: SweepView,
    sections: Sequence[Section],
    drawn: Mapping[str, str],
    refresh: bool = False,
) -> str:
    """The whole page; `drawn` are the figures as SVG files, by name.

    With `refresh` it loads itself anew while the sweep runs.
    """
    look = looks(arms_of(view.summaries))
    content = {
        "view": view,
        "sections": [_section(view, each, drawn) for each in sections],
        "arms": [(arm, slug(arm), each.color) for arm, each in look.items()],
        "conditions": _conditions(view),
        "refresh": REFRESH_SECONDS if refresh and view.state == "running" else None,
        "standing": _standing(view),
        "css": Markup(text_of(PACKAGE, "page.css")),
        "js": Markup(text_of(PACKAGE, "page.js")),
    }
    return page_template(PACKAGE).render(content)


def anchor_of(view: SweepView, condition: str) -> str:
    """Where the runs of a condition stand."""
    names = list(dict.fromkeys(each.condition for each in view.records))
    return f"runs-{names.index(condition) + 1}"


def _section(view: SweepView, section: Section, drawn: Mapping[str, str]) -> dict[str, Any]:
    return {
        "title": section.title,
        "anchor": slug(section.title.lower()),
        "sentences": section.sentences,
        "figures": [_figure(view, each, drawn[each.name]) for each in section.drawings],
        "tables": [
            (name, Markup(as_html(table))) for name, table in (section.tables or {}).items()
        ],
        "listings": section.listings,
    }


def _figure(view: SweepView, drawing: Drawing, svg: str) -> dict[str, Any]:
    return {
        "name": drawing.name,
        "svg": Markup(inlined(svg, drawing.name, f"{drawing.name}-alt")),
        "reads": drawing.reads,
        "alt": drawing.alt,
        "sources": _sources(view, drawing.runs),
    }


def _sources(view: SweepView, runs: Sequence[TrialRecord]) -> list[Source]:
    kinds: dict[str, dict[str, int]] = {}
    for run in runs:
        counts = kinds.setdefault(run.condition, {})
        noun = "replicate" if run.kind == "replicate" else "trial"
        counts[noun] = counts.get(noun, 0) + 1
    return [
        Source(
            f"{' and '.join(counted(n, noun) for noun, n in counts.items())} of {condition}",
            anchor_of(view, condition),
        )
        for condition, counts in kinds.items()
    ]


def _conditions(view: SweepView) -> list[dict[str, Any]]:
    """Every trial, by condition."""
    groups: dict[str, list[TrialRecord]] = {}
    for each in view.records:
        groups.setdefault(each.condition, []).append(each)
    return [
        {"name": name, "anchor": anchor_of(view, name), "rows": [_row(each) for each in trials]}
        for name, trials in groups.items()
    ]


def _row(trial: TrialRecord) -> list[str]:
    clean = trial.metrics.get("test/accuracy_at_noisy_best")
    settings = ", ".join(f"{name} {shown(value)}" for name, value in trial.parameters.items())
    kind = "replicate" if trial.kind == "replicate" else "trial"
    return [
        f"{kind} {trial.number}",
        trial.state,
        str(trial.seed),
        settings or "fixed",
        "" if trial.objective is None else f"{trial.objective:.4f}",
        "" if clean is None else f"{100 * clean:.1f}",
    ]


def _standing(view: SweepView) -> str:
    size = "" if view.size is None else f" of {max(view.size, len(view.records))}"
    return f"{view.state}: {view.ended}{size} trials have ended"
