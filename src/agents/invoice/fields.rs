//! Single fields: labelled words, dates, currencies, bank accounts.

use std::collections::BTreeSet;

use chrono::NaiveDate;
use regex::Regex;

/// A pattern of ours, compiled once.
macro_rules! pattern {
    ($name:ident, $source:expr) => {
        static $name: std::sync::LazyLock<regex::Regex> =
            std::sync::LazyLock::new(|| regex::Regex::new($source).expect("a pattern of ours"));
    };
}
pub(super) use pattern;

/// The first group of the first match.
pub fn first<'a>(lines: &[&'a str], pattern: &Regex) -> Option<&'a str> {
    lines.iter().find_map(|line| Some(pattern.captures(line)?.get(1)?.as_str()))
}

/// The word after a label, or the single word on the line below it. It must hold a digit. Two different words: none.
pub fn labelled<'a>(lines: &[&'a str], label: &Regex) -> Option<&'a str> {
    let mut words = BTreeSet::new();
    for (place, line) in lines.iter().enumerate() {
        for found in label.captures_iter(line) {
            let word = match found.get(1) {
                Some(word) => word.as_str(),
                None if found.get(0).is_some_and(|all| all.end() == line.len()) => {
                    lines.get(place + 1).filter(|below| !below.contains(' ')).copied().unwrap_or_default()
                }
                None => "",
            };
            let word = word.trim_end_matches(['.', '-', '/', '_']);
            if word.contains(|c: char| c.is_ascii_digit()) && !is_date(word) {
                words.insert(word);
            }
        }
    }
    words.first().copied().filter(|_| words.len() == 1)
}

fn is_date(word: &str) -> bool {
    DATE.find(word).is_some_and(|found| found.len() == word.len())
}

pattern!(
    DATE,
    r"(?i)\b(\d{4})-(\d{2})-(\d{2})\b|\b(\d{1,2})\.\s?(\d{1,2})\.\s?(\d{4})\b|\b(\d{1,2})/(\d{1,2})/(\d{4})\b|\b(\d{1,2})\.? ([a-zä]{3,9})\.? (\d{4})\b|\b([a-z]{3,9})\.? (\d{1,2}),? (\d{4})\b"
);
pattern!(OWN_DATE, r"(?i)\b(?:invoice date|date of (?:issue|invoice)|rechnungsdatum|order date|bestelldatum)\b");
pattern!(ANY_DATE, r"(?i)^(?:date|datum)\b|(?:, )(?:den )?\d{1,2}\.");

/// The date of the document; a due or delivery date is none, and one that could be day or month first is none.
pub fn date(lines: &[&str]) -> Option<NaiveDate> {
    let after = |label: &Regex| {
        lines.iter().enumerate().find_map(|(place, line)| {
            let found = label.find(line)?;
            let rest = &line[if found.as_str().starts_with(',') { found.start() } else { found.end() }..];
            let below = lines.get(place + 1).filter(|_| rest.trim_matches([' ', ':']).is_empty());
            read_date(rest).or_else(|| read_date(below?))
        })
    };
    after(&OWN_DATE).or_else(|| after(&ANY_DATE))
}

fn read_date(text: &str) -> Option<NaiveDate> {
    let found = DATE.captures(text)?;
    let number = |place: usize| found.get(place)?.as_str().parse::<u32>().ok();
    let day = |year: usize, month: Option<u32>, day: usize| {
        NaiveDate::from_ymd_opt(i32::try_from(number(year)?).ok()?, month?, number(day)?)
    };
    let named = |place: usize| month(found.get(place)?.as_str());
    if found.get(1).is_some() {
        day(1, number(2), 3)
    } else if found.get(4).is_some() {
        day(6, number(5), 4)
    } else if found.get(7).is_some() {
        let day_first = day(9, number(8), 7);
        let month_first = day(9, number(7), 8);
        match (day_first, month_first) {
            (Some(a), Some(b)) if a != b => None,
            (a, b) => a.or(b),
        }
    } else if found.get(10).is_some() {
        day(12, named(11), 10)
    } else {
        day(15, named(13), 14)
    }
}

fn month(name: &str) -> Option<u32> {
    const ENGLISH: [&str; 12] = [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ];
    const GERMAN: [&str; 12] = [
        "januar",
        "februar",
        "märz",
        "april",
        "mai",
        "juni",
        "juli",
        "august",
        "september",
        "oktober",
        "november",
        "dezember",
    ];
    let name = name.to_lowercase();
    let place = |names: [&str; 12]| names.iter().position(|month| month.starts_with(&name) && name.len() >= 3);
    place(ENGLISH).or_else(|| place(GERMAN)).and_then(|place| u32::try_from(place + 1).ok())
}

const CURRENCIES: [&str; 24] = [
    "EUR", "USD", "GBP", "CHF", "SEK", "NOK", "DKK", "PLN", "CZK", "HUF", "RON", "BGN", "TRY", "JPY", "CNY", "INR",
    "AUD", "CAD", "NZD", "SGD", "HKD", "ZAR", "BRL", "MXN",
];
const SIGNS: [(char, &str); 3] = [('€', "EUR"), ('£', "GBP"), ('$', "USD")];

/// The only currency beside an amount; codes speak before signs, and two different ones are none.
pub fn currency(lines: &[&str]) -> Option<String> {
    let money_lines = || lines.iter().filter(|line| line.contains(|c: char| c.is_ascii_digit()));
    let labels = lines.iter().filter(|line| line.to_lowercase().starts_with("currency"));
    let codes: BTreeSet<&str> = money_lines()
        .chain(labels)
        .flat_map(|line| line.split(|c: char| !c.is_alphanumeric()))
        .filter_map(|word| CURRENCIES.into_iter().find(|code| *code == word))
        .collect();
    let signs: BTreeSet<&str> = money_lines()
        .flat_map(|line| line.chars())
        .filter_map(|c| SIGNS.into_iter().find(|(sign, _)| *sign == c).map(|(_, code)| code))
        .collect();
    let dollars = codes.iter().any(|code| code.ends_with('D'));
    let signs: BTreeSet<&str> = signs.into_iter().filter(|code| !(dollars && *code == "USD")).collect();
    let all: BTreeSet<&str> = codes.union(&signs).copied().collect();
    all.first().filter(|_| all.len() == 1).map(|code| (*code).to_owned())
}

/// Length of an IBAN by country (ISO 13616 registry), where we meet them.
const IBAN_LENGTHS: [(&str, usize); 36] = [
    ("AD", 24),
    ("AT", 20),
    ("BE", 16),
    ("BG", 22),
    ("CH", 21),
    ("CY", 28),
    ("CZ", 24),
    ("DE", 22),
    ("DK", 18),
    ("EE", 20),
    ("ES", 24),
    ("FI", 18),
    ("FR", 27),
    ("GB", 22),
    ("GR", 27),
    ("HR", 21),
    ("HU", 28),
    ("IE", 22),
    ("IS", 26),
    ("IT", 27),
    ("LI", 21),
    ("LT", 20),
    ("LU", 20),
    ("LV", 21),
    ("MC", 27),
    ("MT", 31),
    ("NL", 18),
    ("NO", 15),
    ("PL", 28),
    ("PT", 25),
    ("RO", 24),
    ("SE", 24),
    ("SI", 19),
    ("SK", 24),
    ("SM", 27),
    ("TR", 26),
];

pattern!(IBAN_START, r"\b[A-Z]{2}\d{2}");

/// The only IBAN with a right checksum; two different ones are none.
pub fn iban(lines: &[&str]) -> Option<String> {
    let found: BTreeSet<String> = lines
        .iter()
        .flat_map(|line| IBAN_START.find_iter(line).map(move |start| &line[start.start()..]))
        .filter_map(|rest| {
            let (_, length) = IBAN_LENGTHS.into_iter().find(|(country, _)| rest.starts_with(country))?;
            let iban: String = rest.chars().filter(|c| *c != ' ').take(length).collect();
            (iban.chars().count() == length && is_iban(&iban)).then_some(iban)
        })
        .collect();
    found.first().cloned().filter(|_| found.len() == 1)
}

/// The checksum of ISO 7064, MOD 97-10, after the first four characters went to the end.
fn is_iban(iban: &str) -> bool {
    let (Some(head), Some(rest)) = (iban.get(..4), iban.get(4..)) else { return false };
    let remainder = rest.chars().chain(head.chars()).try_fold(0, |sum: u32, c| {
        let digit = c.to_digit(36).filter(|_| !c.is_ascii_lowercase())?;
        Some((sum * if digit > 9 { 100 } else { 10 } + digit) % 97)
    });
    remainder == Some(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_read_as_written_and_an_ambiguous_one_is_none() {
        let check = |line: &str, expected: Option<&str>| {
            assert_eq!(date(&[line]), expected.map(|day| day.parse().unwrap()), "{line}");
        };
        check("Invoice date: 2026-02-27", Some("2026-02-27"));
        check("Rechnungsdatum 27.2.2026", Some("2026-02-27"));
        check("Date: 27 Feb 2026", Some("2026-02-27"));
        check("Datum: 3. März 2026", Some("2026-03-03"));
        check("Date: February 27, 2026", Some("2026-02-27"));
        check("Date: 27/02/2026", Some("2026-02-27"));
        check("Date: 02/03/2026", None);
        check("Hamburg, den 27.02.2026", Some("2026-02-27"));
        check("Due date: 2026-03-29", None);
        check("Invoice date: 31.02.2026", None);
    }

    #[test]
    fn an_iban_counts_only_with_its_checksum_and_alone() {
        let check = |lines: &[&str], expected: Option<&str>| assert_eq!(iban(lines).as_deref(), expected, "{lines:?}");
        check(&["IBAN: DE89 3704 0044 0532 0130 00 BIC COBADEFF"], Some("DE89370400440532013000"));
        check(&["GB82WEST12345698765432"], Some("GB82WEST12345698765432"));
        check(&["IBAN: DE88 3704 0044 0532 0130 00"], None);
        check(&["DE89 3704 0044 0532 0130 00", "or GB82 WEST 1234 5698 7654 32"], None);
        check(&["XX00 1234", "DE89"], None);
    }

    #[test]
    fn a_currency_is_stated_once_or_not_at_all() {
        let check =
            |lines: &[&str], expected: Option<&str>| assert_eq!(currency(lines).as_deref(), expected, "{lines:?}");
        check(&["Total 5.00 EUR"], Some("EUR"));
        check(&["Total £5.00"], Some("GBP"));
        check(&["Total $5.00", "CAD 5.00"], Some("CAD"));
        check(&["Total € 5.00", "USD 6.00"], None);
        check(&["Total 5.00"], None);
        check(&["Currency: CHF", "Total 5.00"], Some("CHF"));
    }
}
