//! What a document's text says: invoice, purchase order or something else, and its fields. Pure; labels in English and German.
//!
//! A field that could be read in two ways is not read: nothing here guesses.

mod fields;
mod party;
mod total;

use rust_decimal::Decimal;
use serde::Serialize;

use fields::{first, labelled, pattern};
pub use party::normalised;
pub use total::Total;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Invoice,
    Po,
    Other,
}

/// Fields of an invoice or a purchase order.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    pub kind: Kind,
    /// Number of the invoice; none for a purchase order.
    pub number: Option<String>,
    /// `2026-02-27`
    pub date: Option<chrono::NaiveDate>,
    pub supplier: Option<String>,
    /// ISO 4217 code.
    pub currency: Option<String>,
    /// Gross.
    pub total: Total,
    pub net: Option<Decimal>,
    pub vat: Option<Decimal>,
    pub po_number: Option<String>,
    /// The only IBAN with a right checksum, without spaces.
    pub iban: Option<String>,
    pub lines: Vec<Line>,
}

/// A line item whose quantity times price gives its amount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    pub description: String,
    pub quantity: Decimal,
    pub price: Decimal,
    pub amount: Decimal,
}

/// What is longer is no field, and more lines are no invoice.
const MAX_LINE_BYTES: usize = 1000;
const MAX_LINES: usize = 20_000;

/// Reads the text of a document. Takes time in proportion to it, up to the limits above.
pub fn read(text: &str) -> Reading {
    let lines: Vec<String> = text
        .lines()
        .map(|line| line.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()))
        .map(|words| words.collect::<Vec<_>>().join(" "))
        .filter(|line| !line.is_empty() && line.len() <= MAX_LINE_BYTES)
        .take(MAX_LINES)
        .collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let kind = classify(&lines);
    let sums = total::sums(&lines);
    Reading {
        kind,
        number: invoice_number(&lines).filter(|_| kind == Kind::Invoice),
        date: fields::date(&lines),
        supplier: party::supplier(&lines, kind),
        currency: fields::currency(&lines),
        total: sums.total,
        net: sums.net,
        vat: sums.vat,
        po_number: po_number(&lines),
        iban: fields::iban(&lines),
        lines: line_items(&lines),
    }
}

pattern!(
    INVOICE_TITLE,
    r"(?i)^(?:tax |commercial )?(?:invoice|rechnung|faktura)(?: ?(?:no|number|nr|nummer)?\.? ?[:#]? ?\S*\d\S*)?$"
);
pattern!(
    PO_TITLE,
    r"(?i)^(?:purchase order|bestellung|order confirmation|auftragsbestätigung)(?: ?(?:no|number|nr|nummer)?\.? ?[:#]? ?\S*\d\S*)?$"
);
pattern!(
    OTHER_TITLE,
    r"(?i)^(?:credit (?:note|memo)|gutschrift|stornorechnung|mahnung|zahlungserinnerung|(?:payment )?reminder|(?:account )?statement|kontoauszug|delivery note|lieferschein|quotation|quote|angebot|pro-?\s?forma(?: invoice|-?rechnung)?)\b"
);

/// A title alone on its line decides, the first one first; without any, an invoice number does.
fn classify(lines: &[&str]) -> Kind {
    let title = lines.iter().take(30).find_map(|line| match line {
        line if OTHER_TITLE.is_match(line) => Some(Kind::Other),
        line if INVOICE_TITLE.is_match(line) => Some(Kind::Invoice),
        line if PO_TITLE.is_match(line) => Some(Kind::Po),
        _ => None,
    });
    match (title, invoice_number(lines)) {
        // "Purchase order 88001" may stand on an invoice as a reference.
        (Some(Kind::Po) | None, Some(_)) => Kind::Invoice,
        (Some(kind), _) => kind,
        (None, None) => Kind::Other,
    }
}

pattern!(
    INVOICE_NUMBER,
    r"(?i)\b(?:invoice|rechnungs?|faktura)[ -]?(?:number|no\b\.?|nr\b\.?|nummer|id\b|#)(?: ?[:.#])* ?([A-Z0-9][A-Z0-9/_.-]*)?"
);
pattern!(INVOICE_HEADING, r"(?i)^(?:tax )?(?:invoice|rechnung|faktura) ?[:#]? ?([A-Z0-9/_.-]*\d[A-Z0-9/_.-]*)$");
pattern!(
    PO_NUMBER,
    r"(?i)(?:(?:\bpurchase order|\bp\.?o\b\.?|\b(?:your|ihre) (?:order|bestellung)|^bestellung)(?:[ -]?(?:number|no\b\.?|nr\b\.?|nummer|ref(?:erence)?\b\.?|#))?|(?:\border|\bbestell(?:ung)?)(?:[ -]?(?:number|no\b\.?|nr\b\.?|nummer|ref(?:erence)?\b\.?|#)|:))(?:$|[ :.#]+([A-Z0-9][A-Z0-9/_.-]*)?)"
);

fn invoice_number(lines: &[&str]) -> Option<String> {
    labelled(lines, &INVOICE_NUMBER).or_else(|| first(lines, &INVOICE_HEADING)).map(str::to_owned)
}

fn po_number(lines: &[&str]) -> Option<String> {
    labelled(lines, &PO_NUMBER).map(str::to_owned)
}

pattern!(
    LINE_ITEM,
    r"^(?:\d{1,3}\.? )?(.*\p{L}.*?) (\d+(?:[.,]\d+)?)(?: (?:pcs?|pieces|boxes|box|units?|hours?|h|kg|stk\.?|stück|std\.?|x))?(?: x)? (?:[€$£] ?)?(\d[\d.,']*[.,]\d{2})(?: [A-Z]{3}| ?[€$£])? (?:[€$£] ?)?(\d[\d.,']*[.,]\d{2})(?: [A-Z]{3}| ?[€$£])?$"
);

fn line_items(lines: &[&str]) -> Vec<Line> {
    let item = |line: &&str| {
        let parts = LINE_ITEM.captures(line)?;
        let amount_of = |place: usize| crate::domain::money::parse_amount(&parts[place]).ok();
        let (quantity, price, amount) = (amount_of(2)?, amount_of(3)?, amount_of(4)?);
        let fits = quantity.checked_mul(price)?.round_dp(2) == amount;
        fits.then(|| Line { description: parts[1].trim().to_owned(), quantity, price, amount })
    };
    lines.iter().filter_map(item).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENGLISH: &str = "Nordwind Papier GmbH\nHafenstr. 12, 20457 Hamburg\nINVOICE\nInvoice number: 4711\n\
        Invoice date: 2026-02-27   Due date: 2026-03-29\nPurchase order: 88001\nBill to: Acme Ltd, 1 High Street\n\
        Description Qty Unit price Amount\nCopy paper A4 100 4.50 450.00\nEnvelopes C5 200 1.75 350.00\n\
        Delivery 1 200.00 200.00\nSubtotal 1,000.00 EUR\nVAT 19 % 190.00 EUR\nTotal due 1,190.00 EUR\n\
        IBAN: DE89 3704 0044 0532 0130 00 BIC: COBADEFFXXX";
    const GERMAN: &str = "Nordwind Papier GmbH\nRechnung\nRechnungs-Nr.: RE-2026/17\nRechnungsdatum: 27.02.2026\n\
        Ihre Bestellung: 88001\nKunde\nAcme GmbH\nZwischensumme 1.000,00 €\nMwSt. 19% 190,00 €\nGesamtbetrag: 1.190,00 €\n\
        IBAN DE89370400440532013000";
    const ORDER: &str = "Acme Ltd\nPURCHASE ORDER\nPO number: 88001\nOrder date: 20 February 2026\nSupplier: Nordwind Papier GmbH\n\
        Copy paper A4 100 4.50 450.00\nTotal: EUR 1,190.00\nPlease quote this number on your invoice.";

    #[test]
    fn an_english_and_a_german_invoice_give_the_same_fields() {
        for (text, number) in [(ENGLISH, "4711"), (GERMAN, "RE-2026/17")] {
            let reading = read(text);
            assert_eq!((reading.kind, reading.number.as_deref()), (Kind::Invoice, Some(number)), "{text}");
            assert_eq!(reading.date, Some("2026-02-27".parse().unwrap()));
            assert_eq!(reading.supplier.as_deref(), Some("Nordwind Papier GmbH"));
            assert_eq!(reading.currency.as_deref(), Some("EUR"));
            assert_eq!(reading.total, Total::One("1190.00".parse().unwrap()));
            assert_eq!((reading.net, reading.vat), (Some("1000.00".parse().unwrap()), Some("190.00".parse().unwrap())));
            assert_eq!(reading.po_number.as_deref(), Some("88001"));
            assert_eq!(reading.iban.as_deref(), Some("DE89370400440532013000"));
        }
        let items: Vec<_> = read(ENGLISH).lines.into_iter().map(|line| line.description).collect();
        assert_eq!(items, ["Copy paper A4", "Envelopes C5", "Delivery"]);
    }

    #[test]
    fn a_purchase_order_is_no_invoice() {
        let reading = read(ORDER);
        assert_eq!((reading.kind, reading.number, reading.po_number.as_deref()), (Kind::Po, None, Some("88001")));
        assert_eq!(reading.supplier.as_deref(), Some("Nordwind Papier GmbH"));
        assert_eq!(reading.total, Total::One("1190.00".parse().unwrap()));
        assert_eq!(reading.date, Some("2026-02-20".parse().unwrap()));
    }

    #[test]
    fn documents_are_told_apart_by_their_title() {
        let check = |text: &str, expected: Kind| assert_eq!(read(text).kind, expected, "{text}");
        check("Tax Invoice\nTotal 5.00", Kind::Invoice);
        check("Acme\nRechnung Nr. 17", Kind::Invoice);
        check("Purchase order 88001\nInvoice no. 17", Kind::Invoice);
        check("Bestellung 88001", Kind::Po);
        check("Credit note\nInvoice number: 4711", Kind::Other);
        check("Zahlungserinnerung\nRechnung 17", Kind::Other);
        check("Pro forma invoice\nInvoice no 1", Kind::Other);
        check("Please send your invoice to us", Kind::Other);
        check("", Kind::Other);
    }

    #[test]
    fn numbers_are_found_beside_or_below_their_label_and_must_hold_a_digit() {
        let check = |text: &str, invoice: Option<&str>, po: Option<&str>| {
            let reading = read(text);
            assert_eq!((reading.number.as_deref(), reading.po_number.as_deref()), (invoice, po), "{text}");
        };
        check("Invoice no.: INV-9 PO: 77", Some("INV-9"), Some("77"));
        check("Invoice number\nINV-9\nP.O. number\nPO-12", Some("INV-9"), Some("PO-12"));
        check("Invoice # 12\nYour order: A-1", Some("12"), Some("A-1"));
        check("Invoice\nPO Box 77", None, None);
        check("Rechnung\nBestellnummer: 88001", None, Some("88001"));
        check("Invoice number: pending", None, None);
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

        #[test]
        fn any_text_is_read_without_a_panic(
            words in proptest::collection::vec("Invoice number|PO|Total due|IBAN DE89|Date:|Bill to|GmbH|\\n|[0-9.,/ -]{1,9}|\\PC{0,6}", 0..60)
        ) {
            let reading = read(&words.join(" "));
            proptest::prop_assert!(reading.number.is_none_or(|number| number.contains(|c: char| c.is_ascii_digit())));
        }
    }
}
