//! Parts that hold parts: enclosed mail, zip archives, TNEF. Members pay from the same budget as everything else.

use std::io::{Cursor, Read};

use zip::ZipArchive;

use crate::domain::message::{PartKind, PartRole};

use super::fields::Entity;
use super::parts::{File, Place, Walk};
use super::{headers, tnef};

/// Directory entries of an archive that are read at all; each costs memory before any part is counted.
const ZIP_ENTRIES: usize = 10_000;

/// Opens a container and adds its members. An error says why it cannot be opened.
pub fn open(walk: &mut Walk, kind: PartKind, content: &[u8], place: &Place) -> Result<(), String> {
    if !walk.budget.allows_depth(place.depth) {
        return Err("nested too deeply, it was not opened".into());
    }
    match kind {
        PartKind::Mail => open_mail(walk, content, place),
        PartKind::Tnef => open_tnef(walk, content, place),
        _ => open_zip(walk, content, place),
    }
}

fn open_mail(walk: &mut Walk, content: &[u8], place: &Place) -> Result<(), String> {
    let entity = Entity::split(content);
    if entity.fields.is_empty() {
        return Err("has no header, it is no mail".into());
    }
    let sender = headers::addresses(&entity, "from").into_iter().next();
    let sender = sender.or_else(|| headers::addresses(&entity, "sender").into_iter().next());
    if let Some(sender) = sender {
        walk.saw_enclosed_sender(sender, place.depth);
    }
    walk.entity(&entity, place);
    Ok(())
}

fn open_tnef(walk: &mut Walk, content: &[u8], place: &Place) -> Result<(), String> {
    let at_most = walk.budget.parts_left() as usize;
    let (attached, whole) = tnef::attachments(content, at_most).ok_or("is no TNEF")?;
    for attachment in attached {
        if !walk.pays_part() {
            return Ok(());
        }
        if walk.budget.take_bytes(attachment.content.len()) {
            walk.file(File::member(attachment.name, attachment.content.to_vec()), place);
        } else {
            walk.refuse(attachment.name, "is larger than what may still be unpacked", place);
        }
    }
    if !whole {
        walk.defect(format!("part {}: the TNEF container is cut off", place.container.unwrap_or(0)));
    }
    Ok(())
}

fn open_zip(walk: &mut Walk, content: &[u8], place: &Place) -> Result<(), String> {
    let entries = content.windows(4).filter(|bytes| bytes == b"PK\x01\x02").take(ZIP_ENTRIES + 1).count();
    if entries > ZIP_ENTRIES {
        return Err(format!("has more than {ZIP_ENTRIES} members"));
    }
    let mut archive = ZipArchive::new(Cursor::new(content)).map_err(|error| format!("cannot be unzipped: {error}"))?;
    if archive.has_duplicate_names() {
        walk.defect(format!(
            "part {}: several members have one name, the last was taken",
            place.container.unwrap_or(0)
        ));
    }
    for index in 0..archive.len() {
        let Ok(entry) = archive.by_index_raw(index) else {
            if !walk.pays_part() {
                return Ok(());
            }
            walk.refuse(None, "is a damaged zip member", place);
            continue;
        };
        let name = String::from_utf8(entry.name_raw().to_vec()).ok().or_else(|| entry.name().ok().map(Into::into));
        let path = name.as_deref().unwrap_or_default();
        // Folders, and what macOS adds for itself.
        if entry.is_dir() || path.starts_with("__MACOSX/") || path.ends_with(".DS_Store") {
            continue;
        }
        let (is_encrypted, packed) = (entry.encrypted(), entry.compressed_size());
        drop(entry);
        if !walk.pays_part() {
            return Ok(());
        }
        if is_encrypted {
            walk.file(File { role: Some(PartRole::NeedsPassword), ..File::member(name, vec![]) }, place);
            continue;
        }
        let mut bytes = vec![];
        let done = unpack(&mut archive, index, walk.budget.unpacked_limit(packed), &mut bytes);
        match done {
            Ok(()) if walk.budget.take_bytes(bytes.len()) => walk.file(File::member(name, bytes), place),
            Ok(()) => walk.refuse(name, "is larger than what may still be unpacked", place),
            Err(why) => {
                // Many members that each go too far would cost without end: members may share their packed bytes.
                walk.budget.waste(bytes.len() as u64);
                walk.refuse(name, &why, place);
            }
        }
    }
    Ok(())
}

/// Writes the bytes of one member; whatever the directory says, no more than `limit` are written.
fn unpack(
    archive: &mut ZipArchive<Cursor<&[u8]>>,
    index: usize,
    limit: u64,
    bytes: &mut Vec<u8>,
) -> Result<(), String> {
    let member = archive.by_index(index).map_err(|error| format!("cannot be unzipped: {error}"))?;
    let mut bounded = member.take(limit.saturating_add(1));
    bounded.read_to_end(bytes).map_err(|error| format!("cannot be unzipped: {error}"))?;
    if bytes.len() as u64 > limit {
        return Err("unpacks to more than is allowed".into());
    }
    Ok(())
}
