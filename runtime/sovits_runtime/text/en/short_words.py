"""Words that may stand in capitals for emphasis although they are as short as acronyms, and acronyms said as words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sovits_runtime.text.word_list import word_list

SHORT_WORDS: Final = frozenset(
    word_list(
        "ah am an as at be by do go ha he hi if in is it me my no of oh on or ox so to uh um up us we ye yo"
        " ace ache act add age ago aid aim air ale all and ant any ape apt arc are ark arm art ash ask ate awe"
        " axe bad bag"
        " ban bar bat bay bed bee beg bet bid big bin bit bow box boy bud bug bun bus but buy bye cab can cap"
        " car cat cop"
        " cot cow cry cub cue cup cut dad dam day den dew did die dig dim dip dog dot dry due dug dye ear eat"
        " egg ego elf"
        " end era eve eye fan far fat fee few fig fit fix flu fly fog for fox fry fun fur gap gas gem get god"
        " got gum gun"
        " gut guy gym had ham has hat hay hen her hey hid him hip his hit hog hop hot how hug huh hum hut ice"
        " icy ill ink"
        " inn its ivy jam jar jaw jet job jog joy key kid kin kit lap law lay led leg let lid lie lip lit log"
        " lot low mad"
        " man map mat may men met mix mob mom mop mud mug mum nap net new nod nor not now nut oak oar odd off"
        " oil old one"
        " our out owe owl own pan paw pay pen pet pie pig pin pit pop pot pub put rag ran rap rat raw ray red"
        " rib rid rim"
        " rob rod rot row rub rug rum run sad sat saw say sea see set sew she shy sin sip sit six sky sly sob"
        " son sow soy"
        " spa spy sum sun tan tap tax tea ten the tie tin tip toe ton too top toy try tub tug two ugh use van"
        " vet via vow"
        " wag war was wax way web wed wet who why wig win wit woe won wow yam yay yep yes yet you zip zoo aha"
        " boo nah ooh"
    )
)
# Said as words although they are no common words; some of them only `modern.py` knows.
SAID_AS_WORDS: Final = frozenset(
    word_list(
        "ram rom sim lan wan cad gif gui mac app apps jpeg mpeg ascii covid fomo yolo swat nafta fifa uefa yaml"
        " json cuda"
        " captcha asus nvidia raid dos bios potus scotus moma unesco unicef opec nasa nato nasdaq radar laser"
        " aids sars mers"
        " peta visa ikea lego imax nimby wasp sonar scuba basic cobol fortran lisp saas lidar norad fema osha"
        " epcot nascar"
        " cern midi hipaa ebitda brexit toefl ielts"
    )
)
# Spelled although a dictionary may hold them, or said in another way.
SAID_OTHERWISE: Final[Mapping[str, str]] = {
    "asap": "A S A P", "aka": "A K A", "faq": "F A Q", "vip": "V I P", "lol": "L O L", "rip": "R I P", "sos": "S O S",
    "hud": "H U D", "icu": "I C U", "diy": "D I Y", "ufo": "U F O", "eta": "E T A", "usaid": "U S A I D",
    "isbn": "I S B N",
    "ieee": "I triple E", "naacp": "N double A C P", "aaa": "triple A", "ncaa": "N C double A", "etc": "et cetera",
    "wysiwyg": "wizzy wig", "oled": "O L E D", "qled": "Q L E D", "amoled": "A M O L E D",
    "aclu": "A C L U", "iou": "I O U", "ymca": "Y M C A", "usda": "U S D A",
    "espn": "E S P N",
    "wwii": "World War two", "wwi": "World War one", "ok": "O K",
}  # fmt: skip
