"""Where English text is read otherwise than by the original, unless `official=True`.

Each row is an example that the tests replay both ways (`norm_text`).
"""

from __future__ import annotations

from typing import Final

from sovits_runtime.text.correction import Correction

CORRECTIONS: Final[tuple[Correction, ...]] = (
    Correction("the curly apostrophe is deleted, so the word is not in the dictionary",
               "They aren’t here.", "They arent here.", "They aren't here."),
    Correction("a minus sign eats the space before it", "down to -15 degrees",
               "down tonegative fifteen degrees", "down to negative fifteen degrees"),
    Correction("line breaks and tabs are deleted and glue words together",
               "First line\nsecond line", "First linesecond line", "First line. second line"),
    Correction("colon, semicolon and dashes make no pause", "the bow; he left: why — tell me",
               "the bow he left why  tell me", "the bow, he left, why, tell me"),
    Correction("a hyphen with spaces is a minus even between words", "wait - what", "wait minus what", "wait, what"),
    Correction("marks after a space are lost", "I see !", "I see ", "I see!"),
    Correction("brackets, slashes and underscores glue words together",
               "this/that and snake_case", "thisthat and snakecase", "this that and snake case"),
    Correction("full-width letters and digits are dropped", "plan ＡＢ １２", "plan  ", "plan A B twelve"),
    Correction("a text in capitals is spelled out", "PLEASE DO NOT TOUCH",
               "P L E A S E D O N O T T O U C H", "please do not touch"),
    Correction("words in capitals of four or more letters are spelled even if the dictionary has them",
               "NASA and IBM", "N A S A and I B M", "nasa and I B M"),
    Correction("the capital after an apostrophe makes two words of a name", "O'Neil", "O' Neil", "O'neil"),
    Correction("a quoting apostrophe is spoken as a dash", "the 'big' dogs' home", "the 'big' dogs' home",
               "the big dogs home"),
    Correction("the full stop of a title ends the sentence", "Mr. Smith", "Mr. Smith", "Mr Smith"),
    Correction("any number before a full stop becomes an ordinal", "in 1999. He left",
               "in one thousand, nine hundred and ninety-ninth, He left", "in nineteen ninety-nine. He left"),
    Correction("a number with a thousands comma is read as a year", "1,234 people",
               "twelve thirty-four people", "one thousand, two hundred thirty-four people"),
    Correction("commas of a list of digits are taken for thousands commas", "1,2 or 3", "twelve or three",
               "one, two or three"),
    Correction("most units are not known", "2kg, 5mm and 16GB", "twokg, fivemm and sixteen G B",
               "two kilograms, five millimeters and sixteen gigabytes"),
    Correction("the hour of km/h is lost", "80km/h", "eighty kilometersh", "eighty kilometers per hour"),
    Correction("digits and letters run together", "my mp3 x5", "my mpthree xfive", "my mp three x five"),
    Correction("decades are seconds", "the 1990s", "the nineteen ninety seconds", "the nineteen nineties"),
    Correction("a.m. is said twice", "9:45 a.m.", "nine forty-five a.m. a.m.", "nine forty-five a.m."),
    Correction("afternoon times are called morning", "5:30 pm", "five thirty a.m. pm", "five thirty p.m."),
    Correction("seconds run into the time", "8:05:07", "eight five a.m.seven", "eight five a.m. and seven seconds"),
    Correction("scores run together", "it was 3:2", "it was threetwo", "it was three to two"),
    Correction("dates with slashes are fractions", "07/08/2023", "seven eighthstwenty twenty-three",
               "seven eight twenty twenty-three"),
    Correction("24/7 is a fraction", "open 24/7", "open twenty-four sevenths", "open twenty-four seven"),
    Correction("numbers with several points lose every second point", "version 1.2.3",
               "version one point two.three", "version one point two point three"),
    Correction("the point of a decimal without its zero is lost", "about .5", "about five", "about zero point five"),
    Correction("the scale of an amount of money comes after the currency", "$25.4 billion",
               "twenty-five dollars and forty cents billion", "twenty-five point four billion dollars"),
    Correction("money is read as a year", "$1234", "twelve thirty-four dollars",
               "one thousand, two hundred thirty-four dollars"),
    Correction("€ and ¥ are dropped", "€5 and ¥300", "five and three hundred", "five euros and three hundred yen"),
    Correction("a negative amount loses its sign", "$-10", "-ten", "negative ten dollars"),
    Correction("signs without spaces are dropped", "5+3 = 8", "fivethree Equals eight", "five plus three equals eight"),
    Correction("& @ * # are dropped", "R&D at #1", "R D at one", "R and D at number one"),
    Correction("C++ and C# are read as C", "C++ or C#", "C or C", "C plus plus or C sharp"),
    Correction("superscripts are dropped", "5m²", "fivem", "five meters squared"),
    Correction("vulgar fractions are dropped", "½ cup", " cup", "one half cup"),
    Correction("addresses lose their signs", "a@b.com", "ab.com", "a at b dot com"),
    Correction("letters without a decomposition are dropped", "Straße", "Strae", "Strasse"),
)  # fmt: skip
