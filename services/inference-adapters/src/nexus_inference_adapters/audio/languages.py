"""The languages Whisper knows, by their codes and by the names that OpenAI's answers use."""

from __future__ import annotations

from nexus_mesh.core import MeshError, Reason

__all__ = ["LANGUAGES", "code_of"]

TABLE = """
en:english zh:chinese de:german es:spanish ru:russian ko:korean fr:french ja:japanese pt:portuguese tr:turkish pl:polish
ca:catalan nl:dutch ar:arabic sv:swedish it:italian id:indonesian hi:hindi fi:finnish vi:vietnamese he:hebrew
uk:ukrainian el:greek ms:malay cs:czech ro:romanian da:danish hu:hungarian ta:tamil no:norwegian th:thai ur:urdu
hr:croatian bg:bulgarian lt:lithuanian la:latin mi:maori ml:malayalam cy:welsh sk:slovak te:telugu fa:persian lv:latvian
bn:bengali sr:serbian az:azerbaijani sl:slovenian kn:kannada et:estonian mk:macedonian br:breton eu:basque is:icelandic
hy:armenian ne:nepali mn:mongolian bs:bosnian kk:kazakh sq:albanian sw:swahili gl:galician mr:marathi pa:punjabi
si:sinhala km:khmer sn:shona yo:yoruba so:somali af:afrikaans oc:occitan ka:georgian be:belarusian tg:tajik sd:sindhi
gu:gujarati am:amharic yi:yiddish lo:lao uz:uzbek fo:faroese ht:haitian_creole ps:pashto tk:turkmen nn:nynorsk
mt:maltese sa:sanskrit lb:luxembourgish my:myanmar bo:tibetan tl:tagalog mg:malagasy as:assamese tt:tatar haw:hawaiian
ln:lingala ha:hausa ba:bashkir jw:javanese su:sundanese
"""
LANGUAGES: dict[str, str] = {code: name for code, _, name in (pair.partition(":") for pair in TABLE.split())}
CODES = {name: code for code, name in LANGUAGES.items()}


def code_of(language: str | None, *, english_only: bool = False) -> str | None:
    """The code of a language given by code or English name, with or without a region; None = to be found out.

    Raises INVALID_REQUEST that lists what there is.
    """
    if not language:
        return "en" if english_only else None
    given = language.strip().lower().replace(" ", "_")
    code = CODES.get(given, given.partition("-")[0])
    known = ["en"] if english_only else sorted(LANGUAGES)
    if code not in known:
        raise MeshError(
            Reason.INVALID_REQUEST,
            f"'language' must be one that the model knows: {', '.join(known)}.",
            metadata={"code": "invalid_value", "param": "language"},
        )
    return code
