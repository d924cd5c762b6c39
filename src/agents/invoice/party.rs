//! Who issued the invoice, or who the purchase order went to.

use super::Kind;
use super::fields::{first, pattern};

pattern!(LABEL, r"(?i)^(?:supplier|vendor|seller|lieferant|verkäufer|rechnungssteller)(?: name)? ?: ?(.*\S)");
pattern!(LABEL_ALONE, r"(?i)^(?:supplier|vendor|seller|lieferant|verkäufer|rechnungssteller)(?: name)? ?:?$");
pattern!(FROM, r"(?i)^(?:from|von) ?: ?(.*\S)");
pattern!(TO, r"(?i)^(?:to|an) ?: ?(.*\S)");
pattern!(
    CUSTOMER,
    r"(?i)^(?:bill(?:ed)? to|invoice to|sold to|ship to|deliver to|delivery address|customer|client|buyer|to|kunde|käufer|rechnung an|rechnungsempfänger|lieferadresse|an)\b"
);
pattern!(
    COMPANY,
    r"^(.*?\b(?:GmbH(?: & Co\. ?KG)?|AG|KG|UG|OHG|e\.K\.|SE|Ltd\.?|Limited|PLC|plc|LLP|LLC|Inc\.?|Corp\.?|B\.V\.|BV|N\.V\.|S\.A\.|SA|SAS|SARL|S\.r\.l\.|S\.p\.A\.|AB|A/S|Oy|Pty Ltd))(?:\W|$)"
);

/// The supplier by its label; on an invoice else the first company that is not addressed, on an order the addressed one.
pub fn supplier(lines: &[&str], kind: Kind) -> Option<String> {
    let below = || lines.windows(2).find(|pair| LABEL_ALONE.is_match(pair[0])).map(|pair| pair[1]);
    let named = first(lines, &LABEL).or_else(below).or_else(|| match kind {
        Kind::Invoice => first(lines, &FROM).or_else(|| issuer(lines)),
        Kind::Po => first(lines, &TO),
        Kind::Other => None,
    })?;
    // "Nordwind Papier GmbH, Hafenstr. 12": the company without its address.
    let name = COMPANY.captures(named).and_then(|found| found.get(1)).map_or(named, |name| name.as_str());
    Some(name.trim().trim_end_matches([',', ';']).to_owned())
}

fn issuer<'a>(lines: &[&'a str]) -> Option<&'a str> {
    let is_addressed = |place: usize| {
        let near = &lines[place.saturating_sub(2)..=place];
        near.iter().any(|line| CUSTOMER.is_match(line))
    };
    let company = |(_, line): &(usize, &&'a str)| COMPANY.is_match(line);
    lines.iter().enumerate().filter(company).find(|(place, _)| !is_addressed(*place)).map(|(_, line)| *line)
}

/// A company's name for comparing: case, punctuation, spaces and the legal form do not count, nor does how umlauts are spelt.
pub fn normalised(name: &str) -> String {
    let spelt = name.to_lowercase().replace('ä', "ae").replace('ö', "oe").replace('ü', "ue").replace('ß', "ss");
    let spelt = spelt.replace('&', " and ").replace('.', "");
    const FORMS: [&str; 22] = [
        "gmbh", "ag", "kg", "ug", "ohg", "ek", "se", "ltd", "limited", "plc", "llp", "llc", "inc", "corp", "bv", "nv",
        "sa", "sas", "sarl", "srl", "spa", "co",
    ];
    let words: Vec<&str> = spelt.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let kept: Vec<&str> = words.iter().copied().filter(|word| !FORMS.contains(word)).collect();
    if kept.is_empty() { words.concat() } else { kept.concat() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_issuer_is_not_the_addressee() {
        let check = |text: &str, kind: Kind, expected: Option<&str>| {
            let lines: Vec<_> = text.lines().collect();
            assert_eq!(supplier(&lines, kind).as_deref(), expected, "{text}");
        };
        check(
            "Bill to:\nAcme Ltd\n1 High Street\nLeeds\nSunda Tools Ltd, Hull",
            Kind::Invoice,
            Some("Sunda Tools Ltd"),
        );
        check("Sunda Tools Ltd\nINVOICE", Kind::Invoice, Some("Sunda Tools Ltd"));
        check("Acme Ltd\nTo: Sunda Tools Ltd, Hull", Kind::Po, Some("Sunda Tools Ltd"));
        check("Supplier\nSunda Tools Ltd", Kind::Po, Some("Sunda Tools Ltd"));
        check("Acme Ltd\nBestellung", Kind::Po, None);
        check("Nobody", Kind::Invoice, None);
    }

    #[test]
    fn the_same_company_compares_equal_and_another_does_not() {
        let same = |a: &str, b: &str| normalised(a) == normalised(b);
        assert!(same("Nordwind Papier GmbH", "NORDWIND PAPIER") && same("Müller & Co. KG", "Mueller and Co KG"));
        assert!(!same("Nordwind Papier GmbH", "Nordwind Druck GmbH") && !same("AG", "SE"));
    }
}
