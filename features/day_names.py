"""What months, weekdays and eras are called: English, German, French, Italian, Chinese, Japanese.

Invariant: a name stands for one month, or one weekday, in every language that has it.
"""

from __future__ import annotations

import datetime as dt

_MONTHS = (
    "january jan januar jänner jaenner jän jaen janvier janv gennaio gen 1月 01月 一月",
    "february feb februar febr feber février fevrier févr fevr fév fev febbraio 2月 02月 二月",
    "march mar märz maerz mrz mär maer mars marzo 3月 03月 三月",
    "april apr avril avr aprile 4月 04月 四月",
    "may mai maggio mag 5月 05月 五月",
    "june jun juni juin giugno giu 6月 06月 六月",
    "july jul juli juillet juil luglio lug 7月 07月 七月",
    "august aug août aout aoû aou agosto ago 8月 08月 八月",
    "september sep sept septembre settembre set 9月 09月 九月",
    "october oct oktober okt octobre ottobre ott 10月 十月",
    "november nov novembre 11月 十一月",
    "december dec dezember dez décembre decembre déc dicembre dic 12月 十二月",
)
_WEEKDAYS = {
    "Mon": "monday mon montag mo lundi lun lunedì lunedi 星期一 周一",
    "Tue": "tuesday tues tue dienstag di mardi mar martedì martedi 星期二 周二",
    "Wed": "wednesday wed mittwoch mi mercredi mer mercoledì mercoledi 星期三 周三",
    "Thu": "thursday thurs thur thu donnerstag do jeudi jeu giovedì giovedi gio 星期四 周四",
    "Fri": "friday fri freitag fr vendredi ven venerdì venerdi 星期五 周五",
    "Sat": "saturday sat samstag sonnabend sa samedi sam sabato sab 星期六 周六",
    "Sun": "sunday sun sonntag so dimanche dim domenica dom 星期日 星期天 周日",
}

MONTHS = {name: f"{number:02}" for number, names in enumerate(_MONTHS, 1) for name in names.split()}
"""The number of each month's name, in two digits; names in small letters."""

WEEKDAYS = {name: day for day, names in _WEEKDAYS.items() for name in names.split()}
"""The English short name of each weekday's; names in small letters."""

_ERAS = (
    ("令和", "R", dt.date(2019, 5, 1), dt.date(2199, 12, 31)),
    ("平成", "H", dt.date(1989, 1, 8), dt.date(2019, 4, 30)),
    ("昭和", "S", dt.date(1926, 12, 25), dt.date(1989, 1, 7)),
    ("大正", "T", dt.date(1912, 7, 30), dt.date(1926, 12, 24)),
    ("明治", "M", dt.date(1868, 10, 23), dt.date(1912, 7, 29)),
)
ERAS = {name: (first, last) for *names, first, last in _ERAS for name in names}
"""The first and last day of each Japanese era, by its name and its letter."""
