"""What the demo voice is taught to say: a small grammar of household English, and sentences drawn from it.

One table serves both sides: sentences are drawn from it, and the recogniser that judges the voice expects its words.
"""

from __future__ import annotations

import hashlib
import random
import re

SEED = 20260101
TEST_SHARE = 20  # one sentence in this many is kept from training

# A rule is a list of alternatives; <name> stands for another rule.
GRAMMAR: dict[str, list[str]] = {
    "sentence": [
        "<greeting>, <statement>.", "<greeting>, <request>.", "<request>.", "<request>.",
        "<request>, please.", "please <request>.", "<request> and <request>.", "<question>?",
        "<question>?", "<statement>.", "<statement>.", "<statement>, and <statement>.", "<count>.",
        "<greeting>.",
    ],
    "greeting": [
        "hello", "hello there", "hi", "good morning", "good afternoon", "good evening", "good night",
        "welcome home", "welcome back", "goodbye", "see you <day>", "see you soon", "thank you",
        "thank you very much", "excuse me", "happy birthday", "sorry", "have a nice <daypart>",
        "well done", "of course", "no problem", "yes", "no", "nice to meet you", "how are you today",
        "i am fine",
    ],
    "request": [
        "turn <onoff> the <device>", "turn <onoff> the <colour> <light>",
        "turn <onoff> the <device> <place>", "switch <onoff> the <device> <place>",
        "make the <light> <colour>", "make the <room> <warmth>", "open the <opening>",
        "close the <opening>", "open the <opening> <place>", "close the <colour> <opening>",
        "set the <device> to <number>", "set a timer for <duration>", "set an alarm for <time>",
        "wake me up at <time>", "call my <person> <when>", "call the <person>", "play some <music>",
        "play the next song", "stop the <music>", "read the news", "read me a story", "bring me <food>",
        "bring the <thing> to the <room>", "put the <thing> <where>", "wash the <colour> <clothes>",
        "clean the <room> <when>", "feed the <animal> <when>", "buy <number> <plural>",
        "add <food> to the list", "remind me to <chore> <when>", "remind my <person> to <chore>",
        "lock the <opening>", "wait for <duration>", "speak more slowly", "say that again",
        "tell me a joke", "tell me the time", "show me the <thing>", "cook <food> for <number> people",
        "do not open the <opening>", "find my <colour> <thing>",
    ],
    "question": [
        "what time is it", "what day is it", "is the <opening> open", "is the <device> <onoff>",
        "is the <opening> closed", "where is my <thing>", "where is the <colour> <thing>",
        "where are my <plural>", "how warm is the <room>", "how many <plural> do we have",
        "will it <weather> <when>", "is it going to <weather> <when>",
        "what is the weather like <when>", "who is at the <opening>", "when does the <event> start",
        "can you hear me", "can you help me with the <thing>", "do you want <food>",
        "did you feed the <animal>", "what is <number> plus <number>",
        "what is <number> minus <number>", "how much is the <colour> <thing>",
        "how long is the <event>", "did my <person> call <when>", "would you like some <drink>",
        "may i have <food>",
    ],
    "statement": [
        "the <device> is <onoff>", "the <opening> is open", "the <opening> is closed",
        "the <light> is <colour>", "the <colour> <thing> is <where>", "the <room> is <warmth>",
        "the <event> starts at <time>", "it is <time>", "it is <number> degrees outside",
        "it will <weather> <when>", "today is <day>", "tomorrow is <day>", "the <event> is on <day>",
        "my birthday is in <month>", "your <person> will be home at <time>",
        "my <person> is in the <room>", "the <animal> is hungry", "the <animal> is sleeping <where>",
        "there are <number> <plural> <where>", "we need <number> <plural>", "we need more <drink>",
        "i like <food>", "i would like <food>", "i cannot find the <thing>", "your <drink> is ready",
        "dinner is ready", "breakfast is at <time>", "the timer is set for <duration>",
        "the alarm is set for <time>", "the <music> is too loud", "the battery is low",
        "the answer is <number>", "you have <number> new messages", "all the lights are <onoff>",
        "i am in the <room>", "it is a beautiful <daypart>", "the train leaves at <time>",
        "the shop closes at <time>", "<month> is <cold>",
    ],
    "count": [
        "<digit>, <digit>, <digit>", "<digit>, <digit>, <digit>, <digit>",
        "<number>, <number>, <number>", "<colour>, <colour>, and <colour>", "<day>, <day>, and <day>",
        "<number> and <number> is <number>", "the number is <digit> <digit> <digit> <digit>",
        "<month>, <month>, and <month>",
    ],
    "onoff": ["on", "off"],
    "colour": [
        "red", "green", "blue", "yellow", "white", "black", "orange", "purple", "brown", "grey", "pink",
        "silver", "golden",
    ],
    "warmth": ["warm", "cold", "warmer", "colder", "bright", "dark", "clean", "quiet"],
    "cold": ["cold", "warm", "wet", "dry", "sunny", "windy", "hot"],
    "light": ["light", "lamp", "candle", "screen", "wall"],
    "device": [
        "light", "lamp", "fan", "heater", "oven", "kettle", "radio", "television", "washing machine",
        "alarm", "music", "computer", "camera", "phone", "toaster", "water", "printer",
    ],
    "opening": [
        "door", "front door", "back door", "window", "curtains", "gate", "garage door", "fridge", "box",
        "cupboard",
    ],
    "room": [
        "kitchen", "bedroom", "bathroom", "living room", "garden", "garage", "hall", "office",
        "dining room", "house",
    ],
    "place": ["in the <room>", "upstairs", "downstairs", "outside"],
    "where": [
        "in the <room>", "on the table", "under the bed", "on the chair", "near the window",
        "behind the sofa", "in the drawer", "on the floor", "over there", "next to the <device>",
        "on the shelf",
    ],
    "thing": [
        "book", "cup", "plate", "key", "bag", "coat", "umbrella", "newspaper", "towel", "blanket",
        "picture", "ball", "bottle", "letter", "glass", "knife", "spoon", "watch", "ticket", "basket",
    ],
    "plural": [
        "cups", "plates", "apples", "eggs", "books", "keys", "bottles", "chairs", "oranges", "tomatoes",
        "potatoes", "shoes", "friends", "letters", "tickets", "pictures", "bananas", "candles",
    ],
    "clothes": ["shirt", "dress", "socks", "trousers", "jacket", "sweater", "hat", "gloves"],
    "food": [
        "bread", "some cheese", "an apple", "a sandwich", "soup", "rice", "chicken", "fish", "salad",
        "a banana", "pasta", "some cake", "a glass of <drink>", "a cup of <drink>", "eggs", "butter",
    ],
    "drink": ["water", "milk", "tea", "coffee", "juice", "lemonade"],
    "animal": ["dog", "cat", "bird", "horse", "rabbit", "fish"],
    "person": [
        "mother", "father", "brother", "sister", "friend", "doctor", "neighbour", "teacher",
        "grandmother", "son", "daughter",
    ],
    "music": ["music", "jazz", "piano music", "radio", "song"],
    "event": ["meeting", "party", "movie", "concert", "lesson", "game", "football match"],
    "chore": [
        "water the plants", "take out the rubbish", "call my <person>", "buy <food>", "walk the dog",
        "pay the bill", "send a letter", "clean the <room>", "wash the car", "close the <opening>",
        "do my homework",
    ],
    "weather": ["rain", "snow", "be sunny", "be cold", "be windy"],
    "day": ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"],
    "month": [
        "january", "february", "march", "april", "may", "june", "july", "august", "september",
        "october", "november", "december",
    ],
    "daypart": ["day", "morning", "afternoon", "evening", "weekend"],
    "when": [
        "today", "tomorrow", "tonight", "now", "later", "on <day>", "this morning", "this evening",
        "in the afternoon", "at <time>", "in <duration>", "every <day>", "before dinner", "after lunch",
    ],
    "time": [
        "<hour> o'clock", "half past <hour>", "quarter to <hour>", "quarter past <hour>",
        "<hour> <minute>", "<hour> in the morning", "<hour> in the evening", "noon", "midnight",
        "<tens> past <hour>",
    ],
    "hour": [
        "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
        "twelve",
    ],
    "minute": [
        "fifteen", "thirty", "forty five", "twenty", "ten", "fifty", "forty", "twenty five",
    ],
    "tens": ["ten", "twenty", "five"],
    "duration": [
        "<number> minutes", "<digit> hours", "one hour", "half an hour", "<number> seconds",
        "one minute", "two days", "a week",
    ],
    "digit": ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"],
    "teen": [
        "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen",
        "eighteen", "nineteen",
    ],
    "ten": ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"],
    "number": [
        "<few>", "<few>", "<teen>", "<ten>", "<ten> <few>", "one hundred", "<few> hundred",
    ],
    "few": ["two", "three", "four", "five", "six", "seven", "eight", "nine"],
}  # fmt: skip

_REFERENCE = re.compile(r"<(\w+)>")

REFERENCE_TEXT = "Good morning, the red lamp in the kitchen is on, and your breakfast is ready."


def draw(rng: random.Random, rule: str = "sentence") -> str:
    """Draws one text from a rule."""
    return _REFERENCE.sub(lambda found: draw(rng, found[1]), rng.choice(GRAMMAR[rule]))


def written(text: str) -> str:
    """Writes a drawn sentence as a person would: a capital in front, and names of days, months and I."""
    text = re.sub(r"\bi\b", "I", text)
    names = "|".join(GRAMMAR["day"] + [month for month in GRAMMAR["month"] if month not in ("march", "may")])
    text = re.sub(rf"\b({names})\b", lambda found: found[1].capitalize(), text)
    return text[0].upper() + text[1:]


def is_test(text: str) -> bool:
    """Tells whether a sentence is kept from training, by its words alone."""
    return hashlib.sha256(" ".join(words(text)).encode()).digest()[0] % TEST_SHARE == 0


def words(text: str) -> list[str]:
    """Returns the words of a text in lower case."""
    return re.findall(r"[a-z']+", text.lower())


def sentences(count: int, *, test: bool, seed: int = SEED, longest: int = 16) -> list[str]:
    """Draws different sentences of two to `longest` words, for training or for the test."""
    rng = random.Random(f"{seed}-{test}")
    found: dict[str, str] = {}
    while len(found) < count:
        text = written(draw(rng))
        if 2 <= len(words(text)) <= longest and is_test(text) == test:
            found.setdefault(" ".join(words(text)), text)
    return list(found.values())


def vocabulary() -> list[str]:
    """Returns every word of the grammar."""
    found = {
        word
        for alternatives in GRAMMAR.values()
        for text in alternatives
        for word in words(_REFERENCE.sub(" ", text))
    }
    return sorted(found)
