//! Columns for people. No colours: what a pipe gets is what a terminal gets.

/// Between two columns.
const GAP: &str = "  ";

/// Rows of cells, aligned to the left; the last column may be as long as it likes.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn row<T: Into<String>>(&mut self, cells: impl IntoIterator<Item = T>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    pub(super) fn text(&self) -> String {
        self.rows.iter().map(|row| self.line(row)).collect()
    }

    fn line(&self, row: &[String]) -> String {
        let cells = row.iter().enumerate().map(|(column, cell)| format!("{cell:<0$}", self.width(column)));
        let line = cells.collect::<Vec<_>>().join(GAP);
        format!("{}\n", line.trim_end())
    }

    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_have_no_trailing_blanks() {
        let mut table = Table::default();
        table.row(["a", "état", "x"]);
        table.row(["long", "b", ""]);
        assert_eq!(table.text(), "a     état  x\nlong  b\n");
    }
}
