//! PDFs through the real child process: this binary, run once more with limits.

use std::path::{Path, PathBuf};

use countersign::agents::pdf::{PdfError, PdfReader};
use countersign::domain::duration::Span;

fn reader() -> PdfReader {
    PdfReader {
        program: PathBuf::from(env!("CARGO_BIN_EXE_countersign")),
        cpu: Span::from_secs(10),
        memory_bytes: 512 << 20,
    }
}

fn file(path: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

#[tokio::test]
async fn the_text_of_a_pdf_comes_line_by_line() {
    let read = reader().read(&file("config/demo/documents/invoice-4711.pdf")).await.unwrap();
    assert_eq!(read.pages, 1);
    for line in ["Nordwind Papier GmbH", "Invoice number 4711", "Total due 1,190.00 EUR"] {
        assert!(read.text.contains(line), "{line} is not in:\n{}", read.text);
    }
}

#[tokio::test]
async fn a_bad_pdf_ends_in_its_reason_and_never_in_a_panic() {
    let check = async |bytes: Vec<u8>, what: &str, expected: &str| {
        let error = reader().read(&bytes).await.expect_err(what);
        assert_eq!(error.failure(what).reason, expected, "{what}");
    };
    check(file("tests/samples/pdf/encrypted.pdf"), "encrypted.pdf", "pdf_encrypted").await;
    check(file("tests/samples/pdf/scan.pdf"), "scan.pdf", "pdf_no_text").await;
    check(file("tests/samples/pdf/truncated.pdf"), "truncated.pdf", "pdf_unreadable").await;
    check(file("tests/samples/pdf/garbage.pdf"), "garbage.pdf", "pdf_unreadable").await;
    check(vec![], "an empty file", "pdf_unreadable").await;
    check(b"Dear sirs, no PDF".to_vec(), "a text", "pdf_unreadable").await;
}

#[tokio::test]
async fn a_pdf_that_wants_too_much_ends_at_its_limit_and_leaves_us_alive() {
    let small = PdfReader { memory_bytes: 100 << 20, ..reader() };
    let error = small.read(&vec![b'%'; 200 << 20]).await.unwrap_err();
    assert!(matches!(error, PdfError::TooHard { .. }), "{error:?}");
    let brief = PdfReader { cpu: Span::from_secs(1), ..reader() };
    let error = brief.read(&endless()).await.unwrap_err();
    assert!(matches!(error, PdfError::TooHard { .. }), "{error:?}");
}

/// A page that shows a form which shows ten forms, and so on, ten deep: 10^10 letters from 3 KB.
fn endless() -> Vec<u8> {
    let mut objects = vec![
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_owned(),
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << /XObject << /X 6 0 R >> >> >>".to_owned(),
        "<< /Length 5 >>\nstream\n/X Do\nendstream".to_owned(),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>".to_owned(),
    ];
    let show = "/X Do ".repeat(10);
    for deeper in 7..17 {
        objects.push(format!(
            "<< /Type /XObject /Subtype /Form /BBox [0 0 595 842] /Resources << /XObject << /X {deeper} 0 R >> >> /Length {} >>\nstream\n{show}\nendstream",
            show.len()
        ));
    }
    let text = "BT /F 9 Tf (x) Tj ET";
    objects.push(format!(
        "<< /Type /XObject /Subtype /Form /BBox [0 0 595 842] /Resources << /Font << /F 5 0 R >> >> /Length {} >>\nstream\n{text}\nendstream",
        text.len()
    ));
    let (mut pdf, mut table) = ("%PDF-1.4\n".to_owned(), "0000000000 65535 f \n".to_owned());
    for (place, object) in objects.iter().enumerate() {
        table += &format!("{:010} 00000 n \n", pdf.len());
        pdf += &format!("{} 0 obj\n{object}\nendobj\n", place + 1);
    }
    let (size, start) = (objects.len() + 1, pdf.len());
    pdf += &format!("xref\n0 {size}\n{table}trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n");
    pdf.into_bytes()
}

#[tokio::test]
async fn a_reader_that_cannot_be_started_is_not_the_documents_fault() {
    let nowhere = PdfReader { program: "/no/such/program".into(), ..reader() };
    assert!(nowhere.read(b"%PDF").await.unwrap_err().is_transient());
}
