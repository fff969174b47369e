"""Families of networks in timm's published results: the same architecture and training recipe in several sizes.

A family is one pattern of architecture names and one recipe (timm's tag). Its members are evaluated at one image size,
the smallest that most of them have, or each at its own where the sizes grow together (compound scaling). Families of
four sizes or more are used. One was left out, MobileNetV3: its small, large and minimal networks are three designs, and
no form of error over compute goes through them (forecast from three, the largest comes out almost ten points too high).
"""

import csv
import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import NamedTuple

FEWEST = 4

# name -> pattern of timm's architecture names
FAMILIES = {
    "RegNetX": r"regnetx_\d+(_tv)?",
    "RegNetY": r"regnety_\d+(_tv)?",
    "RegNetZ": r"regnetz_\w+",
    "EfficientNet": r"(tf_)?efficientnet_b\d",
    "EfficientNetV2": r"tf_efficientnetv2_(b\d|s|m|l|xl)",
    "EfficientNet-Lite": r"tf_efficientnet_lite\d",
    "ResNet": r"resnet(18|34|50|101|152|200)",
    "ResNet-D": r"resnet(18|34|50|101|152|200)d",
    "ResNet-RS": r"resnetrs\d+",
    "ResNeXt": r"resnext101_32x\d+d|resnext50_32x4d",
    "SE-ResNet": r"legacy_seresnet\d+",
    "ResNeSt": r"resnest\d+[de]",
    "Res2Net": r"res2net50_26w_\ds",
    "DenseNet": r"densenet(121|161|169|201)",
    "VGG": r"vgg\d+",
    "VGG-BN": r"vgg\d+_bn",
    "ConvNeXt": r"convnext_(atto|femto|pico|nano|tiny|small|base|large|xlarge)",
    "ConvNeXtV2": r"convnextv2_\w+",
    "HGNetV2": r"hgnetv2_b\d",
    "NFNet": r"dm_nfnet_f\d",
    "HRNet": r"hrnet_w\d+",
    "DPN": r"dpn\d+",
    "DLA": r"dla\d+",
    "RepVGG": r"repvgg_[ab]\d",
    "RepGhostNet": r"repghostnet_\d+",
    "GhostNetV2": r"ghostnetv2_\d+",
    "MobileNetV2": r"mobilenetv2_\d+",
    "MobileViTV2": r"mobilevitv2_\d+",
    "MobileOne": r"mobileone_s\d",
    "FastViT": r"fastvit_\w+",
    "EfficientViT-B": r"efficientvit_b\d",
    "EfficientViT-L": r"efficientvit_l\d",
    "EfficientViT-M": r"efficientvit_m\d",
    "ReXNet": r"rexnet_\d+",
    "TinyNet": r"tinynet_\w",
    "HardCoRe-NAS": r"hardcorenas_\w",
    "PVTv2": r"pvt_v2_b\d",
    "PoolFormer": r"poolformer_[sm]\d+",
    "PoolFormerV2": r"poolformerv2_[sm]\d+",
    "GC ViT": r"gcvit_\w+",
    "XCiT, patch 16": r"xcit_\w+_p16_224",
    "XCiT, patch 8": r"xcit_\w+_p8_224",
    "DeiT III": r"deit3_\w+_224",
    "VOLO": r"volo_d\d_224",
    "Swin": r"swin_\w+_window7_224",
    "MaxViT": r"maxvit_\w+_tf_224",
    "CaiT": r"cait_\w+_224",
    "LeViT": r"levit_\d+\w?",
    "Hiera": r"hiera_\w+",
    "CAFormer": r"caformer_\w+",
    "ConvFormer": r"convformer_\w+",
    "PiT": r"pit_(ti|xs|s|b)_224",
    "CrossViT": r"crossvit_(9|15|18)_240",
    "ResMLP": r"resmlp_\w+",
    "MViTv2": r"mvitv2_\w+",
    "TResNet": r"tresnet_\w",
    "RepViT": r"repvit_m\d_\d",
    "EfficientFormerV2": r"efficientformerv2_\w+",
    "CoaT-Lite": r"coat_lite_(tiny|mini|small|medium)",
}
COMPOUND = {"EfficientNet", "EfficientNetV2", "EfficientNet-Lite", "ResNet-RS", "NFNet", "TinyNet"}


class Member(NamedTuple):
    """One network of a family."""

    model: str
    gmac: float  # of a forward pass of one image, in 1e9 multiply-adds: what is scaled
    error: float  # top-1 on ImageNet's validation set, a fraction


class _Result(NamedTuple):
    model: str
    recipe: str
    size: int  # pixels
    gmac: float
    error: float


def families(folder: Path) -> dict[str, list[Member]]:
    """Families in timm's tables, their members by size; "name, recipe" -> members."""
    found = {}
    for name, pattern in FAMILIES.items():
        recipes: dict[str, list[_Result]] = defaultdict(list)
        for result in _results(folder):
            if re.fullmatch(pattern, result.model):
                recipes[result.recipe].append(result)
        for recipe, results in recipes.items():
            members = _members(name, results)
            if len({member.gmac for member in members}) >= FEWEST:
                found[f"{name}, {recipe}"] = members
    return found


def _members(name: str, results: list[_Result]) -> list[Member]:
    if name in COMPOUND:  # each at its own image size: the largest it was evaluated at
        chosen = {result.model: result for result in sorted(results, key=lambda result: result.size)}.values()
    else:
        sizes = Counter(result.size for result in results)
        most = max(sizes.values())
        common = min(size for size, count in sizes.items() if count == most)
        chosen = [result for result in results if result.size == common]
    return sorted((Member(r.model, r.gmac, r.error) for r in chosen), key=lambda member: member.gmac)


def _results(folder: Path) -> list[_Result]:
    """Errors joined with multiply-adds on (model, image size), since names repeat."""
    gmac = {}
    for name in (
        "benchmark-infer-amp-nchw-pt240-cu124-rtx4090.csv",
        "benchmark-infer-fp32-nchw-pt240-cpu-i9_10940x-dynamo.csv",
    ):
        for row in _rows(folder / name):
            if row["infer_gmacs"]:
                gmac.setdefault((row["model"], int(row["infer_img_size"])), _number(row["infer_gmacs"]))
    found = []
    for row in _rows(folder / "results-imagenet.csv"):
        model, _, recipe = row["model"].partition(".")
        size = int(row["img_size"])
        if (model, size) in gmac:
            found.append(_Result(model, recipe, size, gmac[model, size], _number(row["top1_err"]) / 100))
    return found


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _number(cell: str) -> float:
    return float(cell.replace(",", ""))
