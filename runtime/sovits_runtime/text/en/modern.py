"""Words that are younger than the dictionary, or missing from it, and that its parts would misread."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

MODERN_WORDS: Final[Mapping[str, str]] = {
    "covid": "K OW1 V IH0 D", "fomo": "F OW1 M OW0", "yolo": "Y OW1 L OW0", "gif": "G IH1 F", "gifs": "G IH1 F S",
    "gui": "G UW1 IY0", "jpeg": "JH EY1 P EH2 G", "mpeg": "EH1 M P EH2 G", "fifa": "F IY1 F AH0",
    "uefa": "Y UW0 EY1 F AH0",
    "yaml": "Y AE1 M AH0 L", "toml": "T AA1 M AH0 L", "cuda": "K UW1 D AH0", "captcha": "K AE1 P CH AH0",
    "asus": "EY1 S UW0 S", "nvidia": "EH0 N V IH1 D IY0 AH0", "saas": "S AE1 S", "lidar": "L AY1 D AA2 R",
    "fortran": "F AO1 R T R AE2 N", "norad": "N AO1 R AE2 D", "potus": "P OW1 T AH0 S", "scotus": "S K OW1 T AH0 S",
    "moma": "M OW1 M AH0", "hipaa": "HH IH1 P AH0", "ebitda": "IY1 B IH0 D AA2", "brexit": "B R EH1 K S IH0 T",
    "emoji": "IH0 M OW1 JH IY0", "emojis": "IH0 M OW1 JH IY0 Z", "vlog": "V L AO1 G", "onnx": "AA1 N IH0 K S",
    "pytorch": "P AY1 T AO2 R CH", "numpy": "N AH1 M P AY0", "scipy": "S AY1 P AY0", "pypi": "P AY1 P IY0 AY1",
    "tiktok": "T IH1 K T AA2 K", "linux": "L IH1 N AH0 K S", "ubuntu": "UH0 B UH1 N T UW0",
    "nginx": "EH1 N JH IH0 N EH1 K S",
    "kilobit": "K IH1 L AH0 B IH2 T", "kilobits": "K IH1 L AH0 B IH2 T S", "megabit": "M EH1 G AH0 B IH2 T",
    "megabits": "M EH1 G AH0 B IH2 T S", "gigabit": "G IH1 G AH0 B IH2 T", "gigabits": "G IH1 G AH0 B IH2 T S",
    "terabyte": "T EH1 R AH0 B AY2 T", "terabytes": "T EH1 R AH0 B AY2 T S", "kilohertz": "K IH1 L AH0 HH ER2 T S",
    "gigahertz": "G IH1 G AH0 HH ER2 T S", "terahertz": "T EH1 R AH0 HH ER2 T S", "milliamp": "M IH1 L IY0 AE2 M P",
    "milliamps": "M IH1 L IY0 AE2 M P S", "megapixel": "M EH1 G AH0 P IH2 K S AH0 L", "yuan": "Y UW0 AA1 N",
    "megapixels": "M EH1 G AH0 P IH2 K S AH0 L Z", "kilopascal": "K IH1 L AH0 P AE0 S K AE2 L",
    "bitcoin": "B IH1 T K OY2 N",
    "bitcoins": "B IH1 T K OY2 N Z", "selfie": "S EH1 L F IY0", "selfies": "S EH1 L F IY0 Z",
    "rupees": "R UW1 P IY0 Z",
    "toefl": "T OW1 F AH0 L", "ielts": "AY1 EH0 L T S",
    "kubernetes": "K UW2 B ER0 N EH1 T IY0 Z", "reais": "R EY0 AY1 S", "hryvnia": "HH R IH1 V N IY0 AH0",
}  # fmt: skip
