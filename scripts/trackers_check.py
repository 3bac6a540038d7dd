"""Holds what trackers have against a sweep's records, by the trackers' own readers.

    trackers_check.py tensorboard LOGDIR SWEEP     event files, read by TensorBoard's EventAccumulator
    trackers_check.py mlflow URL SWEEP             runs, read by MLflow's client
    trackers_check.py table FOLDER                 {summary,epochs,landmarks}.{csv,parquet,json} in it, by pandas, pyarrow, polars
    trackers_check.py recipes GUIDE FOLDER         a guide's pieces of Python, run as they are printed, in a folder with their tables

Every number of every epoch must be there once, at its step; a difference ends in an assertion.
"""

import contextlib
import csv
import io
import json
import math
import os
import re
import struct
import sys
import tomllib
from pathlib import Path

# Tag of a run of its own, and the column of epochs.csv.
SCALARS = {
    "": {
        "optimizer/lr": "lr",
        "speed/images_per_second": "images_per_second",
        "speed/seconds_per_epoch": "seconds",
    },
    "train": {"loss": "train_loss", "landmark_error/mre_mm": "train_mre_mm", "landmark_error/mre_px": "train_mre_px"},
    "val": {
        "loss": "val_loss",
        "loss/of_zeros": "zero_loss",
        **{f"landmark_error/{name}": f"val_{name}" for name in ("mre_mm", "mre_px", "sd_mm", "median_mm", "p95_mm")},
        **{f"landmark_error/{name}": f"val_{name}" for name in ("sd_px", "median_px", "p95_px")},
        **{f"sdr/{within}": f"val_sdr_{within}" for within in ("2mm", "2_5mm", "3mm", "4mm", "2px", "4px", "8px", "16px")},
    },
}
# Columns that every epoch has; the others are of epochs that were evaluated.
ALWAYS = ("lr", "images_per_second", "seconds", "train_loss")


def trials(sweep):
    for folder in sorted((sweep / "trials").iterdir()):
        about = tomllib.loads((folder / "trial.toml").read_text())
        rows = []
        if (folder / "epochs.csv").exists():
            rows = list(csv.DictReader((folder / "epochs.csv").open()))
        state = json.loads((folder / "status.json").read_text())["state"]
        yield folder, about, rows, state


def evaluated(row):
    return not (math.isnan(float(row["val_loss"])) and math.isnan(float(row["val_mre_mm"])))


def single(number):
    return struct.unpack("f", struct.pack("f", float(number)))[0]


def same(a, b):
    return a == b or (math.isnan(a) and math.isnan(b))


def best(rows):
    """The least error so far, and that at the least loss so far, after every evaluated epoch."""
    error, at_loss, so_far = math.inf, (math.inf, math.nan), []
    for row in rows:
        if evaluated(row):
            error = min(error, float(row["val_mre_mm"]))
            if float(row["val_loss"]) < at_loss[0]:
                at_loss = (float(row["val_loss"]), float(row["val_mre_mm"]))
            so_far.append((int(row["epoch"]), error, at_loss[1]))
    return so_far


def expected(rows):
    """Points (step, value) by run and tag."""
    points = {}
    for run, tags in SCALARS.items():
        for tag, column in tags.items():
            kept = [row for row in rows if column in ALWAYS or evaluated(row)]
            points[run, tag] = [(int(row["epoch"]), single(row[column])) for row in kept]
    points["", "best/val_mre_mm"] = [(epoch, single(error)) for epoch, error, _ in best(rows)]
    points["", "best/val_mre_mm_at_best_loss"] = [(epoch, single(error)) for epoch, _, error in best(rows)]
    return {key: values for key, values in points.items() if values}


def hold(found, rows, trial):
    wanted = expected(rows)
    assert found.keys() == wanted.keys(), f"{trial}: {sorted(found.keys() ^ wanted.keys())}"
    for key, points in wanted.items():
        steps = [step for step, _ in found[key]]
        assert steps == [step for step, _ in points], f"{trial} {key}: steps {steps}"
        assert all(same(a, b) for (_, a), (_, b) in zip(found[key], points)), f"{trial} {key}"


def tensorboard(logdir, sweep):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import metadata

    count = 0
    for folder, about, rows, state in trials(sweep):
        found = {}
        for run in SCALARS:
            files = list((logdir / folder.name / run).glob("*tfevents*"))
            assert len(files) == 1, f"{folder.name}/{run}: {files}"
            # Nothing is thinned out, and nothing that is there twice is hidden.
            events = EventAccumulator(
                str(logdir / folder.name / run),
                size_guidance={"scalars": 0, "images": 0, "tensors": 0},
                purge_orphaned_data=False,
            )
            events.Reload()
            for tag in events.Tags()["scalars"]:
                points = events.Scalars(tag)
                found[run, tag] = [(point.step, point.value) for point in points]
                times = [point.wall_time for point in points]
                assert times == sorted(times) and times[0] > 1e9, f"{folder.name} {tag}: {times}"
            if run:
                continue
            content = events.summary_metadata[metadata.SESSION_START_INFO_TAG].plugin_data.content
            begun = metadata.parse_session_start_info_plugin_data(content)
            values = {name: value for name, value in begun.hparams.items()}
            wanted = {"seed": str(about["config"]["seed"]), **dict(about["axes"])}
            assert values.keys() == wanted.keys(), values
            for name, value in wanted.items():
                kind = values[name].WhichOneof("kind")
                told = getattr(values[name], kind)
                assert told == (float(value) if kind == "number_value" else value), (name, told, value)
            text = events.Tensors("configuration")[0].tensor_proto.string_val[0].decode()
            assert tomllib.loads(text.removeprefix("```toml\n").removesuffix("```")) == about["config"], text
            if state in ("done", "pruned", "diverged", "failed", "timed-out"):
                content = events.summary_metadata[metadata.SESSION_END_INFO_TAG].plugin_data.content
                status = metadata.parse_session_end_info_plugin_data(content).status
                assert status == (1 if state in ("done", "pruned") else 2), (state, status)
            overlay = folder / "overlay.png"
            if state == "done" and overlay.exists():
                (picture,) = events.Images("overlay")
                assert picture.encoded_image_string == overlay.read_bytes()
                # Width and height as PNG has them.
                assert (picture.width, picture.height) == struct.unpack(">II", overlay.read_bytes()[16:24])
        hold(found, rows, folder.name)
        count += 1
    print(f"{count} trials as in the records")


ROW = ("train_loss", "val_loss", "zero_loss", "train_mre_mm", "val_mre_mm", "val_mre_px", "val_sd_mm", "val_median_mm",
       "val_p95_mm", "val_sdr_2mm", "val_sdr_2_5mm", "val_sdr_3mm", "val_sdr_4mm", "lr", "images_per_second", "seconds",
       "train_mre_px", "val_sd_px", "val_median_px", "val_p95_px", "val_sdr_2px", "val_sdr_4px", "val_sdr_8px", "val_sdr_16px")


def flat(value, path=""):
    if isinstance(value, dict):
        return {key: leaf for name, inner in value.items() for key, leaf in flat(inner, f"{path}.{name}" if path else name).items()}
    return {path: value}


def mlflow(url, sweep):
    from mlflow import MlflowClient

    client = MlflowClient(url)
    about_sweep = tomllib.loads((sweep / "sweep.toml").read_text())
    experiment = client.get_experiment_by_name(about_sweep["name"])
    assert experiment.tags.get("mlflow.note.content") == about_sweep.get("question"), experiment.tags
    runs = client.search_runs([experiment.experiment_id], max_results=5000)
    roles = {}
    for run in runs:
        roles.setdefault(run.data.tags["landmark_sweep.role"], []).append(run)
    by_trial = {}
    for run in roles.get("trial", []):
        by_trial.setdefault(run.data.tags["landmark_sweep.trial"], []).append(run)
    parents = {run.info.run_id: run for run in roles["configuration"]}
    configurations = {}
    numbers = 0
    for folder, about, rows, state in trials(sweep):
        (run,) = by_trial.pop(folder.name)
        assert run.info.run_name == folder.name
        expected_status = {"done": "FINISHED", "pruned": "FINISHED", "running": "RUNNING", "interrupted": "KILLED"}
        assert run.info.status == expected_status.get(state, "FAILED"), (folder.name, run.info.status, state)
        assert run.data.tags["landmark_sweep.state"] == state
        parent = parents[run.data.tags["mlflow.parentRunId"]]
        values = tuple(value for axis, value in about["axes"] if axis != "dataset.fold")
        assert parent.info.run_name == (" · ".join(values) or "all"), parent.info.run_name
        configurations.setdefault(parent.info.run_id, []).append((state, rows))
        for key, value in flat(about["config"]).items():
            told = run.data.params[key]
            if isinstance(value, str):
                assert told == value, (key, told, value)
            elif isinstance(value, bool):
                assert told == str(value).lower(), (key, told, value)
            elif isinstance(value, (int, float)):
                assert float(told) == value, (key, told, value)
            else:
                assert json.loads(told) == value, (key, told, value)
        for column in ROW:
            kept = [row for row in rows if column in ALWAYS or evaluated(row)]
            history = client.get_metric_history(run.info.run_id, column)
            found = sorted((metric.step, metric.value) for metric in history)
            wanted = [(int(row["epoch"]), float(row[column])) for row in kept]
            assert [step for step, _ in found] == [step for step, _ in wanted], (folder.name, column, found)
            # What the clock says differs where an epoch was trained twice: what was told first stays.
            if column not in ("images_per_second", "seconds"):
                assert all(same(a, b) for (_, a), (_, b) in zip(found, wanted)), (folder.name, column)
            times = [metric.timestamp for metric in sorted(history, key=lambda metric: metric.step)]
            assert all(time > 1e12 for time in times), times
            numbers += len(found)
        if state in ("done", "pruned", "diverged", "failed", "timed-out"):
            finished = [error for _, error, _ in best(rows)]
            if finished and math.isfinite(finished[-1]):
                (metric,) = client.get_metric_history(run.info.run_id, "best_val_mre_mm")
                assert metric.value == finished[-1], (metric.value, finished[-1])
            names = {artifact.path: artifact.file_size for artifact in client.list_artifacts(run.info.run_id)}
            for name in ("trial.toml", "epochs.csv", "landmarks.csv", "curves.png", "overlay.png", "log.txt"):
                file = folder / name
                assert names.get(name) == (file.stat().st_size if file.exists() else None), (folder.name, name, names)
            local = client.download_artifacts(run.info.run_id, "epochs.csv")
            assert Path(local).read_bytes() == (folder / "epochs.csv").read_bytes()
    assert not by_trial, f"runs of trials that are not there: {sorted(by_trial)}"
    assert set(parents) == set(configurations), "a configuration without trials, or twice"
    for parent, of_it in configurations.items():
        errors = [best(rows)[-1][1] for state, rows in of_it if state == "done"]
        if errors and all(state in ("done", "diverged", "failed") for state, _ in of_it):
            told = parents[parent].data.metrics
            assert parents[parent].info.status == "FINISHED"
            assert told["trials"] == len(errors) and abs(told["mean_best_val_mre_mm"] - sum(errors) / len(errors)) < 1e-9
            assert len(client.get_metric_history(parent, "trials")) == 1
    if (sweep / "report" / "index.html").exists():
        (report,) = roles["report"]
        names = {artifact.path for artifact in client.list_artifacts(report.info.run_id, "report")}
        assert names == {f"report/{file.name}" for file in (sweep / "report").iterdir()}, names
    print(f"{len(configurations)} configurations, {sum(map(len, configurations.values()))} trials, {numbers} numbers as in the records")


def table(folder):
    """The three formats are one table, whoever reads it, and its numbers are numbers."""
    import pandas
    import polars
    import pyarrow.parquet

    for name in ("summary", "epochs", "landmarks"):
        file = {ending: str(folder / f"{name}.{ending}") for ending in ("csv", "parquet", "json")}
        parquet = pandas.read_parquet(file["parquet"])
        frames = {
            "csv by pandas": pandas.read_csv(file["csv"]),
            "json by pandas": pandas.read_json(file["json"]),
            "csv by polars": polars.read_csv(file["csv"], null_values=["nan"], infer_schema_length=None).to_pandas(),
            "parquet by polars": polars.read_parquet(file["parquet"]).to_pandas(),
            # The keys of a JSON object have no order, and polars gives them another one.
            "json by polars": polars.read_json(file["json"], infer_schema_length=None).to_pandas()[list(parquet.columns)],
            "parquet by pyarrow": pyarrow.parquet.read_table(file["parquet"]).to_pandas(),
        }
        for kind, frame in frames.items():
            assert list(frame.columns) == list(parquet.columns), (name, kind)
            assert len(frame) == len(parquet) > 0, (name, kind)
            for column in parquet.columns:
                ours, theirs = parquet[column], frame[column]
                if pandas.api.types.is_float_dtype(ours):
                    theirs = theirs.astype("float64")
                    # Both are written so that they are read back as they were, but for JSON in pandas (15 digits).
                    tolerance = 1e-9 if kind == "json by pandas" else 0
                    off = (ours - theirs).abs() > tolerance * ours.abs()
                    assert (ours.isna() == theirs.isna()).all() and not off.any(), (name, kind, column)
                else:
                    pairs = zip(ours, theirs)
                    assert all((pandas.isna(a) and pandas.isna(b)) or a == b for a, b in pairs), (name, kind, column)
        types = pyarrow.parquet.read_schema(file["parquet"])
        for column, kind in {"seed": "int64", "optimizer.lr": "double", "loss.name": "string", "batch_size": "int64"}.items():
            assert str(types.field(column).type) == kind, (name, column, types.field(column).type)
        print(f"{name}: {len(parquet)} rows, {len(parquet.columns)} columns")


def recipes(guide, folder):
    """Every recipe runs, and prints something."""
    pieces = re.findall(r"```python\n(.*?)```", guide.read_text(), re.DOTALL)
    assert pieces, f"no Python in {guide}"
    os.environ["MPLBACKEND"] = "Agg"
    os.chdir(folder)
    for piece in pieces:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(piece, str(guide), "exec"), {})
        assert printed.getvalue().strip(), piece
    print(f"{len(pieces)} recipes run")


if __name__ == "__main__":
    what, *arguments = sys.argv[1:]
    if what == "tensorboard":
        tensorboard(*map(Path, arguments))
    elif what == "table":
        table(Path(arguments[0]))
    elif what == "recipes":
        recipes(*(Path(argument).resolve() for argument in arguments))
    elif what == "mlflow":
        mlflow(arguments[0], Path(arguments[1]))
    else:
        sys.exit(__doc__)
