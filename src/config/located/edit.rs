//! Changes to a document that keep each value's place: for definitions that are made of others.

use serde_json::Value;

use super::{At, Content, Located, Node};

/// Part of a document, with the places of its values. It belongs to the document that it was taken of.
#[derive(Debug, Clone)]
pub struct Piece(Node);

impl Located {
    /// The text at a place, if somebody wrote one.
    pub fn text(&self, at: At) -> Option<&str> {
        match self.find(at) {
            (Node { content: Content::Leaf(Value::String(text)), .. }, []) => Some(text),
            _ => None,
        }
    }

    /// What stands at a place.
    pub fn piece(&self, at: At) -> Option<Piece> {
        let (node, rest) = self.find(at);
        rest.is_empty().then(|| Piece(node.clone()))
    }

    /// Removes a key, if it is there.
    pub fn take_out(&mut self, at: At) {
        let Some((key, table)) = at.split_last() else { return };
        if let Some(Node { content: Content::Table(table), .. }) = self.node(table) {
            table.remove(*key);
        }
    }

    /// Puts a piece where something stands.
    pub fn put(&mut self, at: At, piece: Piece) {
        if let Some(node) = self.node(at) {
            *node = piece.0;
        }
    }

    /// Lays a piece over what stands at a place: tables merge at every depth.
    pub fn lay_at(&mut self, at: At, piece: Piece) {
        if let Some(node) = self.node(at) {
            node.merge(piece.0);
        }
    }

    /// Adds a piece at the end of a list.
    pub fn append(&mut self, at: At, piece: Piece) {
        if let Some(Node { content: Content::Array(items), .. }) = self.node(at) {
            items.push(piece.0);
        }
    }

    /// Keeps of a list what is wanted.
    pub fn retain(&mut self, at: At, is_wanted: impl Fn(&Value) -> bool) {
        if let Some(Node { content: Content::Array(items), .. }) = self.node(at) {
            items.retain(|item| is_wanted(&item.to_json()));
        }
    }

    fn node(&mut self, at: At) -> Option<&mut Node> {
        at.iter().try_fold(&mut self.root, |node, key| match &mut node.content {
            Content::Table(table) => table.get_mut(*key),
            Content::Array(items) => items.get_mut(key.parse::<usize>().ok()?),
            Content::Leaf(_) => None,
        })
    }
}
