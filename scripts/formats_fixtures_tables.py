#!/usr/bin/env python3
"""Miniatures of tables, text files and markups that `sweep data import` reads; see formats_fixtures.py, which calls this.

    pip install openpyxl pandas SimpleITK      # beside the packages of formats_fixtures.py
    python3 scripts/formats_fixtures_tables.py

Writes the folders of these formats in tests/fixtures/formats and `truth_tables.json` beside `truth.json`.
"""

import json
import shutil

import numpy as np
import openpyxl
import pandas as pd
import SimpleITK as sitk

import formats_fixtures as base
from formats_fixtures import HEIGHT, ROOT, entry, picture, position, put, save

TRUTH = {}


def folder(name):
    shutil.rmtree(ROOT / name, ignore_errors=True)
    return base.folder(name)


def truth(name, landmarks, images, **more):
    TRUTH[name] = {"source": name, "name": name, "landmarks": landmarks, "images": images, **more}


def marks_of(number, count=3):
    return [position(number, k) for k in range(count)]


def excel():
    # A workbook whose second sheet is not read; a formula, which openpyxl stores without a result, is not used.
    root = folder("excel")
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "marks"
    sheet.append(["Image", "Patient", "Spacing", "S_x", "S_y", "N_x", "N_y", "G_x", "G_y"])
    images = {}
    for number in range(4):
        save(picture(number), root / f"{number}.png")
        marks = [None if (number, k) == (1, 2) else m for k, m in enumerate(marks_of(number))]
        sheet.append([number, f"p{number}", 0.125, *(v for m in marks for v in (m or (None, None)))])
        images[f"{number}.png"] = entry(None, [0.125, 0.125], marks, f"p{number}")
    book.create_sheet("notes").append(["nothing"])
    book.save(root / "marks.xlsx")
    truth("excel", ["S", "N", "G"], images)


def deeplabcut():
    # As DeepLabCut's GUI writes it: three rows of header over a row index of three levels (labeled-data, video, frame).
    root = folder("deeplabcut")
    images = {}
    parts = ["snout", "leftear", "tailbase"]
    for video, numbers in [("mouse-a", [0, 1, 2]), ("mouse-b", [3, 4])]:
        rows, index = [], []
        for number in numbers:
            frame = f"img{number:03}.png"
            save(picture(number), root / f"labeled-data/{video}/{frame}")
            marks = [None if (number, k) == (2, 1) else m for k, m in enumerate(marks_of(number))]
            rows.append([v for m in marks for v in (m or (np.nan, np.nan))])
            index.append(("labeled-data", video, frame))
            images[f"{video}/{frame}"] = entry(None, [0.5, 0.5], marks, f"labeled-data/{video}")
        columns = pd.MultiIndex.from_product([["maker"], parts, ["x", "y"]], names=["scorer", "bodyparts", "coords"])
        table = pd.DataFrame(rows, columns=columns, index=pd.MultiIndex.from_tuples(index))
        table.to_csv(root / f"labeled-data/{video}/CollectedData_maker.csv")
    put(root / "config.yaml", "Task: miniature\nscorer: maker\nbodyparts:\n- snout\n- leftear\n- tailbase\n")
    truth("deeplabcut", parts, images, spacing="0.5")


def slicer():
    # A volume of one slice with an origin of its own; LPS in JSON, RAS in the older format.
    root = folder("slicer")
    images = {}
    for number in range(4):
        image = sitk.GetImageFromArray(picture(number)[None])
        image.SetSpacing((0.25, 0.5, 1.0))
        image.SetOrigin((12.0, -7.5, 3.0))
        if number == 1:
            # Rows run to the back, columns to the feet.
            image.SetDirection((0, 0, 1, 1, 0, 0, 0, -1, 0))
        sitk.WriteImage(image, root / f"{number}.mha")
        marks = marks_of(number)
        lps = [image.TransformContinuousIndexToPhysicalPoint((float(x), float(y), 0.0)) for x, y in marks]
        if number == 3:
            head = ("# Markups fiducial file version = 4.10\n# CoordinateSystem = 0\n"
                    "# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID\n")
            rows = [f"vtkMRMLMarkupsFiducialNode_{k},{-p[0]},{-p[1]},{p[2]},0,0,0,1,1,1,0,{name},,"
                    for k, (name, p) in enumerate(zip("SNG", lps))]
            put(root / f"{number}.fcsv", head + "\n".join(rows) + "\n")
        else:
            points = [{"id": str(k + 1), "label": name, "description": "", "associatedNodeID": "",
                       "position": list(p), "orientation": [-1, 0, 0, 0, -1, 0, 0, 0, 1], "selected": True, "locked": False,
                       "visibility": True, "positionStatus": "defined"} for k, (name, p) in enumerate(zip("SNG", lps))]
            if number == 2:
                points[1] = {"id": "2", "label": "N", "position": [0.0, 0.0, 0.0], "positionStatus": "undefined"}
            put(root / f"{number}.mrk.json", json.dumps({
                "@schema": "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/"
                           "markups-schema-v1.0.3.json#",
                "markups": [{"type": "Fiducial", "coordinateSystem": "LPS", "coordinateUnits": "mm",
                             "controlPoints": points}]}, indent=1))
            marks = [None if (number, k) == (2, 1) else m for k, m in enumerate(marks)]
        images[f"{number}.png"] = entry(None, [0.25, 0.5], marks)
    truth("slicer", ["S", "N", "G"], images)


def imagej():
    root = folder("imagej")
    rows, images, count = [" \tLabel\tArea\tX\tY"], {}, 0
    for number in range(4):
        save(picture(number), root / f"{number}.tif")
        marks = [(float(round(x)), float(round(y))) for x, y in marks_of(number)]
        for x, y in marks:
            count += 1
            rows.append(f"{count}\t{number}.tif\t0\t{x:.0f}\t{y:.0f}")
        images[f"{number}.png"] = entry(None, [0.25, 0.25], marks)
    put(root / "Results.txt", "\n".join(rows) + "\n")
    truth("imagej", ["1", "2", "3"], images, spacing="0.25")


def pts():
    root = folder("pts")
    images = {}
    for number in range(4):
        save(picture(number), root / f"{number}.png")
        marks = marks_of(number)
        put(root / f"{number}.pts", "version: 1\nn_points:  3\n{\n"
            + "".join(f"{x + 1:.6f} {y + 1:.6f}\n" for x, y in marks) + "}\n")
        images[f"{number}.png"] = entry(None, [0.25, 0.25], marks)
    truth("pts", ["1", "2", "3"], images, spacing="0.25")


def dlib():
    root = folder("dlib")
    body, images = [], {}
    for number in range(4):
        save(picture(number), root / f"faces/{number}.jpg")
        marks = [(float(round(x)), float(round(y))) for x, y in marks_of(number)]
        parts = "".join(f"      <part name='{k:02}' x='{x:.0f}' y='{y:.0f}'/>\n" for k, (x, y) in enumerate(marks)
                        if (number, k) != (2, 1))
        body.append(f"  <image file='faces/{number}.jpg' width='{base.WIDTH}' height='{HEIGHT}'>\n"
                    f"    <box top='1' left='1' width='20' height='20'>\n{parts}    </box>\n"
                    f"    <box top='2' left='2' width='3' height='3' ignore='1'/>\n  </image>\n")
        marks = [None if (number, k) == (2, 1) else m for k, m in enumerate(marks)]
        images[f"{number}.png"] = entry(None, [0.25, 0.25], marks)
    put(root / "training.xml", "<?xml version='1.0' encoding='ISO-8859-1'?>\n"
        "<?xml-stylesheet type='text/xsl' href='image_metadata_stylesheet.xsl'?>\n"
        "<dataset>\n<name>imglab dataset</name>\n<comment>made by hand</comment>\n<images>\n" + "".join(body)
        + "</images>\n</dataset>\n")
    truth("dlib", ["00", "01", "02"], images, spacing="0.25")


def tps():
    root = folder("tps")
    text, images = "", {}
    for number in range(4):
        save(picture(number), root / f"{number}.jpg")
        marks = [None if (number, k) == (2, 1) else m for k, m in enumerate(marks_of(number))]
        # tpsDig counts from the image's lower left corner.
        rows = "".join(f"{m[0] + 0.5:.5f} {HEIGHT - (m[1] + 0.5):.5f}\r\n" if m else "NA NA\r\n" for m in marks)
        curve = "CURVES=1\r\nPOINTS=2\r\n3.0 4.0\r\n5.0 6.0\r\n" if number == 1 else ""
        text += f"LM=3\r\n{rows}{curve}IMAGE={number}.jpg\r\nID={number}\r\nSCALE=0.125000\r\n"
        images[f"{number}.png"] = entry(None, [0.125, 0.125], marks)
    put(root / "wings.TPS", text)
    truth("tps", ["1", "2", "3"], images)


def main():
    for make in [excel, deeplabcut, slicer, imagej, pts, dlib, tps]:
        make()
    put(ROOT / "truth_tables.json", json.dumps(TRUTH, indent=1) + "\n")


if __name__ == "__main__":
    main()
