//! Transport Neutral Encapsulation Format (MS-OXTNEF), the `winmail.dat` of Outlook: its attachments, with their names.
//! The body and the properties of the mail stay packed; Outlook sends the body as text as well.

/// One attachment; the bytes are borrowed from the container.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Attached<'a> {
    pub name: Option<String>,
    pub content: &'a [u8],
}

const SIGNATURE: u32 = 0x223e_9f78;
/// attAttachRendData: begins an attachment.
const RENDERING: u32 = 0x0006_9002;
/// attAttachTitle: its short name.
const TITLE: u32 = 0x0001_8010;
/// attAttachData: its bytes.
const DATA: u32 = 0x0006_800f;
/// attAttachment: its MAPI properties.
const PROPERTIES: u32 = 0x0006_9005;

const PR_DISPLAY_NAME: u16 = 0x3001;
const PR_ATTACH_DATA_BIN: u16 = 0x3701;
const PR_ATTACH_LONG_FILENAME: u16 = 0x3707;

/// The attachments in their order, `at_most` of them; and whether the container was whole.
/// None when the bytes are no TNEF.
pub fn attachments(raw: &[u8], at_most: usize) -> Option<(Vec<Attached<'_>>, bool)> {
    let mut reader = Reader { rest: raw };
    if reader.u32()? != SIGNATURE {
        return None;
    }
    reader.u16()?;
    let mut found: Vec<Attached<'_>> = vec![];
    while !reader.rest.is_empty() {
        let Some((id, data)) = attribute(&mut reader) else { return Some((found, false)) };
        if id == RENDERING {
            if found.len() >= at_most {
                return Some((found, false));
            }
            found.push(Attached::default());
        }
        let Some(current) = found.last_mut() else { continue };
        match id {
            TITLE if current.name.is_none() => current.name = Some(narrow(data)),
            DATA => current.content = data,
            PROPERTIES => {
                // A list that breaks off has still given what came before.
                let _ = properties(data, current);
            }
            _ => {}
        }
    }
    Some((found, true))
}

/// Level, id, length, data, checksum (MS-OXTNEF, 2.1.2).
fn attribute<'a>(reader: &mut Reader<'a>) -> Option<(u32, &'a [u8])> {
    reader.take(1)?;
    let id = reader.u32()?;
    let length = reader.u32()? as usize;
    let data = reader.take(length)?;
    reader.u16()?;
    Some((id, data))
}

/// Reads the list of MAPI properties (MS-OXTNEF, 2.1.3.4) as far as it makes sense.
fn properties<'a>(data: &'a [u8], into: &mut Attached<'a>) -> Option<()> {
    let mut reader = Reader { rest: data };
    let mut display_name = None;
    let mut long_name = None;
    for _ in 0..reader.u32()? {
        let Some((id, is_wide, value)) = property(&mut reader) else { break };
        let text = || if is_wide { wide(value) } else { narrow(value) };
        match id {
            PR_ATTACH_LONG_FILENAME => long_name = Some(text()),
            PR_DISPLAY_NAME => display_name = Some(text()),
            PR_ATTACH_DATA_BIN if into.content.is_empty() => into.content = value,
            _ => {}
        }
    }
    // The title is a short 8.3 name: the long one is better, the display name only better than none.
    if let Some(name) = long_name.or_else(|| into.name.take()).or(display_name) {
        into.name = Some(name);
    }
    Some(())
}

/// Id, whether its text is UTF-16, and the (first) value.
fn property<'a>(reader: &mut Reader<'a>) -> Option<(u16, bool, &'a [u8])> {
    let kind = reader.u16()?;
    let id = reader.u16()?;
    if id >= 0x8000 {
        reader.take(16)?;
        if reader.u32()? == 0 {
            reader.take(4)?;
        } else {
            let length = reader.u32()? as usize;
            reader.padded(length)?;
        }
    }
    let is_multiple = kind & 0x1000 != 0;
    let fixed = match kind & 0x0fff {
        0x0002 | 0x0003 | 0x0004 | 0x000a | 0x000b => Some(4),
        0x0005 | 0x0006 | 0x0007 | 0x0014 | 0x0040 => Some(8),
        0x0048 => Some(16),
        0x001e | 0x001f | 0x0102 | 0x000d => None,
        _ => return None,
    };
    let count = if is_multiple || fixed.is_none() { reader.u32()? } else { 1 };
    let mut first: &[u8] = &[];
    for n in 0..count {
        let length = match fixed {
            Some(length) => length,
            None => reader.u32()? as usize,
        };
        let value = reader.padded(length)?;
        if n == 0 {
            first = value;
        }
    }
    Some((id, kind & 0x0fff == 0x001f, first))
}

fn narrow(bytes: &[u8]) -> String {
    super::fields::text_of(bytes.split(|&byte| byte == 0).next().unwrap_or(&[]))
}

fn wide(bytes: &[u8]) -> String {
    let units = bytes.as_chunks::<2>().0.iter().map(|&pair| u16::from_le_bytes(pair));
    char::decode_utf16(units.take_while(|&unit| unit != 0)).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

/// Little-endian numbers and slices; None at the end, never a panic.
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    /// A value and the bytes that fill it up to a multiple of four; the last filling may be missing.
    fn padded(&mut self, length: usize) -> Option<&'a [u8]> {
        let value = self.take(length)?;
        let filling = (4 - length % 4) % 4;
        self.rest = self.rest.get(filling..).unwrap_or(&[]);
        Some(value)
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes(self.take(2)?.try_into().ok()?))
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    fn attribute_bytes(id: u32, data: &[u8]) -> Vec<u8> {
        let mut out = vec![2];
        out.extend(id.to_le_bytes());
        out.extend((data.len() as u32).to_le_bytes());
        out.extend(data);
        out.extend(data.iter().fold(0u16, |sum, &byte| sum.wrapping_add(byte.into())).to_le_bytes());
        out
    }

    fn text_property(kind: u16, id: u16, value: &[u8]) -> Vec<u8> {
        let mut out = [kind.to_le_bytes(), id.to_le_bytes()].concat();
        out.extend(1u32.to_le_bytes());
        out.extend((value.len() as u32).to_le_bytes());
        out.extend(value);
        out.resize(out.len().next_multiple_of(4), 0);
        out
    }

    /// A container with these files, their names as UTF-16 properties and as short titles.
    pub fn container(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut out = SIGNATURE.to_le_bytes().to_vec();
        out.extend([1, 0]);
        out.extend(attribute_bytes(0x0008_9006, &[0, 0, 1, 0]));
        for (name, content) in files {
            out.extend(attribute_bytes(RENDERING, &[0; 14]));
            out.extend(attribute_bytes(TITLE, b"SHORT~1.PDF\0"));
            out.extend(attribute_bytes(DATA, content));
            let wide: Vec<u8> = name.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
            let mut list = 2u32.to_le_bytes().to_vec();
            list.extend([3, 0, 0x05, 0x37, 1, 0, 0, 0]);
            list.extend(text_property(0x001f, PR_ATTACH_LONG_FILENAME, &wide));
            out.extend(attribute_bytes(PROPERTIES, &list));
        }
        out
    }

    #[test]
    fn attachments_come_with_their_long_names() {
        let raw = container(&[("Rechnung für März.pdf", b"%PDF-1"), ("b.xml", b"<a/>")]);
        let (found, whole) = attachments(&raw, 10).unwrap();
        assert!(whole);
        let found: Vec<_> = found.iter().map(|a| (a.name.as_deref().unwrap(), a.content)).collect();
        assert_eq!(found, [("Rechnung für März.pdf", b"%PDF-1".as_slice()), ("b.xml", b"<a/>")]);
    }

    #[test]
    fn any_cut_is_survived_and_told() {
        let raw = container(&[("a.pdf", b"%PDF-1")]);
        for end in 0..raw.len() {
            match attachments(&raw[..end], 10) {
                None => assert!(end < 6),
                Some((found, _)) => assert!(found.len() <= 1),
            }
        }
        assert_eq!(attachments(b"no tnef at all", 10), None);
        assert!(!attachments(&container(&[("a", b"1"), ("b", b"2")]), 1).unwrap().1);
    }
}
