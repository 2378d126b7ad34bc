"""The eight tasks of `mini-vision`: titles, class names, prompt templates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from semerge.data import rendered


@dataclass(frozen=True)
class VisionTask:
    """A task's words; classes in label order."""

    title: str
    about: str
    classes: tuple[str, ...]
    templates: tuple[str, ...]
    real: bool = True
    aliases: Mapping[str, str] = field(default_factory=dict)  # other names of classes -> theirs


def _signs() -> tuple[str, ...]:
    speed = [f"speed limit {v} km/h" for v in (20, 30, 50, 60, 70, 80)]
    return (
        *speed,
        "end of speed limit 80 km/h",
        "speed limit 100 km/h",
        "speed limit 120 km/h",
        "no passing",
        "no passing for trucks",
        "priority at next crossing",
        "priority road",
        "yield",
        "stop",
        "no vehicles",
        "no trucks",
        "no entry",
        "general caution",
        "dangerous curve left",
        "dangerous curve right",
        "double curve",
        "bumpy road",
        "slippery road",
        "road narrows on the right",
        "road work",
        "traffic signals",
        "pedestrians",
        "children crossing",
        "bicycles crossing",
        "ice or snow",
        "wild animals crossing",
        "end of all limits",
        "turn right ahead",
        "turn left ahead",
        "ahead only",
        "go straight or right",
        "go straight or left",
        "keep right",
        "keep left",
        "roundabout mandatory",
        "end of no passing",
        "end of no passing for trucks",
    )


TASKS: dict[str, VisionTask] = {
    "mnist": VisionTask(
        "Handwritten digits",
        "a digit from 0 to 9, written by hand",
        tuple(f"digit {i}" for i in range(10)),
        ("a handwritten {}.", "a scan of the {}.", "{}, written by hand."),
    ),
    "fashion_mnist": VisionTask(
        "Clothing",
        "one garment, shoe or bag on a plain ground",
        (
            "T-shirt/top",
            "trouser",
            "pullover",
            "dress",
            "coat",
            "sandal",
            "shirt",
            "sneaker",
            "bag",
            "ankle boot",
        ),
        ("a product picture of a {}.", "a grey {} on black.", "clothing: {}."),
    ),
    "cifar10": VisionTask(
        "Everyday things",
        "a photo of an animal or a vehicle",
        (
            "airplane",
            "automobile",
            "bird",
            "cat",
            "deer",
            "dog",
            "frog",
            "horse",
            "ship",
            "truck",
        ),
        ("a photo of a {}.", "a small photo of the {}.", "a blurry photo of a {}."),
    ),
    "eurosat": VisionTask(
        "Land from above",
        "a satellite picture of a patch of land",
        (
            "annual crop land",
            "forest",
            "herbaceous vegetation",
            "highway or road",
            "industrial buildings",
            "pasture",
            "permanent crop land",
            "residential buildings",
            "river",
            "sea or lake",
        ),
        ("a satellite photo of {}.", "an aerial view of {}.", "{} from above."),
        aliases={  # as the data set calls its folders
            "AnnualCrop": "annual crop land",
            "Highway": "highway or road",
            "Industrial": "industrial buildings",
            "PermanentCrop": "permanent crop land",
            "Residential": "residential buildings",
            "SeaLake": "sea or lake",
        },
    ),
    "gtsrb": VisionTask(
        "Road signs",
        "a German road sign, 43 kinds",
        _signs(),
        ('a road sign that says "{}".', "a photo of a {} traffic sign.", "traffic sign: {}."),
    ),
    "omniglot_alphabets": VisionTask(
        "Alphabets",
        "one letter; the answer is its alphabet",
        (
            "Balinese",
            "Early Aramaic",
            "Greek",
            "Japanese (katakana)",
            "Korean",
            "Latin",
            "Sanskrit",
            "Tagalog",
        ),
        ("a letter of the {} alphabet.", "a {} character.", "handwriting in {}."),
    ),
    "charts": VisionTask(
        "Charts",
        "a drawn chart",
        tuple(rendered.CLASSES["charts"]),
        ("a {}.", "a picture of a {}.", "data drawn as a {}."),
        real=False,
    ),
    "textures": VisionTask(
        "Textures",
        "a surface with a pattern",
        tuple(rendered.CLASSES["textures"]),
        ("a {} texture.", "a {} surface.", "a {} pattern."),
        real=False,
    ),
}
