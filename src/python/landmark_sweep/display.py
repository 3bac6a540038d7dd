"""How notebooks show results. Every text is escaped: names of sweeps, images and landmarks are other people's."""

from __future__ import annotations

import base64
import html
import itertools
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ._native import SweepError

if TYPE_CHECKING:
    from ._native import Landmarks
    from .results import Results

# Rows of a table, and findings of a sweep, that are shown at once.
_ROWS = 20
_FINDINGS = 8
# Length of a text that is shown in one line.
_WHOLE = 40
# Columns of a sweep's trials that are shown beside its axes, those that are known for some trial.
_TRIAL = [
    "seed", "state", "epochs", "best_epoch", "best_val_mre_mm", "best_val_mre_px", "best_val_loss", "last_train_loss",
    "sdr_2mm", "test_mre_mm", "test_mre_px", "collapsed", "message",
]  # fmt: skip
_BADGE = "border:1px solid currentColor;border-radius:3px;padding:0 4px;font-size:85%;opacity:.8"


def table(columns: Sequence[str], rows: Iterable[Mapping[str, Any]], count: int) -> str:
    """The first rows of a table."""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in columns)
    shown = itertools.islice(rows, _ROWS)
    body = "".join("<tr>" + "".join(_cell(row[name]) for name in columns) + "</tr>" for row in shown)
    rest = f"<p>and {count - _ROWS} more rows</p>" if count > _ROWS else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{rest}"


def finding(finding: Mapping[str, Any]) -> str:
    """A finding: its verdict, its sentence, and what it rests on."""
    verdict = html.escape(finding["verdict"].replace("-", " "))
    items = [f"<em>{_sentence(caveat)}</em>" for caveat in finding["caveats"]]
    if finding["estimate"] is not None:
        items.insert(0, f"estimate: {_estimate(finding['estimate'], finding['unit'])}")
    if finding["p_adjusted"] is not None:
        items.append(f"p = {finding['p_adjusted']:.2g}, corrected for {finding['tests']} tests")
    items.append(f"finding <code>{html.escape(finding['id'])}</code>")
    details = "".join(f"<li>{item}</li>" for item in items)
    said = f'<span style="{_BADGE}">{verdict}</span> {_sentence(finding["sentence"])}'
    return f'<details style="margin:.5em 0"><summary style="cursor:pointer">{said}</summary><ul>{details}</ul></details>'


def findings(findings: Sequence[Mapping[str, Any]]) -> str:
    """The first findings."""
    said = [shown for shown in findings if shown["sentence"]]
    rest = f"<p>and {len(said) - _FINDINGS} more findings</p>" if len(said) > _FINDINGS else ""
    return "".join(finding(shown) for shown in said[:_FINDINGS]) + rest


def results(results: Results) -> str:
    """A sweep: its question, loss against landmark error, the findings, and its trials."""
    title = f"<h3>{html.escape(results.question or results.name)}</h3>"
    try:
        summary = results.summary
        known = summary.to_dict()
        figure = results._loss_against_error()
        found = [] if figure is None else list(results.findings)
    except SweepError as error:
        return f"{title}<p>{html.escape(str(error))}</p>"
    shown = [name for name in known if name in _TRIAL and not all(map(_is_missing, known[name]))]
    # Millimetres where they are known, else pixels.
    shown = [name for name in shown if not (name.endswith("_px") and name.replace("_px", "_mm") in shown)]
    # The axes stand between the seed, which names a repetition, and the first measured column.
    axes = list(known)[3 : list(known).index("state")]
    shown = [*axes, *(name for name in shown if name not in axes)]
    drawn = "" if figure is None else _png(figure, "loss against landmark error")
    return f"{title}{drawn}{findings(found)}{table(shown, summary, len(summary))}"


def prediction(landmarks: Landmarks) -> str:
    """Landmarks drawn over their image, and where they are."""
    try:
        picture = _png(landmarks.overlay(), "the image with its landmarks")
    except SweepError as error:
        # The file may have moved since; the landmarks are there still.
        picture = f"<p>The image cannot be shown: {html.escape(str(error))}</p>"
    columns = ["landmark", "x", "y", "confidence"]
    parts: list[Sequence[Any]] = [landmarks.names, landmarks.x, landmarks.y, landmarks.confidence]
    if landmarks.radius_unit is not None:
        columns.append(f"radius, {landmarks.radius_unit}")
        parts.append(landmarks.radius)
    values = zip(*parts, strict=True)
    unlike = "<p>This image is unlike those of the training.</p>" if landmarks.unlike else ""
    name = html.escape(os.fspath(landmarks.image)) if isinstance(landmarks.image, (str, os.PathLike)) else ""
    rows = (dict(zip(columns, row, strict=True)) for row in values)
    return f"<p>{name}</p>{unlike}{picture}{table(columns, rows, len(landmarks))}"


def _png(png: bytes, what: str) -> str:
    inline = base64.b64encode(png).decode()
    return f'<img alt="{html.escape(what)}" style="max-width:100%;max-height:600px" src="data:image/png;base64,{inline}">'


def _sentence(sentence: str) -> str:
    # Names stand in backticks, which come in pairs.
    pieces = html.escape(sentence).split("`")
    code = [f"<code>{piece}</code>" if index % 2 else piece for index, piece in enumerate(pieces)]
    return "".join(code) if len(pieces) % 2 else "`".join(pieces)


def _estimate(estimate: Mapping[str, Any], unit: str) -> str:
    low, high = estimate["interval"]
    interval = "" if low is None or high is None else f", 95 % interval {low:.3g} to {high:.3g}"
    return html.escape(f"{_number(estimate['point'])}{interval} ({unit})")


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3g}"


def _is_missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _cell(value: object) -> str:
    text = "" if _is_missing(value) else f"{value:.4g}" if isinstance(value, float) else str(value)
    # Names of trials break at their hyphens otherwise; messages may break.
    whole = ' style="white-space:nowrap"' if len(text) <= _WHOLE else ""
    return f"<td{whole}>{html.escape(text)}</td>"
