//! The language of a mail's text, guessed by its letters and their order. What is short or could be several is not known.

use whatlang::Lang;

/// Fewest letters that a guess is made from.
const MIN_LETTERS: usize = 60;
/// Most characters that are looked at.
const MAX_CHARS: usize = 2_000;

/// Codes (ISO 639-1) of the languages that can be told.
pub(super) const LANGUAGES: &[&str] = &[
    "af", "ak", "am", "ar", "az", "be", "bg", "bn", "ca", "cs", "cy", "da", "de", "el", "en", "eo", "es", "et", "fa",
    "fi", "fr", "gu", "he", "hi", "hr", "hu", "hy", "id", "it", "ja", "jv", "ka", "km", "kn", "ko", "la", "lt", "lv",
    "mk", "ml", "mr", "my", "nb", "ne", "nl", "or", "pa", "pl", "pt", "ro", "ru", "si", "sk", "sl", "sn", "sr", "sv",
    "ta", "te", "th", "tk", "tl", "tr", "uk", "ur", "uz", "vi", "yi", "zh", "zu",
];

/// The language of a text; none when it is too short or not clear.
pub(super) fn of(text: &str) -> Option<&'static str> {
    let text: String = text.chars().take(MAX_CHARS).collect();
    if text.chars().filter(|c| c.is_alphabetic()).count() < MIN_LETTERS {
        return None;
    }
    let guess = whatlang::detect(&text).filter(whatlang::Info::is_reliable)?;
    code(guess.lang())
}

/// ISO 639-3, as the library has it, to ISO 639-1, as people know it.
fn code(lang: Lang) -> Option<&'static str> {
    let long = lang.code();
    let short = match long {
        "cmn" => "zh",
        "nob" => "nb",
        "pes" => "fa",
        "deu" => "de",
        "spa" => "es",
        "ita" => "it",
        "jav" => "jv",
        "pol" => "pl",
        "swe" => "sv",
        "tur" => "tr",
        "ces" => "cs",
        "ell" => "el",
        "bul" => "bg",
        "ben" => "bn",
        "kat" => "ka",
        "mar" => "mr",
        "kan" => "kn",
        "slv" => "sl",
        "mkd" => "mk",
        "lav" => "lv",
        "est" => "et",
        "pan" => "pa",
        "ind" => "id",
        "mal" => "ml",
        "mya" => "my",
        "khm" => "km",
        "tuk" => "tk",
        "aka" => "ak",
        "sna" => "sn",
        "slk" => "sk",
        "tgl" => "tl",
        "hye" => "hy",
        "cym" => "cy",
        "hrv" => "hr",
        "srp" => "sr",
        "nld" => "nl",
        "por" => "pt",
        "bel" => "be",
        "heb" => "he",
        "ukr" => "uk",
        "epo" => "eo",
        "jpn" => "ja",
        "lit" => "lt",
        other => other.get(..2)?,
    };
    LANGUAGES.iter().find(|known| **known == short).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_of_the_library_has_its_own_code() {
        let mut codes: Vec<_> = Lang::all().iter().map(|lang| code(*lang).unwrap_or(lang.code())).collect();
        codes.sort_unstable();
        assert_eq!(codes, LANGUAGES);
    }

    #[test]
    fn long_texts_are_told_and_short_ones_are_not_known() {
        let german = "Sehr geehrte Damen und Herren, anbei erhalten Sie unsere Rechnung für die Lieferung im Oktober. \
            Bitte überweisen Sie den Betrag innerhalb von dreißig Tagen.";
        let english = "Dear all, please find attached our invoice for the delivery in October. Kindly pay the amount \
            within thirty days of receipt.";
        assert_eq!((of(german), of(english)), (Some("de"), Some("en")));
        for short in ["", "Rechnung", "Re: invoice 4711", "1234567890 ".repeat(50).as_str()] {
            assert_eq!(of(short), None, "{short}");
        }
    }
}
