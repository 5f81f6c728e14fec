"""Units of measurement in Korean words."""

from __future__ import annotations

from typing import Final

_METRIC: Final = {"m": "미터", "g": "그램", "l": "리터", "L": "리터", "ℓ": "리터"}
_PREFIXES: Final = {
    "k": "킬로",
    "c": "센티",
    "m": "밀리",
    "μ": "마이크로",
    "µ": "마이크로",
    "n": "나노",
    "d": "데시",
}
_BYTES: Final = {"K": "킬로", "M": "메가", "G": "기가", "T": "테라", "P": "페타"}
UNITS: Final = {
    **{prefix + unit: word + _METRIC[unit] for prefix, word in _PREFIXES.items() for unit in _METRIC},
    **_METRIC,
    **{prefix + "B": word + "바이트" for prefix, word in _BYTES.items()},
    **{prefix + "b": word + "바이트" for prefix, word in _BYTES.items()},
    **{prefix + "bps": word + "비피에스" for prefix, word in _BYTES.items()},
    "kB": "킬로바이트", "kb": "킬로바이트", "mb": "메가바이트", "gb": "기가바이트", "tb": "테라바이트",
    "Hz": "헤르츠", "kHz": "킬로헤르츠", "KHz": "킬로헤르츠", "MHz": "메가헤르츠", "GHz": "기가헤르츠",
    "W": "와트", "kW": "킬로와트", "KW": "킬로와트", "MW": "메가와트", "GW": "기가와트", "Wh": "와트시",
    "kWh": "킬로와트시",
    "KWh": "킬로와트시", "V": "볼트", "kV": "킬로볼트", "mV": "밀리볼트", "mA": "밀리암페어",
    "mAh": "밀리암페어시", "Ah": "암페어시",
    "dB": "데시벨", "db": "데시벨", "cal": "칼로리", "kcal": "킬로칼로리", "Kcal": "킬로칼로리", "J": "줄",
    "kJ": "킬로줄",
    "N": "뉴턴", "Pa": "파스칼", "hPa": "헥토파스칼", "kPa": "킬로파스칼", "MPa": "메가파스칼", "ppm": "피피엠",
    "rpm": "알피엠",
    "fps": "에프피에스", "FPS": "에프피에스", "dpi": "디피아이", "px": "픽셀", "ha": "헥타르", "cc": "시시",
    "CC": "시시", "t": "톤",
    "KG": "킬로그램", "Kg": "킬로그램", "KM": "킬로미터", "Km": "킬로미터", "CM": "센티미터", "MM": "밀리미터",
    "ML": "밀리리터",
    "ms": "밀리초", "mm²": "제곱밀리미터", "m2": "제곱미터", "km2": "제곱킬로미터", "cm2": "제곱센티미터",
    "m3": "세제곱미터",
    "cm3": "세제곱센티미터", "ft": "피트", "oz": "온스", "lb": "파운드", "lbs": "파운드", "mph": "마일",
    "인치": "인치", "sec": "초",
    "min": "분", "Ω": "옴", "Å": "옹스트롬", "lx": "럭스", "lm": "루멘", "mol": "몰", "mi": "마일",
    "yd": "야드", "평": "평",
}  # fmt: skip
SPEEDS: Final = {
    "km/h": ("시속 ", "킬로미터"), "km/s": ("초속 ", "킬로미터"), "m/s": ("초속 ", "미터"),
    "kph": ("시속 ", "킬로미터"),
    "mph": ("시속 ", "마일"), "m/min": ("분속 ", "미터"), "km/hr": ("시속 ", "킬로미터"), "m/h": ("시속 ", "미터"),
}  # fmt: skip
