//! A definition as a Mermaid flowchart, for pages and wikis that draw those.

use super::{Graph, Kind, Node};

impl Graph {
    pub fn mermaid(&self) -> String {
        let mut text = format!("---\ntitle: {}\n---\nflowchart TD\n", quoted(&self.title));
        for node in &self.nodes {
            text.push_str(&format!("    {}\n", shape(node)));
        }
        for edge in &self.edges {
            let (Some(from), Some(to)) = (self.nodes.get(edge.from), self.nodes.get(edge.to)) else { continue };
            let arrow = if edge.on_failure { "-.->" } else { "-->" };
            let label = edge.label.as_ref().map_or_else(String::new, |label| format!("|{}|", quoted(label)));
            text.push_str(&format!("    {} {arrow}{label} {}\n", id(node_name(from)), id(node_name(to))));
        }
        for (class, kind) in [("person", Kind::Person), ("switch", Kind::Switch)] {
            let of: Vec<_> = self.nodes.iter().filter(|node| node.kind == kind).map(|node| id(&node.name)).collect();
            if !of.is_empty() {
                text.push_str(&format!("    class {} {class}\n", of.join(",")));
            }
        }
        text + "    classDef person fill:#fff3d6,stroke:#b26a00\n    classDef switch fill:#e8f0fe,stroke:#3b5bdb\n"
    }
}

fn node_name(node: &Node) -> &str {
    &node.name
}

/// Some names are words of the language, such as `end`.
fn id(name: &str) -> String {
    format!("s_{name}")
}

fn shape(node: &Node) -> String {
    let mut lines = vec![node.title.clone(), format!("{}: {}", node.name, node.agent)];
    lines.extend(node.notes.iter().cloned());
    let text = quoted(&lines.join("\n"));
    let (open, close) = match node.kind {
        Kind::Plain => ("[", "]"),
        Kind::Person => ("([", "])"),
        Kind::Switch => ("{{", "}}"),
    };
    format!("{}{open}{text}{close}", id(&node.name))
}

fn quoted(text: &str) -> String {
    let escaped = text.replace('#', "#35;").replace('"', "#quot;").replace('<', "#lt;").replace('>', "#gt;");
    format!("\"{}\"", escaped.replace('\n', "<br/>"))
}
