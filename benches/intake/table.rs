//! Samples, what is made of them, and how it is printed: one table of figures and one of goals.

use comfy_table::{CellAlignment, Table, presets};

use crate::MIB;
use crate::options::Options;

/// One run.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// From the start of the process to the last message.
    pub wall_secs: f64,
    pub cpu_secs: f64,
    pub peak_rss_bytes: f64,
}

/// All runs of one leg, in the order of rounds.
pub struct Row {
    label: String,
    messages: usize,
    pub samples: Vec<Sample>,
}

impl Row {
    pub fn new(label: &str, messages: usize) -> Self {
        Self { label: label.to_owned(), messages, samples: vec![] }
    }

    /// The largest: a goal is a bound.
    pub fn peak_rss_bytes(&self) -> f64 {
        self.samples.iter().map(|sample| sample.peak_rss_bytes).fold(0.0, f64::max)
    }

    pub fn wall_against(&self, other: &Self, name: &str, bound: f64) -> Goal {
        self.against(other, name, bound, |sample| sample.wall_secs)
    }

    pub fn rss_against(&self, other: &Self, name: &str, bound: f64) -> Goal {
        self.against(other, name, bound, |sample| sample.peak_rss_bytes)
    }

    /// The ratio of the medians; beside it the ratios of the rounds, smallest to largest.
    fn against(&self, other: &Self, name: &str, bound: f64, of: impl Fn(&Sample) -> f64) -> Goal {
        let values = |row: &Self| row.samples.iter().map(&of).collect::<Vec<_>>();
        let (ours, theirs) = (values(self), values(other));
        let rounds: Vec<f64> = ours.iter().zip(&theirs).map(|(ours, theirs)| ours / theirs).collect();
        let mut goal = Goal::at_most(name, median(&ours) / median(&theirs), bound);
        goal.range = Some(range(&rounds));
        goal
    }

    fn cells(&self) -> [String; 6] {
        let values = |of: fn(&Sample) -> f64| self.samples.iter().map(of).collect::<Vec<_>>();
        let (wall, cpu) = (values(|sample| sample.wall_secs), values(|sample| sample.cpu_secs));
        let (low, high) = range(&wall);
        [
            self.label.clone(),
            self.messages.to_string(),
            format!("{:.0}", self.messages as f64 / median(&wall)),
            format!("{:.2} ({low:.2}..{high:.2})", median(&wall)),
            format!("{:.2}", median(&cpu)),
            format!("{:.1}", self.peak_rss_bytes() / MIB),
        ]
    }
}

/// A figure, what it is to be, and whether it is.
pub struct Goal {
    name: String,
    figure: f64,
    range: Option<(f64, f64)>,
    bound: f64,
    is_met: bool,
}

impl Goal {
    pub fn at_most(name: &str, figure: f64, bound: f64) -> Self {
        Self { name: name.to_owned(), figure, range: None, bound, is_met: figure <= bound }
    }

    pub fn below(name: &str, figure: f64, bound: f64) -> Self {
        Self { is_met: figure < bound, ..Self::at_most(name, figure, bound) }
    }
}

/// Everything that is printed at the end.
pub struct Report {
    head: String,
    rows: Vec<Row>,
    goals: Vec<Goal>,
    notes: Vec<String>,
}

impl Report {
    pub fn new(options: &Options) -> Self {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let head = format!(
            "{} messages, {} interleaved rounds, {cores} cores; wall: median (smallest..largest)",
            options.messages, options.rounds
        );
        Self { head, rows: vec![], goals: vec![], notes: vec![] }
    }

    pub fn rows(&mut self, rows: impl IntoIterator<Item = Row>) {
        self.rows.extend(rows);
    }

    pub fn goal(&mut self, goal: Goal) {
        self.goals.push(goal);
    }

    pub fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    pub fn print(&self) {
        println!("{}", self.head);
        if !self.rows.is_empty() {
            let mut table = markdown();
            table.set_header(["leg", "messages", "messages/s", "wall s", "CPU s", "peak RSS MiB"]);
            table.add_rows(self.rows.iter().map(Row::cells));
            println!("\n{}", to_the_right(table));
        }
        if !self.goals.is_empty() {
            let mut table = markdown();
            table.set_header(["goal", "at most", "is", "rounds", ""]);
            for goal in &self.goals {
                let rounds = goal.range.map_or(String::new(), |(low, high)| format!("{low:.2}..{high:.2}"));
                let met = if goal.is_met { "met" } else { "MISSED" };
                let cells =
                    [goal.name.clone(), goal.bound.to_string(), format!("{:.3}", goal.figure), rounds, met.into()];
                table.add_row(cells);
            }
            println!("\n{}", to_the_right(table));
        }
        for note in &self.notes {
            println!("\n{note}");
        }
    }
}

fn markdown() -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table
}

fn to_the_right(mut table: Table) -> Table {
    table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table
}

/// The middle one, or the mean of the two in the middle; 0 of none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => sorted[odd / 2],
        even => f64::midpoint(sorted[even / 2 - 1], sorted[even / 2]),
    }
}

fn range(values: &[f64]) -> (f64, f64) {
    (values.iter().copied().fold(f64::INFINITY, f64::min), values.iter().copied().fold(0.0, f64::max))
}
