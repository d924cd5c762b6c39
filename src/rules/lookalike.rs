//! Domains made to be mistaken for a known one: confusable letters, one letter off, another ending, a word added.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// The first of `known` that `domain` imitates; none when it is one of them, below one of them, or like none.
pub(super) fn imitated<'k>(domain: &str, known: impl IntoIterator<Item = &'k str> + Clone) -> Option<&'k str> {
    let domain = domain.to_lowercase();
    let genuine = |known: &str| {
        let known = known.to_lowercase();
        domain == known || domain.strip_suffix(known.as_str()).is_some_and(|rest| rest.ends_with('.'))
    };
    if domain.is_empty() || known.clone().into_iter().any(genuine) {
        return None;
    }
    let shape = skeleton(&domain);
    known
        .into_iter()
        .filter(|known| !known.is_empty())
        .find(|known| resembles(&shape, &skeleton(&known.to_lowercase())))
}

fn resembles(shape: &str, known: &str) -> bool {
    if shape == known {
        return true;
    }
    let (Some((name, ending)), Some((known_name, known_ending))) = (shape.rsplit_once('.'), known.rsplit_once('.'))
    else {
        return false;
    };
    let bare = |name: &str| name.replace(['-', '.'], "");
    // Short names differ by a letter for good reasons.
    let long = known_name.chars().count() >= 5;
    let one_off = long && ending == known_ending && edits(name, known_name, 1) <= 1;
    let hyphens = ending == known_ending && bare(name) == bare(known_name);
    let other_ending = long && name == known_name && ending != known_ending;
    // The name as a whole word inside another: `nordwind-billing.example`, `nordwind.example.evil.example`.
    let inside = long && name.split(['.', '-']).any(|word| word == known_name);
    one_off || hyphens || other_ending || inside
}

/// The domain as an eye reads it: letters that look alike are written alike.
fn skeleton(domain: &str) -> String {
    let shown: Vec<String> = domain
        .split('.')
        .map(|label| match label.strip_prefix("xn--") {
            Some(encoded) => decode_punycode(encoded).unwrap_or_else(|| label.to_owned()),
            None => label.to_owned(),
        })
        .collect();
    let plain: String = shown
        .join(".")
        .nfkd()
        .filter(|c| !is_combining_mark(*c))
        .flat_map(char::to_lowercase)
        .map(|c| match c {
            'а' | 'α' | 'ɑ' => 'a',
            'ь' => 'b',
            'с' | 'ϲ' => 'c',
            'ԁ' => 'd',
            'е' | 'є' | 'ε' => 'e',
            'һ' => 'h',
            '1' | '|' | 'l' | 'і' | 'ι' | 'ı' | 'ӏ' | 'ł' => 'i',
            'ј' => 'j',
            'κ' | 'к' => 'k',
            'м' => 'm',
            'п' | 'ո' | 'η' => 'n',
            '0' | 'о' | 'ο' | 'ø' | 'օ' => 'o',
            'р' | 'ρ' => 'p',
            'ԛ' => 'q',
            'г' => 'r',
            'ѕ' | '5' => 's',
            'т' | 'τ' => 't',
            'υ' | 'ս' => 'u',
            'ν' | 'ѵ' => 'v',
            'ԝ' | 'ω' => 'w',
            'х' | 'χ' => 'x',
            'у' | 'γ' => 'y',
            other => other,
        })
        .collect();
    plain.replace("rn", "m").replace("vv", "w")
}

/// Insertions, deletions, replacements and swaps of neighbours between the two; more than `limit` counts as `limit + 1`.
fn edits(a: &str, b: &str, limit: usize) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len().abs_diff(b.len()) > limit {
        return limit + 1;
    }
    let mut before: Vec<usize> = vec![];
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut next = vec![i];
        for j in 1..=b.len() {
            let replaced = row[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(row[j] + 1).min(next[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(before[j - 2] + 1);
            }
            next.push(least);
        }
        before = std::mem::replace(&mut row, next);
    }
    row[b.len()].min(limit + 1)
}

/// Decodes the part of a label after `xn--` (RFC 3492, 6.2); none when it is malformed.
fn decode_punycode(encoded: &str) -> Option<String> {
    const BASE: u32 = 36;
    let (plain, digits) = encoded.rsplit_once('-').unwrap_or(("", encoded));
    let mut out: Vec<char> = plain.chars().collect();
    if encoded.len() > 63 || !encoded.is_ascii() {
        return None;
    }
    let (mut n, mut i, mut bias) = (128u32, 0u32, 72u32);
    let mut bytes = digits.bytes().peekable();
    while bytes.peek().is_some() {
        let (start, mut weight, mut k) = (i, 1u32, BASE);
        loop {
            let digit = match bytes.next()? {
                byte @ b'a'..=b'z' => u32::from(byte - b'a'),
                byte @ b'0'..=b'9' => u32::from(byte - b'0') + 26,
                _ => return None,
            };
            i = i.checked_add(digit.checked_mul(weight)?)?;
            let threshold = k.saturating_sub(bias).clamp(1, 26);
            if digit < threshold {
                break;
            }
            weight = weight.checked_mul(BASE - threshold)?;
            k += BASE;
        }
        let length = u32::try_from(out.len()).ok()? + 1;
        let mut delta = if start == 0 { i / 700 } else { (i - start) / 2 };
        delta += delta / length;
        let mut steps = 0;
        while delta > 455 {
            delta /= BASE - 1;
            steps += BASE;
        }
        bias = steps + 36 * delta / (delta + 38);
        n = n.checked_add(i / length)?;
        i %= length;
        out.insert(i as usize, char::from_u32(n)?);
        i += 1;
    }
    Some(out.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_domain_that_imitates_a_known_one_is_told_and_the_genuine_one_is_not() {
        let known = ["nordwind.example", "acme.example", "kraft.example"];
        let check = |domain: &str, expected: Option<&str>| assert_eq!(imitated(domain, known), expected, "{domain}");
        for imitation in [
            "nordwlnd.example",
            "n0rdwind.example",
            "nordvvind.example",
            "nodrwind.example",
            "nordwind.co",
            "nord-wind.example",
            "nordwind-billing.example",
            "nordwind.example.evil.example",
            "xn--nordwnd-vog.example", // Cyrillic і
            "nоrdwind.example",        // Cyrillic о
        ] {
            check(imitation, Some("nordwind.example"));
        }
        for innocent in
            ["nordwind.example", "mail.Nordwind.example", "suedwind.example", "ace.example", "", "craft.test"]
        {
            check(innocent, None);
        }
    }

    #[test]
    fn punycode_is_read_as_the_rfc_says() {
        assert_eq!(decode_punycode("bcher-kva").as_deref(), Some("bücher"));
        assert_eq!(decode_punycode("egbpdaj6bu4bxfgehfvwxn").as_deref(), Some("ليهمابتكلموشعربي؟"));
        assert_eq!(decode_punycode("b!"), None);
    }

    proptest! {
        #[test]
        fn arbitrary_domains_never_panic(domain in ".{0,80}", known in ".{0,80}", encoded in "[a-z0-9-]{0,70}") {
            let _ = imitated(&domain, [known.as_str()]);
            let _ = imitated(&format!("xn--{encoded}.example"), [known.as_str()]);
        }
    }
}
