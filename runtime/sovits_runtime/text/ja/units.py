"""Units of measurement in Japanese words."""

from __future__ import annotations

from typing import Final

_METRIC: Final = {"m": "メートル", "g": "グラム", "l": "リットル", "L": "リットル", "ℓ": "リットル"}
_PREFIXES: Final = {"k": "キロ", "c": "センチ", "m": "ミリ", "μ": "マイクロ", "n": "ナノ", "d": "デシ"}
_BYTES: Final = {"K": "キロ", "M": "メガ", "G": "ギガ", "T": "テラ", "P": "ペタ"}
UNITS: Final = {
    **{prefix + unit: word + _METRIC[unit] for prefix, word in _PREFIXES.items() for unit in _METRIC},
    **_METRIC,
    **{prefix + "B": word + "バイト" for prefix, word in _BYTES.items()},
    **{prefix + "b": word + "バイト" for prefix, word in _BYTES.items()},
    **{prefix + "bps": word + "ビーピーエス" for prefix, word in _BYTES.items()},
    "kB": "キロバイト", "kb": "キロバイト", "mb": "メガバイト", "gb": "ギガバイト", "tb": "テラバイト",
    "Hz": "ヘルツ", "kHz": "キロヘルツ", "KHz": "キロヘルツ", "MHz": "メガヘルツ", "GHz": "ギガヘルツ",
    "W": "ワット", "kW": "キロワット", "KW": "キロワット", "MW": "メガワット", "GW": "ギガワット", "Wh": "ワットアワー",
    "kWh": "キロワットアワー", "V": "ボルト", "kV": "キロボルト", "mV": "ミリボルト", "mA": "ミリアンペア",
    "mAh": "ミリアンペアアワー", "Ah": "アンペアアワー", "dB": "デシベル", "cal": "カロリー",
    "kcal": "キロカロリー", "Kcal": "キロカロリー",
    "J": "ジュール", "kJ": "キロジュール", "Pa": "パスカル", "hPa": "ヘクトパスカル", "kPa": "キロパスカル",
    "MPa": "メガパスカル",
    "ppm": "ピーピーエム", "rpm": "アールピーエム", "fps": "エフピーエス", "dpi": "ディーピーアイ",
    "px": "ピクセル", "ha": "ヘクタール",
    "cc": "シーシー", "CC": "シーシー", "t": "トン", "KG": "キログラム", "Kg": "キログラム",
    "KM": "キロメートル", "Km": "キロメートル",
    "CM": "センチメートル", "MM": "ミリメートル", "ML": "ミリリットル", "mL": "ミリリットル", "ms": "ミリ秒",
    "m2": "平方メートル",
    "km2": "平方キロメートル", "cm2": "平方センチメートル", "mm2": "平方ミリメートル", "m3": "立方メートル",
    "cm3": "立方センチメートル",
    "ft": "フィート", "oz": "オンス", "lb": "ポンド", "lbs": "ポンド", "inch": "インチ", "sec": "秒",
    "min": "分", "Ω": "オーム",
    "lx": "ルクス", "lm": "ルーメン", "mol": "モル", "yd": "ヤード", "pt": "ポイント", "hp": "馬力",
    "PS": "馬力", "dl": "デシリットル",
    "m²": "平方メートル", "km²": "平方キロメートル", "m³": "立方メートル",
}  # fmt: skip
SPEEDS: Final = {
    "km/h": "キロメートル", "kph": "キロメートル", "mph": "マイル", "m/h": "メートル", "m/s": "メートル",
    "km/s": "キロメートル",
}  # fmt: skip
