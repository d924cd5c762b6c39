//! Net, tax and total. Two different totals are told as such, never chosen between.

use std::collections::BTreeSet;

use rust_decimal::Decimal;

use super::fields::pattern;
use crate::domain::money::parse_amount;

/// The gross total of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Total {
    Missing,
    One(Decimal),
    /// Different amounts are called the total.
    Ambiguous(Vec<Decimal>),
}

pub struct Sums {
    pub total: Total,
    pub net: Option<Decimal>,
    pub vat: Option<Decimal>,
}

pattern!(
    LABEL,
    r"(?ix)
    (?P<net> \bsub-?\s?total\b | \bnet\ (?:total|amount|sum)\b | \btotal\ (?:net|excl\S*|before|without)\b[^\d]* | \bzwischensumme\b
        | \bnetto(?:betrag|summe)?\b | \bsumme\ netto\b | \btotal\ \(?(?:net|excl)[^)\d]*\)? )
    | (?P<vat> \b(?:total\ )?(?:vat|tax|mwst|ust|mehrwertsteuer|umsatzsteuer)\b\.? )
    | (?P<gross> \b(?:amount|balance|total)\ (?:due|payable)\b | \bgrand\ total\b | \binvoice\ total\b
        | \btotal\ (?:\(?incl[^\d)]*\)?|gross\b) | \bgross\ (?:total|amount)\b | \bgesamt(?:betrag|summe)\b | \brechnungsbetrag\b
        | \bendbetrag\b | \bbrutto(?:betrag|summe)?\b | \bzu\ zahlen(?:der\ betrag)?\b | \bzahlbetrag\b )
    | (?P<plain> \b(?:order\ )?total(?:\ amount)?\b | \bsumme\b )"
);
pattern!(NUMBER, r"-?\d{1,3}(?:[ '’]\d{3})+[.,]\d{2}\b|-?\d[\d.,'’]*[.,]\d{2}\b|-?\d[\d.,'’]*");
pattern!(CENTS, r"[.,]\d{2}$");
pattern!(ALONE, r"^(?:[A-Z]{3} ?|[€$£] ?)?-?\d[\d.,'’ ]*[.,]\d{2}(?: ?[A-Z]{3}| ?[€$£])?$");

/// Reads every labelled sum: an amount stands after its label, up to the next label, or alone on the line below.
pub fn sums(lines: &[&str]) -> Sums {
    let (mut nets, mut vats, mut gross, mut plain) =
        (BTreeSet::new(), BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for (place, line) in lines.iter().enumerate() {
        let labels: Vec<_> = LABEL.captures_iter(line).collect();
        for (nth, label) in labels.iter().enumerate() {
            let Some(all) = label.get(0) else { continue };
            let end = labels.get(nth + 1).and_then(|next| next.get(0)).map_or(line.len(), |next| next.start());
            let mut found = amounts(&line[all.end()..end]);
            let is_last = nth + 1 == labels.len() && line[all.end()..].trim_matches([' ', ':']).is_empty();
            if let Some(below) = lines.get(place + 1).filter(|below| is_last && ALONE.is_match(below)) {
                found = amounts(below);
            }
            let into = match () {
                () if label.name("net").is_some() => &mut nets,
                () if label.name("vat").is_some() => &mut vats,
                () if label.name("gross").is_some() => &mut gross,
                () => &mut plain,
            };
            into.extend(found);
        }
    }
    let only = |set: &BTreeSet<Decimal>| set.first().copied().filter(|_| set.len() == 1);
    let (net, vat) = (only(&nets), only(&vats));
    // Where something is called gross or due, a plain "total" may be the net sum.
    if let Some(all) = only(&gross) {
        let below: BTreeSet<Decimal> = nets.iter().copied().chain(vat.and_then(|vat| all.checked_sub(vat))).collect();
        plain.retain(|amount| !below.contains(amount));
    }
    let candidates: Vec<Decimal> = gross.union(&plain).copied().collect();
    let total = match candidates.as_slice() {
        [] => Total::Missing,
        [one] => Total::One(*one),
        several => Total::Ambiguous(several.to_vec()),
    };
    Sums { total, net, vat }
}

/// Amounts in a piece of a line: those with cents, if there are any (`VAT 19 % 190.00` is one amount).
fn amounts(piece: &str) -> Vec<Decimal> {
    let is_percent = |number: &regex::Match| piece[number.end()..].trim_start().starts_with('%');
    let numbers = NUMBER.find_iter(piece).filter(|number| !is_percent(number));
    let exact: Vec<&str> = numbers.map(|number| number.as_str().trim_end_matches(['.', ','])).collect();
    let with_cents: Vec<&str> = exact.iter().copied().filter(|number| CENTS.is_match(number)).collect();
    let chosen = if with_cents.is_empty() { exact } else { with_cents };
    chosen
        .into_iter()
        .filter_map(|number| parse_amount(number).ok())
        .map(|amount| amount.normalize())
        .map(cents)
        .collect()
}

/// At least two places, so that every amount prints with its cents.
fn cents(mut amount: Decimal) -> Decimal {
    if amount.scale() < 2 {
        amount.rescale(2);
    }
    amount
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_found_among_its_neighbours() {
        let check = |text: &str, expected: &[&str]| {
            let lines: Vec<_> = text.lines().collect();
            let found = match sums(&lines).total {
                Total::Missing => vec![],
                Total::One(amount) => vec![amount.to_string()],
                Total::Ambiguous(amounts) => amounts.iter().map(ToString::to_string).collect(),
            };
            assert_eq!(found, expected, "{text}");
        };
        check("Total 1,190.00 EUR", &["1190.00"]);
        check("Description Qty Price Total\nPaper 3 5.00 15.00\nTotal: €15", &["15.00"]);
        check("Subtotal 1,000.00\nVAT (19 %) 190.00\nTotal 1,190.00", &["1190.00"]);
        check("Total 1,000.00\nVAT 190.00\nGrand total 1,190.00", &["1190.00"]);
        check("Total 1,190.00\nAmount due 890.00", &["890.00", "1190.00"]);
        check("Total net 1.000,00 MwSt. 19,00 % 190,00 Gesamtbetrag 1.190,00", &["1190.00"]);
        check("Gesamtbetrag\n1 190,00 EUR", &["1190.00"]);
        check("Total 45.00 50.00", &["45.00", "50.00"]);
        check("Total VAT 190.00", &[]);
        check("Total excl. VAT 1,000.00\nTotal incl. VAT 1,190.00", &["1190.00"]);
        check("no sums here", &[]);
    }
}
