#!/usr/bin/env python3
"""Miniatures of the formats that `sweep data import` reads, made as their owners make them, and what they must come to.

    pip install numpy pillow pydicom SimpleITK tifffile pycocotools openpyxl pandas
    python3 scripts/formats_fixtures.py

Writes tests/fixtures/formats: a folder per format, `truth.json` (per format: name, landmarks and, per image, split, spacing,
patient and positions) and `images/expected.json` (per image file: size and grey values). Pictures are gradients and blobs.
"""

import base64
import json
import pathlib
import shutil

import numpy as np
import pydicom
import pydicom.encaps
import pydicom.uid
import SimpleITK as sitk
import tifffile
from PIL import Image
from pycocotools.coco import COCO

ROOT = pathlib.Path(__file__).resolve().parent.parent / "tests/fixtures/formats"
WIDTH, HEIGHT = 26, 34
TRUTH = {}
# As the challenge's files are ordered.
ISBI = """sella nasion orbitale porion subspinale supramentale pogonion menton gnathion gonion lower_incisor upper_incisor
upper_lip lower_lip subnasale soft_tissue_pogonion PNS ANS articulare""".split()
AARIZ = """A ANS B Co LIT LMT N Or Po Pog PNS Pn R S Ar Ba C Gn Go Li Ls Me Pm Sn UIA UIT UPM LIA Pog'""".split()


def picture(number, width=WIDTH, height=HEIGHT):
    """A picture without black pixels at its right and lower border."""
    y, x = np.mgrid[:height, :width]
    blob = 90 * np.exp(-((x - 6 - number) ** 2 + (y - 9 - 2 * number) ** 2) / 20)
    return (40 + 2 * x + 1.5 * y + blob).clip(0, 255).astype(np.uint8)


def position(image, landmark, shift=0.0):
    """Somewhere in the picture, in quarters of a pixel."""
    x = 2 + (landmark * 5 + image * 3) % 20 + 0.25 * (landmark % 3) + shift
    y = 3 + (landmark * 7 + image * 2) % 26 + 0.5 * (image % 2) - shift
    return x, y


def whole(image, landmark, shift=0):
    x, y = position(image, landmark)
    return round(x - 0.2) + shift, round(y - 0.2) - 2 * shift


def folder(name):
    path = ROOT / name
    path.mkdir(parents=True)
    return path


def save(array, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def put(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def truth(name, source, of, landmarks, images, **more):
    TRUTH[name] = {"source": source, "name": of, "landmarks": landmarks, "images": images, **more}


def entry(split, spacing, points, patient=None):
    return {"split": split, "spacing": spacing, "points": points, "patient": patient}


def isbi():
    root = folder("isbi2015")
    images, errors = {}, []
    for number, part, split in [(1, "TrainingData", "train"), (2, "TrainingData", "train"), (151, "Test1Data", "val"),
                                (301, "Test2Data", "test")]:
        save(np.repeat(picture(number % 7)[:, :, None], 3, axis=2), root / f"RawImage/{part}/{number:03}.bmp")
        junior = [whole(number % 7, k) for k in range(19)]
        senior = [whole(number % 7, k, 1 if k % 2 else 0) for k in range(19)]
        for who, points in [("400_junior", junior), ("400_senior", senior)]:
            lines = [f"{x},{y}" for x, y in points] + ["1", "2", "1", "3", "1", "1", "4", "1"]
            put(root / f"AnnotationsByMD/{who}/{number:03}.txt", "\n".join(lines) + "\n")
        mean = [[(a[0] + b[0]) / 2, (a[1] + b[1]) / 2] for a, b in zip(junior, senior)]
        images[f"{part}/{number:03}.png"] = entry(split, [0.1, 0.1], mean)
        if split == "val":
            errors = [np.hypot(a[0] - b[0], a[1] - b[1]) / 2 * 0.1 for a, b in zip(junior, senior)]
    truth("isbi2015", "isbi2015", "isbi2015-mean", ISBI, images, observer_mre_mm=float(np.mean(errors)))


def payer():
    root = folder("payer")
    spacing = (0.5, 0.25)
    rows, images = {"junior": [], "senior": []}, {}
    errors = []
    for number in range(1, 6):
        image = sitk.GetImageFromArray(picture(number))
        image.SetSpacing(spacing)
        (root / "images").mkdir(exist_ok=True)
        sitk.WriteImage(image, str(root / f"images/{number:03}.mha"), useCompression=number == 2)
        both = [[position(number, k, shift) for k in range(3)] for shift in (0.0, 0.5)]
        for who, points in zip(rows, both):
            cells = [f"{x * spacing[0]:.4f},{y * spacing[1]:.4f}" for x, y in points]
            rows[who].append(f"{number:03}," + ",".join(cells))
        mean = [[(a[0] + b[0]) / 2, (a[1] + b[1]) / 2] for a, b in zip(*both)]
        split = {1: "train", 2: "train", 3: "val", 4: "test"}.get(number)
        if split:
            images[f"{number:03}.png"] = entry(split, spacing, mean)
        if split == "val":
            errors = [np.hypot((a[0] - b[0]) * spacing[0], (a[1] - b[1]) * spacing[1]) / 2 for a, b in zip(*both)]
    for who, lines in rows.items():
        put(root / f"{who}.csv", "\n".join(lines) + "\n")
    for name, ids in [("train", [1, 2]), ("test1", [3]), ("test2", [4]), ("cv/set1/train", [2, 3]), ("cv/set1/val", [1])]:
        put(root / f"{name}.txt", "".join(f"{i:03}\n" for i in ids))
    truth("payer", "payer", "payer-mean", ["1", "2", "3"], images, observer_mre_mm=float(np.mean(errors)))


def cl_detection():
    sizes = [(26, 34), (22, 34), (26, 30), (20, 28)]
    for name, compressed in [("cl-detection", False), ("cl-detection-compressed", True)]:
        root = folder(name)
        stack = np.zeros((len(sizes), 40, 30, 3), np.uint8)
        points, images = [], {}
        for index, (width, height) in enumerate(sizes):
            stack[index, :height, :width] = picture(index, width, height)[:, :, None]
            scale = 0.1 + 0.025 * index
            marks = [whole(0, k) if k < 2 else (width - 1, height - 1) for k in range(3)]
            # One landmark of the second image is missing, and nothing is marked in the fourth.
            marks = [None if (index, k) == (1, 1) or index == 3 else mark for k, mark in enumerate(marks)]
            for k, mark in enumerate(marks):
                if mark:
                    points.append({"name": k + 1, "point": [mark[0], mark[1], index + 1], "scale": f"{scale:g}"})
            if index < 3:
                images[f"{index + 1:03}.png"] = entry(None, [scale, scale], marks) | {"size": [width, height]}
        sitk.WriteImage(sitk.GetImageFromArray(stack, isVector=True), str(root / "train_stack.mha"), compressed)
        put(root / "train-gt.json", json.dumps({"name": "Orthodontic landmarks", "type": "Multiple points",
                                                "points": points, "version": {"major": 1, "minor": 0}}))
        truth(name, name, f"cl-detection-{name}", ["p1", "p2", "p3"], images)
    for year, header in [("2023", "file,scale"), ("2024", "image file,spacing(mm)")]:
        root = folder(f"cl-detection-{year}")
        lines, images = [header + ",p1x,p1y,p2x,p2y"], {}
        for number in range(1, 4):
            save(picture(number), root / f"images/{number:03}.bmp")
            marks = [whole(number, k) for k in range(2)]
            lines.append(f"{number:03}.bmp,0.125," + ",".join(f"{x},{y}" for x, y in marks))
            images[f"{number:03}.png"] = entry(None, [0.125, 0.125], marks)
        put(root / "labels.csv", "\n".join(lines) + "\n")
        truth(f"cl-detection-{year}", f"cl-detection-{year}", f"cl-detection-cl-detection-{year}", ["p1", "p2"], images)


def aariz():
    root = folder("aariz")
    sizes, images, errors = ["cephalogram_id,machine,pixel_size"], {}, []
    for number, (part, split) in enumerate([("Train", "train"), ("Train", "train"), ("Valid", "val"), ("Test", "test")]):
        stem = f"cks2ip8fq2a0j0yufdfssbc{number:02}"
        save(picture(number), root / f"{part}/Cephalograms/{stem}.{'jpg' if number == 1 else 'png'}")
        mm = 0.139 if number < 2 else 0.1
        sizes.append(f"{stem},Machine {number},{mm}")
        both = [[whole(number % 3, k % 5, s if k % 4 == 0 else 0) for k in range(29)] for s in (0, 1)]
        for who, points in zip(["Junior", "Senior"], both):
            # By symbol, in whatever order.
            order = np.random.default_rng(number).permutation(29) if number else range(29)
            landmarks = [{"landmark_id": f"id{k}", "title": AARIZ[k], "symbol": AARIZ[k],
                          "value": {"x": points[k][0], "y": points[k][1]}} for k in order]
            put(root / f"{part}/Annotations/Cephalometric Landmarks/{who} Orthodontists/{stem}.json",
                json.dumps({"ceph_id": stem, "landmarks": landmarks, "dataset_id": 1}))
        mean = [[(a[0] + b[0]) / 2, (a[1] + b[1]) / 2] for a, b in zip(*both)]
        mean = [mean[AARIZ.index(symbol)] for symbol in sorted(AARIZ)]
        images[f"{part}/Cephalograms/{stem}.png"] = entry(split, [mm, mm], mean)
        if split == "val":
            errors = [np.hypot(a[0] - b[0], a[1] - b[1]) / 2 * mm for a, b in zip(*both)]
    put(root / "cephalogram_machine_mappings.csv", "\n".join(sizes) + "\n")
    truth("aariz", "aariz", "aariz-mean", sorted(AARIZ), images, observer_mre_mm=float(np.mean(errors)))


def coco():
    root = folder("coco")
    names, images = ["sella", "nasion", "gonion"], {}
    for part, split, numbers in [("train2017", "train", [1, 2]), ("val2017", "val", [3])]:
        file = {"info": {"description": "miniature"}, "licenses": [], "images": [], "annotations": [],
                "categories": [{"id": 1, "name": "head", "supercategory": "head", "keypoints": names,
                                "skeleton": [[1, 2]]}]}
        for number in numbers:
            save(picture(number), root / part / f"{number:012}.jpg")
            file["images"].append({"id": number, "file_name": f"{number:012}.jpg", "width": WIDTH, "height": HEIGHT})
            marks = [None if (number, k) == (2, 2) else position(number, k) for k in range(3)]
            flat = [v for m in marks for v in ((m[0], m[1], 2) if m else (0, 0, 0))]
            file["annotations"].append({"id": number, "image_id": number, "category_id": 1, "iscrowd": 0,
                                        "keypoints": flat, "num_keypoints": sum(m is not None for m in marks),
                                        "bbox": [0, 0, WIDTH, HEIGHT], "area": WIDTH * HEIGHT, "segmentation": []})
            images[f"{part}/{number:012}.png"] = entry(split, [0.2, 0.2], marks)
        path = root / f"annotations/person_keypoints_{part}.json"
        put(path, json.dumps(file))
        assert sorted(COCO(str(path)).getImgIds()) == numbers
    truth("coco", "coco", "coco", names, images, spacing="0.2")


def labelme():
    root = folder("labelme")
    images = {}
    for number in range(1, 5):
        stem = f"ceph {number}"
        path = root / f"{stem}.png"
        save(picture(number), path)
        data = base64.b64encode(path.read_bytes()).decode()
        marks = [position(number, k) for k in range(2 if number == 3 else 3)]
        shapes = [{"label": "SNG"[k], "points": [[x + 0.5, y + 0.5]], "group_id": None, "description": "",
                   "shape_type": "point", "flags": {}, "mask": None} for k, (x, y) in enumerate(marks)]
        shapes.append({"label": "jaw", "points": [[1, 1], [9, 9], [1, 9]], "group_id": None, "shape_type": "polygon",
                       "flags": {}})
        put(root / f"{stem}.json", json.dumps({"version": "5.4.1", "flags": {}, "shapes": shapes,
                                               "imagePath": f"{stem}.png", "imageData": data if number == 2 else None,
                                               "imageHeight": HEIGHT, "imageWidth": WIDTH}, indent=2))
        if number == 2:
            path.unlink()
        images[f"{stem}.png"] = entry(None, [0.3, 0.15], (marks + [None])[:3])
    truth("labelme", "labelme", "labelme", ["S", "N", "G"], images, spacing="0.3,0.15")


def cvat():
    root = folder("cvat")
    names, images, body = ["sella", "nasion", "lip1", "lip2", "gonion"], {}, []
    for number in range(4):
        subset = "Validation" if number == 3 else "Train"
        save(picture(number), root / f"images/{number}.png")
        marks = [position(number, k) for k in range(5)]
        at = [f"{x + 0.5:.2f},{y + 0.5:.2f}" for x, y in marks]
        hidden = number == 2
        body.append(f'''  <image id="{number}" name="{number}.png" subset="{subset}" task_id="7" width="{WIDTH}" height="{HEIGHT}">
    <points label="nasion" source="manual" occluded="0" points="{at[1]}" z_order="0">
    </points>
    <points label="lip" source="manual" occluded="0" points="{at[2]};{at[3]}" z_order="0"></points>
    <skeleton label="skull" source="manual" z_order="0">
      <points label="sella" source="manual" outside="0" occluded="1" points="{at[0]}">
      </points>
      <points label="gonion" source="manual" outside="{int(hidden)}" occluded="0" points="{at[4]}">
      </points>
    </skeleton>
    <box label="head" source="manual" occluded="0" xtl="1.0" ytl="1.0" xbr="9.0" ybr="9.0" z_order="0"></box>
  </image>''')
        images[f"{number}.png"] = entry(subset.lower()[:5] if subset == "Train" else "val", [0.1, 0.1],
                                        marks[:4] + [None if hidden else marks[4]])
    labels = "".join(f"<label><name>{name}</name><color>#fff</color><type>points</type></label>" for name in
                     ["skull", "sella", "nasion", "lip1", "lip2", "gonion"])
    put(root / "annotations.xml", '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n'
        f"  <meta><task><id>7</id><name>ceph &amp; co</name><labels>{labels}</labels></task></meta>\n"
        + "\n".join(body) + "\n</annotations>\n")
    truth("cvat", "cvat", "cvat", names, images, spacing="0.1")


def cvat_video():
    """A track for each landmark, a skeleton's and a box's; frames by their numbers, each written out."""
    root = folder("cvat-video")
    names, images, tracks = ["sella", "nasion", "gonion"], {}, []
    for number in range(3):
        save(picture(number), root / f"images/frame_{number:06}.PNG")
        marks = [position(number, k) for k in range(3)]
        images[f"frame_{number:06}.png"] = entry(None, [0.1, 0.1], [None if (number, k) == (1, 1) else marks[k] for k in range(3)])

    def points(number, k, label=""):
        x, y = position(number, k)
        outside = int((number, k) == (1, 1))
        return (f'<points {label}frame="{number}" keyframe="{int(number != 1)}" outside="{outside}" occluded="0" '
                f'points="{x + 0.5:.2f},{y + 0.5:.2f}" z_order="0">\n      </points>')

    for k, name in enumerate(names[:2]):
        shapes = "\n    ".join(points(number, k) for number in range(3))
        tracks.append(f'  <track id="{k}" label="{name}" source="manual">\n    {shapes}\n  </track>')
    label = 'label="gonion" '
    shapes = "\n".join(f'    <skeleton frame="{number}" keyframe="1" z_order="0">{points(number, 2, label)}</skeleton>'
                       for number in range(3))
    tracks.append(f'  <track id="2" label="jaw" source="manual">\n{shapes}\n  </track>')
    tracks.append('  <track id="3" label="head"><box frame="0" keyframe="1" outside="0" occluded="0" xtl="1" ytl="1" xbr="9" ybr="9"/></track>')
    put(root / "annotations.xml", '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n'
        f"  <meta><task><size>3</size><mode>interpolation</mode><original_size><width>{WIDTH}</width><height>{HEIGHT}</height>"
        "</original_size></task></meta>\n" + "\n".join(tracks) + "\n</annotations>\n")
    truth("cvat-video", "cvat-video", "cvat-video", names, images, spacing="0.1")


def coco_of_datumaro():
    """As CVAT exports a skeleton and one more label: its own numbers from the image's corner, a folder a subset."""
    root = folder("coco-datumaro")
    names, images = ["S", "N", "G"], {}
    for subset, numbers in [("train", [1, 2]), ("val", [1])]:
        file = {"licenses": [{"name": "", "id": 0, "url": ""}],
                "info": {"contributor": "", "date_created": "", "description": "", "url": "", "version": "", "year": ""},
                "categories": [{"id": 1, "name": "ruler", "supercategory": "", "keypoints": [], "skeleton": []},
                               {"id": 2, "name": "ceph", "supercategory": "", "keypoints": names, "skeleton": [[1, 2]]}],
                "images": [], "annotations": [{"id": 9, "image_id": 1, "category_id": 1, "segmentation": [], "area": 4.0,
                                               "bbox": [1.0, 1.0, 2.0, 2.0], "iscrowd": 0}]}
        for number in numbers:
            seed = number + (3 if subset == "val" else 0)
            save(picture(seed), root / f"images/{subset}/{number}.png")
            marks = [None if (seed, k) == (2, 1) else position(seed, k) for k in range(3)]
            # What is outside keeps a position, with visibility 0.
            flat = [v for m in marks for v in ((m[0] + 0.5, m[1] + 0.5, 2) if m else (7.0, 7.0, 0))]
            file["images"].append({"id": number, "width": WIDTH, "height": HEIGHT, "file_name": f"{number}.png",
                                   "license": 0, "flickr_url": "", "coco_url": "", "date_captured": 0})
            file["annotations"].append({"id": number, "image_id": number, "category_id": 2, "segmentation": [], "area": 1.0,
                                        "bbox": [1.0, 1.0, 9.0, 9.0], "iscrowd": 0, "keypoints": flat,
                                        "num_keypoints": sum(m is not None for m in marks),
                                        "attributes": {"occluded": False, "keyframe": False}})
            images[f"{subset}/{number}.png"] = entry(subset, [0.1, 0.1], marks)
        put(root / f"annotations/person_keypoints_{subset}.json", json.dumps(file))
    truth("coco-datumaro", "coco-datumaro", "coco-datumaro", names, images, spacing="0.1")


def label_studio():
    """Per cent of the size; the second image's annotations are an early one, the last and a cancelled one."""
    for kind in ["label-studio", "label-studio-min"]:
        root = folder(kind)
        tasks, images = [], {}
        for number in range(3):
            # One file lies beside the export as it was uploaded, the others as they were called before.
            name = f"1f2e3d4c-ceph {number}.png" if number == 2 else f"ceph {number}.png"
            save(picture(number), root / name)
            marks = [position(number, k) for k in range(2 if number == 1 else 3)]

            def regions(marks):
                return [{"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0, "id": f"r{k}",
                         "from_name": "kp", "to_name": "img", "type": "keypointlabels", "origin": "manual",
                         "value": {"x": (x + 0.5) / WIDTH * 100, "y": (y + 0.5) / HEIGHT * 100, "width": 0.4,
                                   "keypointlabels": ["SNG"[k]]}} for k, (x, y) in enumerate(marks)]

            box = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0, "id": "b", "from_name": "box",
                   "to_name": "img", "type": "rectanglelabels",
                   "value": {"x": 1, "y": 1, "width": 9, "height": 9, "rotation": 0, "rectanglelabels": ["head"]}}
            last = {"id": 10 + number, "completed_by": 1, "result": regions(marks) + [box], "was_cancelled": False,
                    "ground_truth": False}
            early = {**last, "id": 1, "result": regions([(1.0, 1.0)])}
            task = {"id": number, "data": {"img": f"/data/upload/1/1f2e3d4c-ceph%20{number}.png", "note": "fine"},
                    "annotations": [early, last, {**early, "was_cancelled": True}] if number == 1 else [last],
                    "predictions": [], "file_upload": f"1f2e3d4c-ceph {number}.png", "project": 1}
            if kind == "label-studio-min":
                points = [{**r["value"], "original_width": WIDTH, "original_height": HEIGHT} for r in last["result"][:-1]]
                task = {"img": task["data"]["img"], "id": number, "kp": points, "annotator": 1, "annotation_id": 10 + number,
                        "created_at": "2025-01-01", "updated_at": "2025-01-01", "lead_time": 1.5}
            tasks.append(task)
            images[name] = entry(None, [0.1, 0.1], (marks + [None])[:3])
        put(root / "project-1.json", json.dumps(tasks))
        truth(kind, kind, kind, ["S", "N", "G"], images, spacing="0.1")


def datumaro():
    root = folder("datumaro")
    labels = ["jaw", "jaw_G", "S", "N", "head"]
    images = {}
    for subset, numbers in [("train", [1, 2]), ("val", [3])]:
        items = []
        for number in numbers:
            save(picture(number), root / f"images/{subset}/{number}.png")
            marks = [None if (number, k) == (2, 0) else position(number, k) for k in range(3)]

            def points(k, label):
                x, y = position(number, k)
                return {"id": k, "type": "points", "attributes": {}, "group": 0, "label_id": label,
                        "points": [x + 0.5, y + 0.5], "z_order": 0, "visibility": [2 if marks[k] else 0]}

            items.append({"id": str(number), "annotations": [
                points(0, 2), points(1, 3),
                {"id": 7, "type": "skeleton", "attributes": {}, "group": 0, "label_id": 0, "elements": [points(2, 1)]},
                {"id": 8, "type": "bbox", "attributes": {}, "group": 0, "label_id": 4, "z_order": 0,
                 "bbox": [1.0, 1.0, 9.0, 9.0]}],
                "attr": {"frame": number}, "image": {"path": f"{number}.png", "size": [HEIGHT, WIDTH]}})
            images[f"{subset}/{number}.png"] = entry(subset, [0.1, 0.1], marks)
        put(root / f"annotations/{subset}.json", json.dumps({
            "dm_format_version": "1.0", "media_type": 2, "infos": {},
            "categories": {"label": {"labels": [{"name": name, "parent": "", "attributes": []} for name in labels],
                                     "attributes": []}},
            "items": items}))
    truth("datumaro", "datumaro", "datumaro", ["S", "N", "jaw_G"], images, spacing="0.1")


def yolo_pose():
    root = folder("yolo-pose")
    names, images = ["S", "N", "G"], {}
    for subset, numbers in [("train", [1, 2]), ("val", [3])]:
        for number in numbers:
            save(picture(number), root / f"images/{subset}/{number}.png")
            marks = [None if (number, k) == (2, 1) else position(number, k) for k in range(3)]
            flat = [f"{(m[0] + 0.5) / WIDTH:.6f} {(m[1] + 0.5) / HEIGHT:.6f} 2" if m else "0 0 0" for m in marks]
            put(root / f"labels/{subset}/{number}.txt", "0 0.5 0.5 0.9 0.9 " + " ".join(flat) + "\n")
            images[f"{subset}/{number}.png"] = entry(subset, [0.1, 0.1], marks)
    put(root / "data.yaml", """# as docs.ultralytics.com/datasets/pose shows it
path: /home/anna/datasets/yolo-pose # dataset root dir
train: images/train
val: images/val
test: # test images (optional)

kpt_shape: [3, 3] # number of keypoints, x, y and visibility
flip_idx: [0, 1, 2]
names:
  0: ceph
kpt_names:
  0:
    - S
    - N
    - G
""")
    truth("yolo-pose", "yolo-pose", "yolo-pose", names, images, spacing="0.1")


def via():
    """A project, and the same as CSV."""
    for kind in ["via", "via-csv"]:
        root = folder(kind)
        images, metadata = {}, {}
        rows = ["filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes"]
        for number in range(3):
            save(picture(number), root / f"{number}.png")
            marks = [whole(number, k) for k in range(2 if number == 1 else 3)]
            regions = [{"shape_attributes": {"name": "point", "cx": x, "cy": y},
                        "region_attributes": {"landmark": "SNG"[k], "side": "left"}} for k, (x, y) in enumerate(marks)]
            regions.append({"shape_attributes": {"name": "rect", "x": 1, "y": 1, "width": 9, "height": 9},
                            "region_attributes": {}})
            metadata[f"{number}.png99"] = {"filename": f"{number}.png", "size": 99, "regions": regions,
                                           "file_attributes": {}}
            for index, region in enumerate(regions):
                cells = [json.dumps(region[key]).replace('"', '""') for key in ["shape_attributes", "region_attributes"]]
                rows.append(f'{number}.png,99,"{{}}",{len(regions)},{index},"{cells[0]}","{cells[1]}"')
            images[f"{number}.png"] = entry(None, [0.1, 0.1], (marks + [None])[:3])
        if kind == "via":
            put(root / "via_project.json", json.dumps({
                "_via_settings": {"core": {"default_filepath": ""}}, "_via_img_metadata": metadata,
                "_via_attributes": {"region": {}, "file": {}}, "_via_data_format_version": "2.0.10",
                "_via_image_id_list": list(metadata)}))
        else:
            put(root / "via_export_csv.csv", "\n".join(rows) + "\n")
        truth(kind, kind, kind, ["S", "N", "G"], images, spacing="0.1")


def estimators():
    """OpenPose's and MMPose's files, one an image."""
    body = """Nose Neck RShoulder RElbow RWrist LShoulder LElbow LWrist RHip RKnee RAnkle LHip LKnee LAnkle Chest""".split()
    body[0] = "Head"
    root, images = folder("openpose"), {}
    for number in range(3):
        save(picture(number), root / f"{number}.png")
        marks = [None if k == 3 else position(number, k) for k in range(15)]
        flat = [v for m in marks for v in ((*m, 0.75) if m else (0, 0, 0))]
        put(root / f"json/{number}_keypoints.json", json.dumps({"version": 1.3, "people": [
            {"person_id": [-1], "pose_keypoints_2d": flat, "face_keypoints_2d": [], "hand_left_keypoints_2d": [],
             "hand_right_keypoints_2d": [], "pose_keypoints_3d": []}]}))
        images[f"{number}.png"] = entry(None, [0.1, 0.1], [m for k, m in enumerate(marks) if k != 3])
    truth("openpose", "openpose", "openpose", [name for k, name in enumerate(body) if k != 3], images, spacing="0.1")

    root, images = folder("mmpose"), {}
    names = ["S", "N", "G"]
    for number in range(3):
        save(picture(number), root / f"{number}.png")
        marks = [position(number, k) for k in range(3)]
        put(root / f"{number}.json", json.dumps({
            "meta_info": {"dataset_name": "ceph", "num_keypoints": 3,
                          "keypoint_id2name": {str(k): name for k, name in enumerate(names)},
                          "keypoint_name2id": {name: k for k, name in enumerate(names)}},
            "instance_info": [{"keypoints": marks, "keypoint_scores": [0.9, 0.8, 0.7], "bbox": [[1, 1, 9, 9]],
                               "bbox_score": 1.0}]}))
        images[f"{number}.png"] = entry(None, [0.1, 0.1], marks)
    truth("mmpose", "mmpose", "mmpose", names, images, spacing="0.1")


def dicom(array, path, photometric="MONOCHROME2", syntax=pydicom.uid.ExplicitVRLittleEndian, bits=None, spacing=None,
          patient=None, fragments=None, **more):
    meta = pydicom.dataset.FileMetaDataset()
    meta.MediaStorageSOPClassUID = pydicom.uid.DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    meta.TransferSyntaxUID = syntax
    data = pydicom.dataset.FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID, data.Modality = meta.MediaStorageSOPClassUID, "1.2.3.4", "DX"
    # Elements of the same names in a sequence are about another image.
    item = pydicom.dataset.Dataset()
    item.Rows, item.PixelSpacing = 1, [9, 9]
    data.SourceImageSequence = [item]
    data.Rows, data.Columns = array.shape[:2]
    data.SamplesPerPixel = 1 if array.ndim == 2 else 3
    if array.ndim == 3:
        data.PlanarConfiguration = 0
    data.PhotometricInterpretation = photometric
    data.BitsAllocated = array.dtype.itemsize * 8
    data.BitsStored = bits or data.BitsAllocated
    data.HighBit = data.BitsStored - 1
    data.PixelRepresentation = int(array.dtype.kind == "i")
    if spacing:
        data.PixelSpacing = spacing
    if patient:
        data.PatientID = patient
    for key, value in more.items():
        setattr(data, key, value)
    if fragments is not None:
        data.PixelData = pydicom.encaps.encapsulate([fragments])
        data["PixelData"].is_undefined_length = True
    elif syntax == pydicom.uid.ExplicitVRBigEndian:
        data.PixelData = array.astype(array.dtype.newbyteorder(">")).tobytes()
    else:
        data.PixelData = array.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    if syntax == pydicom.uid.ExplicitVRBigEndian:
        pydicom.dcmwrite(path, data, little_endian=False, implicit_vr=False, enforce_file_format=True)
    else:
        data.save_as(path, enforce_file_format=True)


def tables():
    # A row per image: 16-bit TIFF, semicolons and decimal commas, splits and patients from columns.
    root = folder("csv")
    lines, images = ["Image;Patient;Split;spacing_x_mm;spacing_y_mm;sella_x;sella_y;lip x;lip y;remark"], {}
    for number, split in enumerate(["train", "Training", "validation", "test"]):
        (root / "radiographs").mkdir(exist_ok=True)
        tifffile.imwrite(root / f"radiographs/{number}.tif", picture(number).astype(np.uint16) * 16, compression="zlib")
        marks = [position(number, 0), None if number == 1 else position(number, 1)]
        cells = ";".join("NaN;" if m is None else f"{m[0]};{m[1]}".replace(".", ",") for m in marks)
        lines.append(f"{number}.tif;anna {number // 2};{split};0,125;0,25;{cells};fine")
        words = {"Training": "train", "validation": "val"}
        images[f"{number}.png"] = entry(words.get(split, split), [0.125, 0.25], marks, f"anna {number // 2}")
    put(root / "marks.csv", "\ufeff" + "\r\n".join(lines) + "\r\n")
    truth("csv", "csv", "csv", ["sella", "lip"], images)

    # A row per landmark: DICOM, which tells spacing and patient.
    root = folder("csv-long")
    lines, images = ["image,landmark,x,y"], {}
    for number in range(4):
        dicom(picture(number), root / f"{number}.dcm", spacing=[0.25, 0.125], patient="anna" if number < 2 else None)
        marks = [position(number, 0), None if number == 1 else position(number, 1)]
        lines += [f"{number}.dcm,{name},{m[0]},{m[1]}" for name, m in zip(["sella", "lip"], marks) if m]
        images[f"{number}.png"] = entry(None, [0.125, 0.25], marks, "hashed" if number < 2 else None)
    put(root / "marks.csv", "\n".join(lines) + "\n")
    truth("csv-long", "csv-long", "csv-long", ["sella", "lip"], images)


def single_images():
    root = folder("images")
    grey = picture(1, 12, 10)
    deep = grey.astype(np.uint16) * 16
    expected = {}

    def expect(name, values, spacing=None):
        values = np.asarray(values)
        expected[name] = {"width": values.shape[1], "height": values.shape[0], "spacing": spacing,
                          "grey": values.astype(int).ravel().tolist()}

    to8 = lambda values, bits: np.floor(values.astype(float) * 255 / (2**bits - 1) + 0.5)
    for name, more in [("plain", {}), ("deflate", {"compression": "zlib"}), ("tiled", {"tile": (16, 16)}),
                       ("strips", {"rowsperstrip": 3}), ("big-endian", {"byteorder": ">"})]:
        tifffile.imwrite(root / f"{name}.tif", grey, **more)
        expect(f"{name}.tif", grey)
    for name in ["lzw", "packbits"]:
        Image.fromarray(grey).save(root / f"{name}.tif", compression=f"tiff_{name}" if name == "lzw" else name)
        expect(f"{name}.tif", grey)
    tifffile.imwrite(root / "deep.tiff", deep, compression="zlib", predictor=2)
    expect("deep.tiff", to8(deep, 12))
    tifffile.imwrite(root / "inverted.tif", 255 - grey, photometric="miniswhite")
    expect("inverted.tif", grey)
    tifffile.imwrite(root / "colour.tif", np.repeat(grey[:, :, None], 3, axis=2), photometric="rgb")
    expect("colour.tif", grey)
    Image.fromarray(deep).save(root / "deep.png")
    expect("deep.png", to8(deep, 12))
    Image.fromarray(grey).save(root / "grey.bmp")
    expect("grey.bmp", grey)

    for name, array, more in [("plain", grey, {}), ("compressed", grey, {"useCompression": True})]:
        image = sitk.GetImageFromArray(array)
        image.SetSpacing((0.5, 0.25))
        sitk.WriteImage(image, str(root / f"{name}.mha"), **more)
        expect(f"{name}.mha", grey, [0.5, 0.25])
    sitk.WriteImage(sitk.GetImageFromArray(deep), str(root / "deep.mha"))
    expect("deep.mha", to8(deep, 12))
    for name, kind in [("short", np.int16), ("float", np.float32)]:
        values = grey.astype(kind) - 100
        sitk.WriteImage(sitk.GetImageFromArray(values), str(root / f"{name}.mha"))
        span = float(values.max()) - float(values.min())
        expect(f"{name}.mha", np.floor((values.astype(float) - values.min()) / span * 255 + 0.5))
    sitk.WriteImage(sitk.GetImageFromArray(grey[None]), str(root / "slice.mha"))
    expect("slice.mha", grey)

    uid = pydicom.uid
    for name, syntax in [("explicit", uid.ExplicitVRLittleEndian), ("implicit", uid.ImplicitVRLittleEndian),
                         ("big-endian", uid.ExplicitVRBigEndian)]:
        dicom(deep, root / f"{name}.dcm", bits=12, syntax=syntax, spacing=[0.25, 0.5])
        expect(f"{name}.dcm", to8(deep, 12), [0.5, 0.25])
    dicom(4095 - deep, root / "monochrome1.dcm", "MONOCHROME1", bits=12, ImagerPixelSpacing=[0.2, 0.1])
    expect("monochrome1.dcm", 255 - to8(4095 - deep, 12), [0.1, 0.2])
    signed = deep.astype(np.int16) - 1000
    dicom(signed, root / "window.dcm", bits=16, WindowCenter=["1000", "40"], WindowWidth=["2000", "400"],
          RescaleSlope="1", RescaleIntercept="1000", RescaleType="US")
    low, high = 1000 - 0.5 - 999.5, 1000 - 0.5 + 999.5
    expect("window.dcm", np.floor(((deep - low) / (high - low)).clip(0, 1) * 255 + 0.5))
    dicom(np.repeat(grey[:, :, None], 3, axis=2), root / "rgb.dcm", "RGB")
    expect("rgb.dcm", grey)
    for name, array, bits in [("rle", grey, 8), ("rle-deep", deep, 12)]:
        dicom(array, root / f"{name}.dcm", bits=bits)
        data = pydicom.dcmread(root / f"{name}.dcm")
        data.compress(uid.RLELossless)
        data.save_as(root / f"{name}.dcm")
        expect(f"{name}.dcm", to8(array, bits))
    jpeg = ROOT / "jpeg.jpg"
    Image.fromarray(grey).save(jpeg, quality=95)
    expect("jpeg.dcm", np.asarray(Image.open(jpeg)))
    dicom(grey, root / "jpeg.dcm", syntax=uid.JPEGBaseline8Bit, fragments=jpeg.read_bytes())
    jpeg.unlink()
    (root / "expected.json").write_text(json.dumps(expected))


def main():
    shutil.rmtree(ROOT, ignore_errors=True)
    for make in [isbi, payer, cl_detection, aariz, coco, labelme, cvat, cvat_video, coco_of_datumaro, label_studio, datumaro,
                 yolo_pose, via, estimators, tables, single_images]:
        make()
    put(ROOT / "truth.json", json.dumps(TRUTH, indent=1) + "\n")
    # Imported here, since it imports this module.
    import formats_fixtures_tables
    formats_fixtures_tables.main()
    size = sum(path.stat().st_size for path in ROOT.rglob("*") if path.is_file())
    print(f"{size / 1024:.0f} KiB in {ROOT}")


if __name__ == "__main__":
    main()
