//! Where steps and the ways between them stand: in rows, each below all that lead to it, with as few crossings as a few sweeps
//! give.

use super::Graph;

pub(super) const NODE_WIDTH: f64 = 300.0;
const GAP_X: f64 = 36.0;
const GAP_Y: f64 = 58.0;
/// Room that a way takes where it passes a row.
const LANE_WIDTH: f64 = 30.0;
const SWEEPS: usize = 8;

/// A picture without ink.
#[derive(Debug)]
pub(super) struct Layout {
    pub width: f64,
    pub height: f64,
    /// Left upper corner and height of each node.
    pub boxes: Vec<(f64, f64, f64)>,
    /// Points that each edge goes through, from the lower side of a node to the upper side of another.
    pub ways: Vec<Vec<(f64, f64)>>,
}

/// A node, or the place where a way passes a row.
struct Spot {
    row: usize,
    width: f64,
    x: f64,
}

pub(super) fn layout(graph: &Graph, height_of: impl Fn(usize) -> f64) -> Layout {
    let rows = rows(graph);
    let mut spots: Vec<Spot> = rows.iter().map(|row| Spot { row: *row, width: NODE_WIDTH, x: 0.0 }).collect();
    let mut links: Vec<(usize, usize)> = vec![];
    let mut chains = vec![];
    for edge in &graph.edges {
        let mut chain = vec![edge.from];
        for row in rows[edge.from] + 1..rows[edge.to] {
            spots.push(Spot { row, width: LANE_WIDTH, x: 0.0 });
            chain.push(spots.len() - 1);
        }
        chain.push(edge.to);
        links.extend(chain.windows(2).map(|pair| (pair[0], pair[1])));
        chains.push(chain);
    }
    let count = rows.iter().max().map_or(0, |last| last + 1);
    let mut order: Vec<Vec<usize>> = vec![vec![]; count];
    for (index, spot) in spots.iter().enumerate() {
        order[spot.row].push(index);
    }
    for row in &order {
        place(row, &mut spots, |_, spots, index| spots[index].x);
    }
    for sweep in 0..SWEEPS {
        let down = sweep % 2 == 0;
        let turn: Vec<usize> = if down { (0..count).collect() } else { (0..count).rev().collect() };
        for row in turn {
            let wanted: Vec<f64> = order[row].iter().map(|index| middle(*index, down, &links, &spots)).collect();
            let mut sorted: Vec<(f64, usize)> = wanted.into_iter().zip(order[row].iter().copied()).collect();
            sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
            order[row] = sorted.iter().map(|(_, index)| *index).collect();
            let wanted: Vec<f64> = sorted.iter().map(|(x, _)| *x).collect();
            place(&order[row], &mut spots, |at, _, _| wanted[at]);
        }
    }
    finish(graph, &spots, &order, &chains, height_of)
}

/// The row of each node: below everything that leads to it. A circle, which no sound definition has, ends somewhere.
fn rows(graph: &Graph) -> Vec<usize> {
    let mut rows = vec![0; graph.nodes.len()];
    for _ in 0..graph.nodes.len() {
        for edge in &graph.edges {
            if rows[edge.to] <= rows[edge.from] && rows[edge.from] + 1 < graph.nodes.len().max(1) {
                rows[edge.to] = rows[edge.from] + 1;
            }
        }
    }
    rows
}

/// The mean place of what a spot is linked with, above or below; its own where there is nothing.
fn middle(index: usize, above: bool, links: &[(usize, usize)], spots: &[Spot]) -> f64 {
    let linked: Vec<f64> = links
        .iter()
        .filter_map(|(from, to)| match above {
            true => (*to == index).then(|| spots[*from].x),
            false => (*from == index).then(|| spots[*to].x),
        })
        .collect();
    if linked.is_empty() { spots[index].x } else { linked.iter().sum::<f64>() / linked.len() as f64 }
}

/// Gives the spots of a row the places they want, in order and without overlapping: groups that meet are moved together.
fn place(row: &[usize], spots: &mut [Spot], wanted: impl Fn(usize, &[Spot], usize) -> f64) {
    // First spot of a group, sum of wished-for places of its first, number of spots.
    let mut groups: Vec<(usize, f64, usize)> = vec![];
    let mut offset = vec![0.0; row.len()];
    for (at, index) in row.iter().enumerate() {
        if at > 0 {
            offset[at] = offset[at - 1] + (spots[row[at - 1]].width + spots[*index].width) / 2.0 + GAP_X;
        }
        groups.push((at, wanted(at, spots, *index) - offset[at], 1));
        while let [.., before, last] = groups.as_slice() {
            if before.1 / before.2 as f64 <= last.1 / last.2 as f64 {
                break;
            }
            let merged = (before.0, before.1 + last.1, before.2 + last.2);
            groups.truncate(groups.len() - 2);
            groups.push(merged);
        }
    }
    for (first, sum, count) in groups {
        for at in first..first + count {
            spots[row[at]].x = sum / count as f64 + offset[at];
        }
    }
}

fn finish(
    graph: &Graph,
    spots: &[Spot],
    order: &[Vec<usize>],
    chains: &[Vec<usize>],
    height_of: impl Fn(usize) -> f64,
) -> Layout {
    let is_node = |index: &&usize| **index < graph.nodes.len();
    let heights: Vec<f64> =
        order.iter().map(|row| row.iter().filter(is_node).map(|index| height_of(*index)).fold(0.0, f64::max)).collect();
    let mut tops = vec![];
    let mut y = GAP_X;
    for height in &heights {
        tops.push(y);
        y += height + GAP_Y;
    }
    let left = spots.iter().map(|spot| spot.x - spot.width / 2.0).fold(f64::INFINITY, f64::min);
    let right = spots.iter().map(|spot| spot.x + spot.width / 2.0).fold(f64::NEG_INFINITY, f64::max);
    let shift = if left.is_finite() { GAP_X - left } else { 0.0 };
    let boxes: Vec<(f64, f64, f64)> = (0..graph.nodes.len())
        .map(|index| {
            let spot = &spots[index];
            (spot.x - spot.width / 2.0 + shift, tops[spot.row], height_of(index))
        })
        .collect();
    let ways = chains.iter().map(|chain| {
        let mut points = vec![];
        for (at, index) in chain.iter().enumerate() {
            let spot = &spots[*index];
            let (x, top) = (spot.x + shift, tops[spot.row]);
            match at {
                0 => points.push((x, top + height_of(*index))),
                at if at + 1 == chain.len() => points.push((x, top)),
                _ => points.extend([(x, top), (x, top + heights[spot.row])]),
            }
        }
        points
    });
    let width = if right.is_finite() { right + shift + GAP_X } else { 2.0 * GAP_X };
    Layout { width, height: y - GAP_Y + GAP_X, boxes, ways: ways.collect() }
}
