//! Text in the order it is drawn, one line for each height on the page.
//!
//! `pdf_extract` has an output of its own, but it joins what is drawn up and to the right, such as a title beside an address.

use pdf_extract::{MediaBox, OutputDev, OutputError, Transform};

use super::MAX_TEXT_BYTES;

/// Collects the text of pages; what is too much is cut.
#[derive(Default)]
pub struct Lines {
    pub text: String,
    /// Where the last letter stood: its height and its right end, in points.
    last: Option<(f64, f64)>,
}

impl OutputDev for Lines {
    fn begin_page(&mut self, _: u32, _: &MediaBox, _: Option<(f64, f64, f64, f64)>) -> Result<(), OutputError> {
        self.last = None;
        Ok(())
    }

    fn end_page(&mut self) -> Result<(), OutputError> {
        self.text.push_str("\n\u{c}");
        Ok(())
    }

    fn output_character(
        &mut self,
        at: &Transform,
        width: f64,
        _: f64,
        font_size: f64,
        letter: &str,
    ) -> Result<(), OutputError> {
        if self.text.len() > MAX_TEXT_BYTES {
            return Ok(());
        }
        let size = font_size * (at.m11 * at.m22 - at.m12 * at.m21).abs().sqrt();
        if let Some((height, end)) = self.last {
            if (at.m32 - height).abs() > size * 0.5 {
                self.text.push('\n');
            } else if at.m31 > end + size * 0.1 || at.m31 < end - size {
                self.text.push(' ');
            }
        }
        self.text.push_str(letter);
        self.last = Some((at.m32, at.m31 + width * size));
        Ok(())
    }

    fn begin_word(&mut self) -> Result<(), OutputError> {
        Ok(())
    }

    fn end_word(&mut self) -> Result<(), OutputError> {
        Ok(())
    }

    fn end_line(&mut self) -> Result<(), OutputError> {
        Ok(())
    }
}
