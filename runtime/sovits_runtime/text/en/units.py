"""Units of measure, percentages and temperatures."""

from __future__ import annotations

import re
from collections.abc import Mapping
from re import Match
from typing import Final

from sovits_runtime.text.en import say
from sovits_runtime.text.en.dotted import ends_sentence
from sovits_runtime.text.spelling import Kind
from sovits_runtime.text.word_list import word_list

# Name of one; several take an s unless a second name is given behind a bar.
_UNITS: Final[Mapping[str, str]] = {
    "km/h": "kilometer per hour", "kmh": "kilometer per hour", "kph": "kilometer per hour",
    "km/s": "kilometer per second",
    "mph": "mile per hour", "MPH": "mile per hour", "m/s": "meter per second",
    "ft/s": "foot per second|feet per second",
    "mpg": "mile per gallon", "km/l": "kilometer per liter", "mg/dL": "milligram per deciliter",
    "mg/L": "milligram per liter", "g/L": "gram per liter", "mmol/L": "millimole per liter",
    "mg/kg": "milligram per kilogram",
    "kbps": "kilobit per second", "Kbps": "kilobit per second", "kb/s": "kilobit per second",
    "Mbps": "megabit per second",
    "mbps": "megabit per second", "Mb/s": "megabit per second", "Mbit/s": "megabit per second",
    "Gbps": "gigabit per second", "gbps": "gigabit per second", "Gb/s": "gigabit per second", "bps": "bit per second",
    "kB/s": "kilobyte per second", "KB/s": "kilobyte per second", "MB/s": "megabyte per second",
    "GB/s": "gigabyte per second", "TB/s": "terabyte per second", "fps": "frame per second",
    "FPS": "frame per second",
    "rpm": "revolution per minute", "RPM": "revolution per minute", "bpm": "beat per minute",
    "BPM": "beat per minute",
    "dpi": "dot per inch", "DPI": "dot per inch", "ppi": "pixel per inch", "ppm": "part per million",
    "ppb": "part per billion", "psi": "pound per square inch", "PSI": "pound per square inch",
    "km": "kilometer", "m": "meter", "cm": "centimeter", "mm": "millimeter", "dm": "decimeter", "nm": "nanometer",
    "μm": "micrometer", "um": "micrometer", "mi": "mile", "yd": "yard", "yds": "yard", "ft": "foot|feet",
    "in": "inch|inches",
    "nmi": "nautical mile", "ly": "light year", "kg": "kilogram", "kgs": "kilogram", "g": "gram", "gm": "gram",
    "mg": "milligram", "μg": "microgram", "mcg": "microgram", "lb": "pound", "lbs": "pound", "oz": "ounce",
    "fl oz": "fluid ounce", "fl. oz": "fluid ounce", "gal": "gallon", "qt": "quart", "tbsp": "tablespoon",
    "tbs": "tablespoon", "tsp": "teaspoon", "ml": "milliliter", "mL": "milliliter", "cl": "centiliter",
    "dl": "deciliter",
    "dL": "deciliter", "l": "liter", "L": "liter", "cc": "cubic centimeter", "ha": "hectare", "ac": "acre",
    "sq ft": "square foot|square feet", "sq. ft": "square foot|square feet", "sqft": "square foot|square feet",
    "sq m": "square meter", "sqm": "square meter", "sq km": "square kilometer", "sq mi": "square mile",
    "sq in": "square inch|square inches", "cu ft": "cubic foot|cubic feet", "cu. ft": "cubic foot|cubic feet",
    "KB": "kilobyte", "kB": "kilobyte", "MB": "megabyte", "GB": "gigabyte", "TB": "terabyte", "PB": "petabyte",
    "KiB": "kibibyte", "MiB": "mebibyte", "GiB": "gibibyte", "TiB": "tebibyte", "Mb": "megabit", "Gb": "gigabit",
    "kb": "kilobyte", "mb": "megabyte", "gb": "gigabyte", "tb": "terabyte", "px": "pixel", "MP": "megapixel",
    "Hz": "hertz|hertz", "hz": "hertz|hertz", "kHz": "kilohertz|kilohertz", "khz": "kilohertz|kilohertz",
    "KHz": "kilohertz|kilohertz", "MHz": "megahertz|megahertz", "mhz": "megahertz|megahertz",
    "GHz": "gigahertz|gigahertz",
    "ghz": "gigahertz|gigahertz", "THz": "terahertz|terahertz", "W": "watt", "kW": "kilowatt", "MW": "megawatt",
    "GW": "gigawatt", "mW": "milliwatt", "Wh": "watt hour", "kWh": "kilowatt hour", "kwh": "kilowatt hour",
    "MWh": "megawatt hour", "GWh": "gigawatt hour", "TWh": "terawatt hour", "V": "volt", "kV": "kilovolt",
    "mV": "millivolt",
    "mA": "milliamp", "mAh": "milliamp hour", "Ah": "amp hour", "kΩ": "kilo ohm", "Ω": "ohm", "MΩ": "mega ohm",
    "μF": "microfarad", "nF": "nanofarad", "pF": "picofarad", "N": "newton", "kN": "kilonewton", "Nm": "newton meter",
    "J": "joule", "kJ": "kilojoule", "MJ": "megajoule", "kcal": "kilocalorie", "cal": "calorie", "Pa": "pascal",
    "kPa": "kilopascal", "hPa": "hectopascal", "MPa": "megapascal", "mmHg": "millimeter of mercury",
    "mbar": "millibar",
    "atm": "atmosphere", "dB": "decibel", "db": "decibel", "lm": "lumen", "hp": "horsepower|horsepower",
    "HP": "horsepower|horsepower", "mol": "mole", "mmol": "millimole", "eV": "electron volt",
    "keV": "kilo electron volt",
    "MeV": "mega electron volt", "GeV": "giga electron volt", "rad": "radian", "deg": "degree", "pcs": "piece",
    "pc": "piece", "doz": "dozen|dozen", "pct": "percent|percent", "pts": "point", "kt": "knot", "kts": "knot",
}  # fmt: skip
_SQUARED: Final = "km|cm|mm|dm|m|ft|mi|in|yd"
_NEAR: Final = frozenset(
    word_list("m g l L V W N J h in pc rad ac MP hp HP kb mb gb kt mi ha um ly lm Pa pcs N")
)
_INITIALS: Final = frozenset("LWVNJ")
_NAME: Final = "|".join(re.escape(unit) for unit in sorted(_UNITS, key=len, reverse=True) if unit != "in")
_UNIT: Final = re.compile(
    rf"(?<![\w.,/$£€])(?<![A-Za-z]-)(?P<number>{say.NUMBER})(?P<gap>\s?-?\s?)(?P<unit>{_NAME})(?![A-Za-z]"
    rf"|/[A-Za-z]|\^|'|\d)(?P<stop>\.?)"
)
_PART_UNIT: Final = re.compile(
    rf"(?<![\w.,/$£€])(?P<number>(?:(?P<whole>\d{{1,6}})\s)?(?P<top>\d{{1,6}})/(?P<bottom>\d{{1,6}}))\s?-?"
    rf"(?P<unit>{_NAME})"
    r"(?![A-Za-z]|/[A-Za-z]|\^|'|\d)(?P<stop>\.?)"
)
_SQUARE: Final = re.compile(
    rf"(?<![\w.,$£€])(?P<number>{say.NUMBER})(?P<gap>\s?-?)(?P<unit>{_SQUARED})\^?(?P<power>[23])(?![\w])(?P<stop>)"
)
_BARE_SQUARE: Final = re.compile(rf"(?<=[/\s])(?P<unit>{_SQUARED})\^(?P<power>[23])(?!\w)")
_INCHES: Final = re.compile(
    r"(?<![\w.,$£€])(?P<number>\d+(?:\.\d+)?)(?P<gap>\s?-?)in(?P<stop>\.?)(?=\s(?:x|by|long|wide|tall|high|deep"
    r"|thick|screen|pipe|nails?|heels?"
    r"|waist|monitor|display|tv|TV)\b|\s?[x×]\s?\d)"
)
_INCH_STOP: Final = re.compile(
    r"(?<![\w.,$£€])(?P<number>\d+(?:\.\d+)?)(?P<gap>\s?)in(?P<stop>\.)(?=\s[a-z]|\s*$|[,;)])"
)
_FEET_INCHES: Final = re.compile(
    r"(?<![\w.,$£€])(?P<feet>\d{1,2})(?:'|\s?ft\.?|\s?feet)\s?(?P<inches>1[01]|\d)(?P<half>(?:\.5| 1/2)?)"
    r"(?:\"|''|\s?in(?:ches)?\b(?:\.(?=\s[a-z]))?|(?!\w|\.\d))"
)
_PART_INCH: Final = re.compile(r"(?<![\w.,/])((?:\d{1,3}[ -])?\d{1,2}/\d{1,2})\"(?=\s?[A-Za-z(x×,.;]|$)")
_FEET: Final = re.compile(
    r"(?<![\w.,$£€'])(?P<number>\d{1,3})'(?=\s?(?:tall|long|wide|high|deep|x|by|[x×])\b|\s?[x×]\s?\d)"
)
_INCH_MARK: Final = re.compile(
    r"(?<![\w.,$£€\"])(?P<number>\d{1,3}(?:\.\d+)?)\"(?P<after>\s?-?(?=[A-Za-z(x×,.;:!?)]|$))"
)
_OPENING: Final = re.compile(r"(?:^|[\s(])\"(?=\S)")
_CLOSING: Final = re.compile(r"(?<=[^\s\d(])\"")
_SINGULAR_BEFORE: Final = re.compile(
    r"\b(?:an?|the|this|that|his|her|their|our|my|your|its|every|each|another|one|two|three|new|old|single|full)\s\Z",
    re.I,
)
_NOUN_AFTER: Final = re.compile(
    r"\s(?!(?:a|an|the|at|in|on|of|or|and|to|for|from|by|with|ago|later|before|after|is|was|are|were|than|per"
    r"|each|until"
    r"|long|tall|wide|high|deep|thick|away|apart|today|now|then|more|less|left|into|as|so|but|if|when|while"
    r"|because|every"
    r"|below|above|under|over|off|that|which|it|we|he|she|they|you|i|has|have|had|will|would|can|do|does|did"
    r"|not|only|x)\b)[a-z]"
)
_NOUN_AT_ONCE: Final = re.compile(r"-?[A-Za-wyz]")
_PER: Final = re.compile(
    r"(?<=[a-z])\s?/\s?(?P<unit>day|week|month|year|hour|hr|h|min|minute|second|sec|s|person|serving|kg|lb|L|l"
    r"|m|km|g|head|user)\b"
)
_PER_NAMES: Final = {
    "hr": "hour", "h": "hour", "min": "minute", "sec": "second", "s": "second", "kg": "kilogram", "lb": "pound",
    "L": "liter",
    "l": "liter", "m": "meter", "km": "kilometer", "g": "gram",
}  # fmt: skip
_TEMPERATURE: Final = re.compile(
    rf"(?<![\w.,])(?P<number>{say.NUMBER})\s?(?:°|deg(?:rees?)?\.?)\s?(?P<scale>[CFKcf]|Celsius|Fahrenheit"
    rf"|Kelvin)\b(?P<stop>)"
)
_DEGREES: Final = re.compile(
    rf"(?<![\w.,])(?P<number>{say.NUMBER})\s?°(?P<gap>-?)(?:\s?(?P<way>[NSEW])\b(?!\.))?"
)
_ANGLE: Final = re.compile(
    r"\s?(?:angle|turn|bend|view|rotation|heat|weather|slope|arc|field|days?|nights?)\b"
)
_SCALES: Final = {"c": "Celsius", "f": "Fahrenheit", "k": "Kelvin"}
_WAYS: Final = {"N": " north", "S": " south", "E": " east", "W": " west", None: ""}


def _names(unit: str) -> tuple[str, str]:
    one, _, many = _UNITS[unit].partition("|")
    if not many:
        head, _, rest = one.partition(" per ")
        if not rest and " of " in one:
            head, _, rest = one.partition(" of ")
            return one, f"{head}s of {rest}"
        many = f"{head}s per {rest}" if rest else f"{one}s"
    return one, many


def _adjective(match: Match[str]) -> bool:
    """Whether a measure stands before what it measures, as in "a 5 kg bag"."""
    before = match.string[max(0, match.start() - 12) : match.start()]
    return (
        _SINGULAR_BEFORE.search(before) is not None
        and _NOUN_AFTER.match(match.string, match.end()) is not None
    )


def _measure(match: Match[str], one: str, many: str) -> str:
    number, groups = match["number"], match.groupdict()
    single = number == "1" or "-" in (groups.get("gap") or "") or _adjective(match)
    words = f"{say.number(number)} {one if single else many}"
    stop = groups.get("stop")
    if stop and (
        ends_sentence(match.string, match.start("stop"))
        or not match.string[match.end() : match.end() + 40].strip(" \"')")
    ):
        return f"{words}."
    return words


def _unit(match: Match[str]) -> str:
    unit, gap = match["unit"], match["gap"]
    if unit in _NEAR and "-" in gap and len(unit) == 1:
        return match[0]
    if (
        unit in _INITIALS
        and " " in gap
        and match["stop"]
        and not ends_sentence(match.string, match.start("stop"))
    ):
        return match[0]
    return _measure(match, *_names(unit))


def _part_unit(match: Match[str]) -> str:
    one, many = _names(match["unit"])
    several = match["whole"] or int(match["top"]) > int(match["bottom"])
    words = f"{match['number']} {many if several else one}"
    return f"{words}." if match["stop"] and ends_sentence(match.string, match.start("stop")) else words


def _square(match: Match[str]) -> str:
    one, many = _names(match["unit"])
    power = "square" if match["power"] == "2" else "cubic"
    return _measure(match, f"{power} {one}", f"{power} {many}")


def _bare_square(match: Match[str]) -> str:
    return f"{'square' if match['power'] == '2' else 'cubic'} {_names(match['unit'])[0]}"


def _by_feet(match: Match[str]) -> str:
    return f"{say.whole(match[1])} by {say.whole(match[2])} feet"


def _feet_inches(match: Match[str]) -> str:
    half = " and a half" if match["half"] else ""
    return f"{say.whole(match['feet'])} foot {say.whole(match['inches'])}{half}"


def _inch_mark(match: Match[str]) -> str:
    before = match.string[max(0, match.start() - 400) : match.start()]
    if len(_OPENING.findall(before)) > len(_CLOSING.findall(before)):
        return match[0]
    after = match["after"]
    noun = _NOUN_AFTER if after.startswith(" ") else _NOUN_AT_ONCE
    single = match["number"] == "1" or noun.match(match.string, match.start("after")) is not None
    return f"{say.number(match['number'])} inch{'' if single else 'es'}{after.replace('-', ' ')}"


def _temperature(match: Match[str]) -> str:
    scale = match["scale"]
    name = _SCALES[scale[0].lower()]
    single = match["number"] == "1"
    if name == "Kelvin":
        return f"{say.number(match['number'])} kelvin"
    return f"{say.number(match['number'])} degree{'' if single else 's'} {name}"


def _degrees(match: Match[str]) -> str:
    single = (
        match["number"] == "1" or match["gap"] or _adjective(match) or _ANGLE.match(match.string, match.end())
    )
    gap = " " if match["gap"] else ""
    return f"{say.number(match['number'])} degree{'' if single else 's'}{_WAYS[match['way']]}{gap}"


KINDS: Final = (
    Kind(
        "temperatures",
        "-3°F, 20 °C, 45°: degrees with their scale",
        ((_TEMPERATURE, _temperature), (_DEGREES, _degrees)),
    ),
    Kind(
        "percent",
        "80%, 0.5 %: percent",
        (
            (re.compile(r"(?<=\d)\s?%(?=[A-Za-z])"), " percent "),
            (re.compile(r"\s?%-(?=[A-Za-z])"), " percent "),
            (re.compile(r"\s?%"), " percent"),
            (re.compile(r"\s?‰"), " per mille"),
        ),
    ),
    Kind(
        "units",
        "5kg, 100 Mbps, 20 m², 5'10\", 60 mph: numbers with units",
        (
            (re.compile(r"(?<![\w.,])(\d{1,3})'?\s?[x×]\s?(\d{1,3})'"), _by_feet),
            (_PART_INCH, r"\1 inch"),
            (_FEET_INCHES, _feet_inches),
            (_FEET, lambda match: f"{say.whole(match['number'])} feet"),
            (_INCH_MARK, _inch_mark),
            (_PART_UNIT, _part_unit),
            (_SQUARE, _square),
            (_INCHES, lambda match: _measure(match, "inch", "inches")),
            (_INCH_STOP, lambda match: _measure(match, "inch", "inches")),
            (_UNIT, _unit),
            (_BARE_SQUARE, _bare_square),
            (re.compile(r"(?<![\w/])(km/h|m/s|ft/s|km/s)(?![\w/])"), lambda match: _names(match[1])[1]),
            (re.compile(r"(?<=\d)/(?=(?:day|week|month|year|hour|person|night)\b)"), " per "),
            (_PER, lambda match: f" per {_PER_NAMES.get(match['unit'], match['unit'])}"),
        ),
    ),
)
