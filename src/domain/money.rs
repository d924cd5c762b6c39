//! Amounts with their currency. Never a float, never a default currency.

use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// A decimal amount in one currency (ISO 4217 code, upper case).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Money {
    pub amount: Decimal,
    pub currency: String,
}

impl Money {
    /// # Errors
    /// When `currency` is not three letters.
    pub fn new(amount: Decimal, currency: &str) -> Result<Self, String> {
        let code = currency.trim().to_uppercase();
        if code.len() != 3 || !code.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return Err(format!("`{currency}` is no currency; write its ISO 4217 code, such as EUR"));
        }
        Ok(Self { amount, currency: code })
    }
}

impl fmt::Display for Money {
    /// `1,234.50 EUR`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{:.2}", self.amount.round_dp(2).abs());
        let (whole, cents) = text.split_once('.').unwrap_or((&text, "00"));
        let mut grouped = String::new();
        for (place, digit) in whole.chars().enumerate() {
            if place > 0 && (whole.len() - place).is_multiple_of(3) {
                grouped.push(',');
            }
            grouped.push(digit);
        }
        let sign = if self.amount.is_sign_negative() { "-" } else { "" };
        write!(f, "{sign}{grouped}.{cents} {}", self.currency)
    }
}

/// Reads an amount as documents print it: `1,234.50`, `1.234,50`, `1 234,50`, `1'234.50`, `1234`.
///
/// A single separator followed by exactly three digits (`1.234`) groups thousands; both readings of it are never mixed.
///
/// # Errors
/// When the text is no amount or could be read in two ways.
pub fn parse_amount(text: &str) -> Result<Decimal, String> {
    let bad = || format!("`{text}` is no amount");
    let compact: String = text.trim().chars().filter(|c| !c.is_whitespace() && *c != '\'' && *c != '’').collect();
    let (sign, digits) = match compact.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", compact.as_str()),
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_ascii_digit() || c == '.' || c == ',') {
        return Err(bad());
    }
    let last = digits.rfind(['.', ',']);
    let plain = match last {
        None => digits.to_owned(),
        Some(at) => {
            let mark = digits.as_bytes()[at] as char;
            let (whole, fraction) = (&digits[..at], &digits[at + 1..]);
            let repeated = whole.contains(mark);
            let is_group = fraction.len() == 3 && (repeated || !whole.contains(['.', ',']));
            let groups: Vec<&str> =
                if is_group { digits.split(mark).collect() } else { whole.split(['.', ',']).collect() };
            let well_grouped = groups.len() == 1
                || (groups[1..].iter().all(|group| group.len() == 3) && (1..=3).contains(&groups[0].len()));
            if !well_grouped || (!is_group && (repeated || fraction.is_empty() || whole.is_empty())) {
                return Err(bad());
            }
            if is_group { groups.concat() } else { format!("{}.{fraction}", groups.concat()) }
        }
    };
    Decimal::from_str(&format!("{sign}{plain}")).map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_read_as_documents_print_them() {
        for (text, expected) in [
            ("1,234.50", "1234.50"),
            ("1.234,50", "1234.50"),
            ("1 234,5", "1234.5"),
            ("1'234.50", "1234.50"),
            ("12,345,678.90", "12345678.90"),
            ("1.234", "1234"),
            ("1.234.567", "1234567"),
            ("99,95", "99.95"),
            ("-5.00", "-5.00"),
            ("1234", "1234"),
        ] {
            assert_eq!(parse_amount(text).unwrap().to_string(), expected, "{text}");
        }
        for text in ["", "abc", "1,23,456.00", "1.2.3", "1,234,50", "12.", ".50", "--1", "1,234.567.8"] {
            assert!(parse_amount(text).is_err(), "{text}");
        }
    }

    #[test]
    fn money_prints_grouped_with_its_currency_and_refuses_none() {
        let money = Money::new(Decimal::from_str("1234567.5").unwrap(), "eur").unwrap();
        assert_eq!(money.to_string(), "1,234,567.50 EUR");
        assert!(Money::new(Decimal::ONE, "€").is_err());
    }
}
