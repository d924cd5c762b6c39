//! `verify_invoice`: 2-way match of an invoice against its purchase order. It flags what differs; people decide.

use std::str::FromStr;

use async_trait::async_trait;
use rust_decimal::Decimal;
use serde_json::{Map, Value, json};

use super::invoice::normalised;
use super::settings::{self, Reader, Setting};
use super::{Agent, Outcome, Task};
use crate::domain::failure::Failure;
use crate::domain::money::Money;

pub struct VerifyInvoice;

#[derive(Default)]
struct Wants {
    invoice: Map<String, Value>,
    po: Option<Map<String, Value>>,
    tolerance: Tolerance,
}

/// How far the total may be off, over or under. Where both are given, both must hold; where none is, nothing may differ.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Tolerance {
    absolute: Option<Decimal>,
    percent: Option<Decimal>,
}

impl Setting for Tolerance {
    const WHAT: &'static str = "a table with `absolute` and `percent`, decimals as texts";
    fn read(value: &Value, checking: bool) -> Result<Self, String> {
        let table = value.as_object().ok_or_else(String::new)?;
        if let Some(unknown) = table.keys().find(|key| !["absolute", "percent"].contains(&key.as_str())) {
            return Err(format!("unknown setting `{unknown}`; there are: absolute, percent"));
        }
        let limit = |key: &str| match table.get(key) {
            None | Some(Value::Null) => Ok(None),
            // A number with a fraction has been a float on its way; only texts and whole numbers are exact.
            Some(Value::Number(whole)) if whole.is_u64() => Ok(whole.as_u64().map(Decimal::from)),
            Some(Value::String(text)) if checking && text.contains("{{") => Ok(None),
            Some(Value::String(text)) => match Decimal::from_str(text) {
                Ok(limit) if !limit.is_sign_negative() => Ok(Some(limit)),
                _ => Err(format!("`{key}` must be a decimal such as \"1.00\", not `{text}`")),
            },
            Some(other) => Err(format!("`{key}` must be a decimal in quotes such as \"1.00\", not {other}")),
        };
        Ok(Self { absolute: limit("absolute")?, percent: limit("percent")? })
    }
}

impl Tolerance {
    /// The largest difference that passes against an ordered total.
    fn allows(&self, ordered: Decimal) -> Decimal {
        let share = |percent: Decimal| ordered.abs().checked_mul(percent).map(|product| product / Decimal::ONE_HUNDRED);
        let limits = [self.absolute, self.percent.and_then(share)];
        limits.into_iter().flatten().min().unwrap_or_default()
    }
}

fn read(with: &mut Reader) -> Wants {
    if !with.mentions("po") {
        with.say("po", "`po` is missing; it must be a purchase order as `extract_pdf` gives it, or none");
    }
    Wants {
        invoice: with.required("invoice"),
        po: with.optional("po"),
        tolerance: with.optional("tolerance").unwrap_or_default(),
    }
}

#[async_trait]
impl Agent for VerifyInvoice {
    fn name(&self) -> &'static str {
        "verify_invoice"
    }

    fn about(&self) -> &'static str {
        "Compares `invoice` with `po`: number, supplier, currency, and total within `tolerance`."
    }

    fn check(&self, with: &Map<String, Value>) -> Vec<(String, String)> {
        settings::check(with, read)
    }

    async fn perform(&self, task: &Task) -> Outcome {
        match settings::filled(&task.with, read) {
            Ok(Wants { po: None, invoice, .. }) => {
                let number = invoice.get("number").map(settings::shown).unwrap_or_default();
                Outcome::Fail(Failure::medium("po_missing", format!("no purchase order for invoice {number}")))
            }
            Ok(Wants { invoice, po: Some(po), tolerance }) => {
                let found = verify(&invoice, &po, &tolerance);
                for check in found.get("checks").and_then(Value::as_array).into_iter().flatten() {
                    let said = |key: &str| check.get(key).map(settings::shown).unwrap_or_default();
                    let line = format!("{}: {}", said("label"), said("text"));
                    if check.get("ok") == Some(&Value::Bool(true)) { task.log(&line) } else { task.warn(&line) }
                }
                Outcome::done(found)
            }
            Err(failure) => Outcome::Fail(failure),
        }
    }
}

fn verify(invoice: &Map<String, Value>, po: &Map<String, Value>, tolerance: &Tolerance) -> Value {
    fn text<'a>(of: &'a Map<String, Value>, key: &str) -> &'a str {
        of.get(key).and_then(Value::as_str).unwrap_or_default()
    }
    let compare = |label: &str, (a, b): (&str, &str), equal: bool| {
        let stated = |text: &str| if text.is_empty() { "not stated".to_owned() } else { text.to_owned() };
        let ok = equal && !a.is_empty() && !b.is_empty();
        let said = if ok { stated(a) } else { format!("{} on the invoice, {} on the order", stated(a), stated(b)) };
        (json!({"label": label, "ok": ok, "text": said}), ok)
    };
    let (currency, ordered_currency) = (text(invoice, "currency"), text(po, "currency"));
    let amount = |of| Decimal::from_str(text(of, "total")).ok();
    let number = (text(invoice, "po_number"), text(po, "number"));
    let supplier = (text(invoice, "supplier"), text(po, "supplier"));
    let sums = amount(invoice).zip(amount(po));
    let (total, difference) = match sums.and_then(|(a, b)| Some((a, b, a.checked_sub(b)?))) {
        Some((invoiced, ordered, difference)) => {
            let limit = tolerance.allows(ordered);
            let ok = difference.abs() <= limit;
            let money = |amount: Decimal, currency: &str| {
                Money::new(amount, currency).map_or_else(|_| format!("{amount:.2}"), |money| money.to_string())
            };
            let mut said =
                format!("{} invoiced, {} ordered", money(invoiced, currency), money(ordered, ordered_currency));
            if !difference.is_zero() {
                let place = if ok { "within" } else { "more than" };
                said += &format!(", {difference:+.2} is {place} the tolerance of {limit:.2}");
            }
            ((json!({"label": "Total", "ok": ok, "text": said}), ok), Some(format!("{difference:.2}")))
        }
        None => (compare("Total", (text(invoice, "total"), text(po, "total")), false), None),
    };
    let checks = [
        compare("Purchase order", number, number.0.eq_ignore_ascii_case(number.1)),
        compare("Supplier", supplier, normalised(supplier.0) == normalised(supplier.1)),
        compare("Currency", (currency, ordered_currency), currency == ordered_currency),
        total,
    ];
    let matched = checks.iter().all(|(_, ok)| *ok);
    let checks: Vec<_> = checks.into_iter().map(|(check, _)| check).collect();
    json!({"matched": matched, "checks": checks, "difference": difference})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::testing::{perform, task};

    fn settings(invoice: Value, po: Value) -> Value {
        let mut with = json!({
            "invoice": {"number": "4711", "supplier": "Nordwind Papier GmbH", "currency": "EUR", "total": "1190.00", "po_number": "88001"},
            "po": {"number": "88001", "supplier": "NORDWIND PAPIER", "currency": "EUR", "total": "1190.00"},
            "tolerance": {"absolute": "5.00", "percent": "1"},
        });
        for (key, change) in [("invoice", invoice), ("po", po)] {
            with[key].as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        }
        with
    }

    async fn verified(invoice: Value, po: Value) -> Value {
        match perform(&VerifyInvoice, &task(settings(invoice, po))).await {
            Outcome::Done { output, .. } => output,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn each_difference_flags_its_own_check() {
        let check = async |invoice: Value, po: Value, expected: &[&str]| {
            let output = verified(invoice, po).await;
            let flagged = output["checks"].as_array().unwrap().iter().filter(|check| check["ok"] == false);
            let flagged: Vec<_> = flagged.map(|check| check["label"].as_str().unwrap()).collect();
            assert_eq!((flagged.as_slice(), output["matched"].as_bool()), (expected, Some(expected.is_empty())));
        };
        check(json!({}), json!({}), &[]).await;
        check(json!({"po_number": "88002"}), json!({}), &["Purchase order"]).await;
        check(json!({"supplier": "Nordwind Druck GmbH"}), json!({}), &["Supplier"]).await;
        check(json!({}), json!({"currency": "USD"}), &["Currency"]).await;
        check(json!({"total": "1195.00"}), json!({}), &[]).await;
        check(json!({"total": "1185.00"}), json!({}), &[]).await;
        check(json!({"total": "1195.01"}), json!({}), &["Total"]).await;
        check(json!({"total": "100.00"}), json!({"total": "102.00"}), &["Total"]).await; // 1 % is less than 5.00
        check(json!({}), json!({"total": null, "supplier": null}), &["Supplier", "Total"]).await;
    }

    #[tokio::test]
    async fn the_difference_is_told_exactly_and_signed() {
        let output = verified(json!({"total": "1200.10"}), json!({})).await;
        assert_eq!(output["difference"], "10.10");
        let said = "1,200.10 EUR invoiced, 1,190.00 EUR ordered, +10.10 is more than the tolerance of 5.00";
        assert_eq!(output["checks"][3]["text"], said);
        assert_eq!(verified(json!({}), json!({})).await["difference"], "0.00");
    }

    #[tokio::test]
    async fn without_an_order_it_fails_rather_than_passes() {
        let mut with = settings(json!({}), json!({}));
        with["po"] = Value::Null;
        let Outcome::Fail(failure) = perform(&VerifyInvoice, &task(with)).await else { panic!("must fail") };
        assert_eq!(failure.reason, "po_missing");
    }

    #[test]
    fn a_tolerance_is_never_a_float() {
        let told = |tolerance: Value| {
            let with = json!({"invoice": "{{ i }}", "po": "{{ p }}", "tolerance": tolerance});
            VerifyInvoice.check(with.as_object().unwrap()).len()
        };
        assert_eq!([told(json!({"absolute": "1.00"})), told(json!({"percent": 2}))], [0, 0]);
        assert_eq!(
            [told(json!({"absolute": 1.5})), told(json!({"absolut": "1"})), told(json!({"percent": "-1"}))],
            [1, 1, 1]
        );
    }
}
