//! A definition as an SVG picture that needs nothing else: no script, no font, no style sheet.

use super::layout::{NODE_WIDTH, layout};
use super::{Graph, Kind, Node};

const LINE: f64 = 17.0;
/// Room for the title above the picture.
const HEAD: f64 = 30.0;
/// Characters that fit a box.
const MOST_CHARS: usize = 36;
const MOST_LINES: usize = 6;

impl Graph {
    pub fn svg(&self) -> String {
        let lines: Vec<Vec<String>> = self.nodes.iter().map(lines).collect();
        let drawn = layout(self, |index| LINE.mul_add(lines[index].len() as f64, 18.0));
        let (width, height) = (drawn.width.max(self.title.chars().count() as f64 * 8.5 + 40.0), drawn.height + HEAD);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
             height=\"{height:.0}\" role=\"img\" font-family=\"system-ui, sans-serif\" font-size=\"13\">\n\
             <title>{title}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
             <defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" \
             orient=\"auto\"><path d=\"M0 0 8 4 0 8z\" fill=\"#5b6472\"/></marker></defs>\n\
             <text x=\"36\" y=\"28\" font-size=\"16\" font-weight=\"600\" fill=\"#1f2733\">{title}</text>\n\
             <g transform=\"translate(0 {HEAD})\">\n",
            title = escaped(&self.title)
        );
        for (edge, way) in self.edges.iter().zip(&drawn.ways) {
            let dash = if edge.on_failure { " stroke-dasharray=\"5 4\"" } else { "" };
            let path = path(way);
            svg.push_str(&format!(
                "<path d=\"{path}\" fill=\"none\" stroke=\"#5b6472\" stroke-width=\"1.4\"{dash} marker-end=\"url(#tip)\"/>\n"
            ));
        }
        for ((node, lines), (x, y, height)) in self.nodes.iter().zip(&lines).zip(&drawn.boxes) {
            let (fill, stroke, round) = match node.kind {
                Kind::Plain => ("#f5f7fa", "#8a94a3", 6.0),
                Kind::Person => ("#fff3d6", "#b26a00", 22.0),
                Kind::Switch => ("#e8f0fe", "#3b5bdb", 0.0),
            };
            svg.push_str(&format!(
                "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{NODE_WIDTH}\" height=\"{height:.1}\" rx=\"{round}\" fill=\"{fill}\" \
                 stroke=\"{stroke}\" stroke-width=\"1.4\"/>\n"
            ));
            for (at, line) in lines.iter().enumerate() {
                let style = match at {
                    0 => "font-weight=\"600\" fill=\"#1f2733\"",
                    1 => "fill=\"#4a5463\" font-size=\"12\"",
                    _ => "fill=\"#4a5463\" font-size=\"12\" font-style=\"italic\"",
                };
                let (x, y) = (x + NODE_WIDTH / 2.0, LINE.mul_add(at as f64, y + 22.0));
                svg.push_str(&format!(
                    "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\" {style}>{}</text>\n",
                    escaped(line)
                ));
            }
        }
        for (edge, way) in self.edges.iter().zip(&drawn.ways) {
            let (Some(label), [.., (_, above), (x, y)]) = (&edge.label, way.as_slice()) else { continue };
            let (label, y) = (escaped(&cut(label)), above.max(y - 24.0).midpoint(*y));
            svg.push_str(&format!(
                "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\" font-size=\"12\" fill=\"#3b5bdb\" stroke=\"#ffffff\" \
                 stroke-width=\"4\" paint-order=\"stroke\">{label}</text>\n"
            ));
        }
        svg + "</g>\n</svg>\n"
    }
}

fn lines(node: &Node) -> Vec<String> {
    let mark = match node.kind {
        Kind::Plain => "",
        Kind::Person => " (a person)",
        Kind::Switch => " (a switch)",
    };
    let mut lines = vec![cut(&node.title), cut(&format!("{}: {}{mark}", node.name, node.agent))];
    for note in &node.notes {
        lines.extend(wrapped(note));
    }
    if lines.len() > MOST_LINES {
        lines.truncate(MOST_LINES - 1);
        lines.push("…".to_owned());
    }
    lines
}

/// A text in lines that fit a box, broken between words.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = vec![];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + word.chars().count() < MOST_CHARS => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.iter().map(|line| cut(line)).collect()
}

fn cut(text: &str) -> String {
    match text.chars().count() {
        0..=MOST_CHARS => text.to_owned(),
        _ => text.chars().take(MOST_CHARS - 1).chain(['…']).collect(),
    }
}

/// Curves that leave downwards and arrive downwards.
fn path(points: &[(f64, f64)]) -> String {
    let Some((x, y)) = points.first() else { return String::new() };
    let mut path = format!("M{x:.1} {y:.1}");
    for pair in points.windows(2) {
        let [(x1, y1), (x2, y2)] = pair else { continue };
        let middle = y1.midpoint(*y2);
        path.push_str(&format!(" C{x1:.1} {middle:.1} {x2:.1} {middle:.1} {x2:.1} {y2:.1}"));
    }
    path
}

fn escaped(text: &str) -> String {
    let printable: String = text.chars().filter(|c| !c.is_control()).collect();
    printable.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
