//! The table of results.

use std::fmt;

/// What came of a target.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Verdict {
    Met,
    Missed,
    /// Not measured, or not to be relied on.
    Open,
}

impl Verdict {
    pub(crate) fn of(holds: bool) -> Verdict {
        if holds { Verdict::Met } else { Verdict::Missed }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Verdict::Met => "met",
            Verdict::Missed => "MISSED",
            Verdict::Open => "-",
        })
    }
}

struct Row {
    what: String,
    target: String,
    measured: String,
    verdict: Verdict,
    note: String,
}

#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<Row>,
}

impl Table {
    pub(crate) fn row(
        &mut self,
        what: impl Into<String>,
        target: impl Into<String>,
        measured: impl Into<String>,
        verdict: Verdict,
        note: impl Into<String>,
    ) {
        let row = Row {
            what: what.into(),
            target: target.into(),
            measured: measured.into(),
            verdict,
            note: note.into(),
        };
        eprintln!("  {}: {} ({})", row.what, row.measured, row.verdict);
        self.rows.push(row);
    }

    /// A row for what cannot be measured.
    pub(crate) fn absent(&mut self, what: impl Into<String>, target: impl Into<String>, why: &str) {
        self.row(what, target, why, Verdict::Open, "");
    }

    pub(crate) fn count(&self, verdict: Verdict) -> usize {
        self.rows
            .iter()
            .filter(|row| row.verdict == verdict)
            .count()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |cell: fn(&Row) -> &str, title: &str| {
            let widths = self.rows.iter().map(|row| cell(row).chars().count());
            widths.max().unwrap_or(0).max(title.len())
        };
        let what = width(|row| &row.what, "what");
        let target = width(|row| &row.target, "target");
        let measured = width(|row| &row.measured, "measured");
        let mut line = |cells: [&str; 5]| {
            let text = format!(
                "{:what$}  {:target$}  {:measured$}  {:6}  {}",
                cells[0], cells[1], cells[2], cells[3], cells[4]
            );
            writeln!(f, "{}", text.trim_end())
        };
        line(["what", "target", "measured", "", "how"])?;
        for row in &self.rows {
            let verdict = row.verdict.to_string();
            line([&row.what, &row.target, &row.measured, &verdict, &row.note])?;
        }
        Ok(())
    }
}
