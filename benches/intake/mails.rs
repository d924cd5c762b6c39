//! The messages of the benchmark: what a mailbox for supplier invoices receives, made up from a seed. The same seed and
//! index give the same bytes; no two messages or documents are alike. Leaves where they are put to `rig`.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Suppliers that the people file knows; half as many strangers write as well.
pub const SUPPLIERS: usize = 20;

/// Who vouches for the senders, by Authentication-Results.
pub const AUTHSERV_ID: &str = "mx.bench.example";

/// What a message brings.
#[derive(Clone, Copy)]
enum Kind {
    Pdf,
    PdfAndXml,
    TwoPdfs,
    Text,
    Large,
}

/// Twenty messages in a row: 60 % one PDF, 10 % PDF and XML, 15 % two PDFs, 10 % text, 5 % a large scan.
const KINDS: [Kind; 20] = {
    use Kind::*;
    [
        Pdf, Pdf, TwoPdfs, Pdf, Text, Pdf, PdfAndXml, Pdf, Pdf, TwoPdfs, Pdf, Large, Pdf, Pdf, Text, Pdf, PdfAndXml,
        Pdf, TwoPdfs, Pdf,
    ]
};

/// Domain of a supplier.
pub fn domain(supplier: usize) -> String {
    format!("supplier-{supplier:02}.example")
}

/// One message as a Maildir holds it: lines end with LF alone.
pub fn mail(seed: u64, index: usize, to: &str) -> Vec<u8> {
    let mut random = Random::new(seed, index);
    let domain = domain(random.below(SUPPLIERS + SUPPLIERS / 2));
    let (number, boundary) = (format!("{}-{index:06}", 2026), format!("=_{:016x}", random.next()));
    let minute = index % 1_440;
    let date = format!("Tue, {:02} Sep 2026 {:02}:{:02}:00 +0000", 1 + index / 1_440 % 28, minute / 60, minute % 60);
    let mut head = format!(
        "Return-Path: <billing@{domain}>\nDelivered-To: {to}\nReceived: from mail.{domain} (mail.{domain} [192.0.2.25])\n\
         \tby {AUTHSERV_ID} (Postfix) with ESMTPS id {:012X}\n\tfor <{to}>; {date}\n\
         Authentication-Results: {AUTHSERV_ID};\n\tdkim=pass header.d={domain};\n\tspf=pass smtp.mailfrom={domain};\n\
         \tdmarc=pass header.from={domain}\n",
        random.next() >> 16
    );
    for _ in 0..6 {
        let _ = writeln!(head, "X-Transport-Trace: {}", random.words(8));
    }
    let _ = write!(
        head,
        "From: Billing <billing@{domain}>\nTo: <{to}>\nSubject: Invoice {number} {}\nDate: {date}\n\
         Message-ID: <{:016x}.{index}@{domain}>\nMIME-Version: 1.0\n",
        random.words(3),
        random.next()
    );
    let kind = KINDS[index % KINDS.len()];
    if matches!(kind, Kind::Text) {
        if (index / 10).is_multiple_of(2) {
            head.push_str("List-Unsubscribe: <mailto:off@list.example>\n");
        }
        let text = paragraphs(&mut random, 30);
        return format!("{head}Content-Type: text/plain; charset=utf-8\n\n{text}").into_bytes();
    }
    let text = paragraphs(&mut random, 8);
    let mut mail =
        format!("{head}Content-Type: multipart/mixed; boundary=\"{boundary}\"\n\n--{boundary}\n").into_bytes();
    let alternative = format!(
        "Content-Type: multipart/alternative; boundary=\"{boundary}a\"\n\n--{boundary}a\n\
         Content-Type: text/plain; charset=utf-8\n\n{text}\n--{boundary}a\nContent-Type: text/html; charset=utf-8\n\n\
         <html><body><p>{text}</p></body></html>\n--{boundary}a--\n"
    );
    mail.extend(alternative.bytes());
    let page = |random: &mut Random| 30_000 + random.below(60_000);
    let documents: Vec<(String, &str, Vec<u8>)> = match kind {
        Kind::Large => vec![pdf(&mut random, &format!("scan-{number}"), |random| 1_000_000 + random.below(2_000_000))],
        Kind::TwoPdfs => {
            let invoice = pdf(&mut random, &format!("invoice-{number}"), page);
            vec![invoice, pdf(&mut random, &format!("delivery-note-{number}"), page)]
        }
        Kind::PdfAndXml => {
            let invoice = pdf(&mut random, &format!("invoice-{number}"), page);
            vec![invoice, ("factur-x.xml".into(), "text/xml", xml(&mut random, &number).into_bytes())]
        }
        Kind::Pdf | Kind::Text => vec![pdf(&mut random, &format!("invoice-{number}"), page)],
    };
    for (name, kind, bytes) in documents {
        let part = format!(
            "--{boundary}\nContent-Type: {kind}; name=\"{name}\"\nContent-Transfer-Encoding: base64\n\
             Content-Disposition: attachment; filename=\"{name}\"\n\n"
        );
        mail.extend(part.bytes());
        for line in STANDARD.encode(&bytes).as_bytes().chunks(76) {
            mail.extend(line);
            mail.push(b'\n');
        }
    }
    mail.extend(format!("--{boundary}--\n").bytes());
    mail
}

/// A PDF as far as its first and last bytes go: intake looks no further.
fn pdf(random: &mut Random, name: &str, size: impl Fn(&mut Random) -> usize) -> (String, &'static str, Vec<u8>) {
    let size = size(random);
    let mut bytes =
        b"%PDF-1.7\n1 0 obj\n<</Type/Catalog/Pages 2 0 R>>\nendobj\n4 0 obj\n<</Filter/FlateDecode>>\nstream\n"
            .to_vec();
    while bytes.len() < size {
        bytes.extend(random.next().to_le_bytes());
    }
    bytes.extend(b"\nendstream\nendobj\ntrailer\n<</Root 1 0 R>>\n%%EOF\n");
    (format!("{name}.pdf"), "application/pdf", bytes)
}

fn xml(random: &mut Random, number: &str) -> String {
    let mut text = format!(
        "<?xml version=\"1.0\"?>\n<rsm:CrossIndustryInvoice xmlns:rsm=\"urn:un:unece:uncefact:data:standard:\
         CrossIndustryInvoice:100\">\n<ID>{number}</ID>\n"
    );
    for line in 0..40 {
        let _ = writeln!(text, "<Line id=\"{line}\" amount=\"{}\">{}</Line>", random.below(100_000), random.words(4));
    }
    text + "</rsm:CrossIndustryInvoice>\n"
}

fn paragraphs(random: &mut Random, lines: usize) -> String {
    (0..lines).map(|_| random.words(10) + "\n").collect()
}

/// SplitMix64: small, fast, the same everywhere.
struct Random(u64);

impl Random {
    fn new(seed: u64, index: usize) -> Self {
        let mut random = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ index as u64);
        Self(random.next())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, most: usize) -> usize {
        (self.next() % most as u64) as usize
    }

    fn words(&mut self, count: usize) -> String {
        const WORDS: [&str; 16] = [
            "order", "delivery", "goods", "March", "paper", "steel", "net", "amount", "thirty", "days", "pallet",
            "freight", "terms", "account", "kind", "regards",
        ];
        let words: Vec<&str> = (0..count).map(|_| WORDS[self.below(WORDS.len())]).collect();
        words.join(" ")
    }
}
