//! `extract_pdf`: reads invoice and purchase order from the text of PDFs. The text comes from a limited child process.

use async_trait::async_trait;
use rust_decimal::Decimal;
use serde_json::{Map, Value, json};

use super::invoice::{self, Kind, Reading, Total};
use super::pdf::{PdfError, PdfReader, PdfText};
use super::settings::{self, Reader};
use super::{Agent, Outcome, Task, blob_trouble};
use crate::domain::document::DocumentRef;
use crate::domain::failure::Failure;
use crate::domain::message::PartKind;
use crate::domain::money::Money;

pub struct ExtractPdf {
    pub reader: PdfReader,
}

#[derive(Default)]
struct Wants {
    documents: Vec<DocumentRef>,
    /// Without which the step fails; none for "any".
    want: Option<Kind>,
}

fn read(with: &mut Reader) -> Wants {
    let want = match with.optional::<String>("want").as_deref() {
        None | Some("invoice") => Some(Kind::Invoice),
        Some("po") => Some(Kind::Po),
        Some("any") => None,
        Some(other) => {
            with.say("want", format!("`{other}` is none of: invoice, po, any"));
            None
        }
    };
    Wants { documents: with.required("documents"), want }
}

#[async_trait]
impl Agent for ExtractPdf {
    fn name(&self) -> &'static str {
        "extract_pdf"
    }

    fn about(&self) -> &'static str {
        "Reads invoice and purchase order from the PDFs among `documents`; fails without the one it is to `want`."
    }

    fn check(&self, with: &Map<String, Value>) -> Vec<(String, String)> {
        settings::check(with, read)
    }

    async fn perform(&self, task: &Task) -> Outcome {
        self.extract(task).await.unwrap_or_else(|outcome| outcome)
    }
}

/// `invoice 4711 of Nordwind Papier`, as far as it was read.
fn told(reading: &Reading) -> String {
    let what = match reading.kind {
        Kind::Invoice => "invoice",
        Kind::Po => "purchase order",
        Kind::Other => return "neither invoice nor purchase order".to_owned(),
    };
    let number = if reading.kind == Kind::Po { &reading.po_number } else { &reading.number };
    let number = number.as_deref().unwrap_or("without a number");
    let supplier = reading.supplier.as_deref().unwrap_or("an unknown supplier");
    format!("{what} {number} of {supplier}")
}

/// A document and what became of reading it.
pub struct Looked {
    document: DocumentRef,
    found: Result<(Reading, u32), Failure>,
}

impl ExtractPdf {
    async fn extract(&self, task: &Task) -> Result<Outcome, Outcome> {
        let wants = settings::filled(&task.with, read)?;
        let mut looked = vec![];
        let count = wants.documents.len();
        for (place, document) in wants.documents.into_iter().enumerate() {
            task.progress(
                u8::try_from(place * 100 / count.max(1)).unwrap_or(100),
                &format!("reading {}", document.name),
            );
            let found = if document.kind == PartKind::Pdf {
                let text = self.text(task, &document).await?;
                if let Ok(text) = &text {
                    let path = task.artifact(&format!("{:03}.txt", place + 1));
                    task.blob.put(&path, text.text.as_bytes()).await.map_err(|error| blob_trouble(&path, &error))?;
                }
                text.map(|text| (invoice::read(&text.text), text.pages)).map_err(|error| error.failure(&document.name))
            } else {
                Err(Failure::low("no_pdf", format!("{} is no PDF", document.name)))
            };
            match &found {
                Ok((reading, pages)) => task.log(&format!("{}: {pages} pages, {}", document.name, told(reading))),
                Err(failure) => task.warn(&failure.details),
            }
            looked.push(Looked { document, found });
        }
        Ok(Outcome::done(conclude(&looked, wants.want)?))
    }

    /// The text, or why this document has none; what is this machine's fault ends the attempt.
    async fn text(&self, task: &Task, document: &DocumentRef) -> Result<Result<PdfText, PdfError>, Outcome> {
        let bytes = task.blob.get(&document.path).await.map_err(|error| blob_trouble(&document.path, &error))?;
        match self.reader.read(&bytes).await {
            Err(error) if error.is_transient() => Err(Outcome::Retry(error.failure(&document.name))),
            text => Ok(text),
        }
    }
}

/// The output, from what every document said.
///
/// # Errors
/// When what is wanted is not there, or could be read in two ways. A document that could not be read may have been it:
/// then its failure is told.
fn conclude(looked: &[Looked], want: Option<Kind>) -> Result<Value, Failure> {
    let invoice = one_of(looked, Kind::Invoice)?;
    let po = one_of(looked, Kind::Po)?;
    let missing = match want {
        Some(Kind::Invoice) => invoice.is_none().then_some(("no_invoice", "invoice")),
        Some(Kind::Po) => po.is_none().then_some(("no_po", "purchase order")),
        _ => None,
    };
    if let Some((reason, what)) = missing {
        let unread =
            looked.iter().filter_map(|one| one.found.as_ref().err()).find(|failure| failure.reason != "no_pdf");
        let names: Vec<_> = looked.iter().map(|one| one.document.name.as_str()).collect();
        let names = if names.is_empty() { "no documents at all".to_owned() } else { names.join(", ") };
        return Err(unread.cloned().unwrap_or_else(|| Failure::medium(reason, format!("no {what} among: {names}"))));
    }
    let invoice = invoice.map(|(document, reading)| invoice_output(document, reading)).transpose()?;
    let po = po.map(|(document, reading)| po_output(document, reading)).transpose()?;
    let documents: Vec<_> = looked.iter().map(document_output).collect();
    Ok(json!({"invoice": invoice, "po": po, "documents": documents}))
}

/// The only document of a kind. Copies that say the same are one; different ones need a person.
fn one_of(looked: &[Looked], kind: Kind) -> Result<Option<(&DocumentRef, &Reading)>, Failure> {
    let mut readings = looked.iter().filter_map(|one| match &one.found {
        Ok((reading, _)) if reading.kind == kind => Some((&one.document, reading)),
        _ => None,
    });
    let first = readings.next();
    match (first, readings.find(|(_, reading)| first.is_some_and(|(_, first)| first != *reading))) {
        (Some((one, _)), Some((other, _))) => {
            let details = format!("{} and {} say different things; one at a time can be handled", one.name, other.name);
            Err(Failure::medium(if kind == Kind::Po { "several_pos" } else { "several_invoices" }, details))
        }
        _ => Ok(first),
    }
}

fn invoice_output(document: &DocumentRef, reading: &Reading) -> Result<Value, Failure> {
    let total = total_of(document, reading)?;
    let unread = [
        ("number", reading.number.is_none()),
        ("supplier", reading.supplier.is_none()),
        ("currency", reading.currency.is_none()),
        ("total", total.is_none()),
    ];
    let unread: Vec<_> = unread.into_iter().filter_map(|(field, missing)| missing.then_some(field)).collect();
    if !unread.is_empty() {
        let details = format!("{} states no {} that could be read without doubt", document.name, unread.join(", no "));
        return Err(Failure::medium("invoice_incomplete", details));
    }
    let amount = match (&reading.total, &reading.currency) {
        (Total::One(total), Some(currency)) => Money::new(*total, currency).ok().map(|money| money.to_string()),
        _ => None,
    };
    let lines: Vec<_> = reading.lines.iter().map(line_output).collect();
    Ok(json!({
        "number": reading.number, "date": reading.date, "supplier": reading.supplier, "currency": reading.currency,
        "total": total, "amount": amount, "net": reading.net.map(text), "vat": reading.vat.map(text), "po_number": reading.po_number,
        "iban": reading.iban, "lines": lines, "document": document,
    }))
}

fn po_output(document: &DocumentRef, reading: &Reading) -> Result<Value, Failure> {
    Ok(json!({
        "number": reading.po_number, "date": reading.date, "supplier": reading.supplier, "currency": reading.currency,
        "total": total_of(document, reading)?, "document": document,
    }))
}

fn total_of(document: &DocumentRef, reading: &Reading) -> Result<Option<String>, Failure> {
    match &reading.total {
        Total::Missing => Ok(None),
        Total::One(amount) => Ok(Some(text(*amount))),
        Total::Ambiguous(amounts) => {
            let amounts: Vec<_> = amounts.iter().copied().map(text).collect();
            let details = format!("{} calls different amounts its total: {}", document.name, amounts.join(" and "));
            Err(Failure::medium("total_ambiguous", details))
        }
    }
}

fn line_output(line: &invoice::Line) -> Value {
    json!({
        "description": line.description, "quantity": text(line.quantity), "price": text(line.price), "amount": text(line.amount),
    })
}

fn document_output(one: &Looked) -> Value {
    match &one.found {
        Ok((reading, pages)) => json!({"name": one.document.name, "kind": reading.kind, "pages": pages}),
        Err(failure) => json!({"name": one.document.name, "kind": Kind::Other, "pages": null, "failure": failure}),
    }
}

fn text(amount: Decimal) -> String {
    amount.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::testing::document;

    const INVOICE: &str = "Nordwind Papier GmbH\nINVOICE\nInvoice number: 4711\nPO: 88001\nTotal 1,190.00 EUR";
    const ORDER: &str = "PURCHASE ORDER\nPO number: 88001\nSupplier: Nordwind Papier GmbH\nTotal 1,190.00 EUR";

    fn looked(texts: &[Result<&str, PdfError>]) -> Vec<Looked> {
        let one = |(place, text): (usize, &Result<&str, PdfError>)| {
            let name = format!("{place}.pdf");
            let found = match text {
                Ok(text) => Ok((invoice::read(text), 1)),
                Err(error) => Err(error.failure(&name)),
            };
            Looked { document: serde_json::from_value(document(&name)).unwrap(), found }
        };
        texts.iter().enumerate().map(one).collect()
    }

    #[test]
    fn invoice_and_order_come_out_with_their_documents() {
        let output = conclude(&looked(&[Ok(ORDER), Ok(INVOICE), Ok("hello")]), Some(Kind::Invoice)).unwrap();
        assert_eq!(output["invoice"]["total"], "1190.00");
        assert_eq!(
            (&output["invoice"]["document"]["name"], &output["po"]["number"]),
            (&json!("1.pdf"), &json!("88001"))
        );
        assert_eq!(output["documents"][2], json!({"name": "2.pdf", "kind": "other", "pages": 1}));
        let only_order = conclude(&looked(&[Ok(ORDER)]), Some(Kind::Po)).unwrap();
        assert!(only_order["invoice"].is_null());
    }

    #[test]
    fn what_is_missing_unreadable_or_contradictory_fails_with_its_reason() {
        let check = |texts: &[Result<&str, PdfError>], want: Kind, expected: &str| {
            assert_eq!(conclude(&looked(texts), Some(want)).unwrap_err().reason, expected);
        };
        let other = INVOICE.replace("4711", "4712");
        check(&[], Kind::Invoice, "no_invoice");
        check(&[Ok(ORDER)], Kind::Invoice, "no_invoice");
        check(&[Ok("hello")], Kind::Po, "no_po");
        check(&[Ok(ORDER), Err(PdfError::Encrypted)], Kind::Invoice, "pdf_encrypted");
        check(&[Ok(INVOICE), Ok(&other)], Kind::Invoice, "several_invoices");
        check(&[Ok("Invoice\nInvoice no. 7\nTotal 5.00")], Kind::Invoice, "invoice_incomplete");
        let twice = format!("{INVOICE}\nAmount due 5.00 EUR");
        check(&[Ok(&twice)], Kind::Invoice, "total_ambiguous");
    }

    #[test]
    fn a_copy_or_an_unreadable_enclosure_does_not_stop_a_good_invoice() {
        let texts = [Ok(INVOICE), Ok(INVOICE), Err(PdfError::NoText)];
        let output = conclude(&looked(&texts), Some(Kind::Invoice)).unwrap();
        assert_eq!(output["documents"][2]["failure"]["reason"], "pdf_no_text");
    }
}
